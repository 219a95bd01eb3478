"""Every YAML file builds what it names, with the very settings that the class has. A new file is tested at once."""

import importlib
import inspect
import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from lth_runner.config import schema
from lth_runner.config.build import build, settings
from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Method
from lth_runner.run import build_methods
from lth_runner.study import Study

CONFIGS = Path(importlib.import_module("lth_runner.configs").__path__[0])
CHOICES = sorted(
    path.relative_to(CONFIGS).with_suffix("").as_posix()
    for path in CONFIGS.rglob("*.yaml")
    if path.relative_to(CONFIGS).parts[0] not in ("experiment", "hydra", "config.yaml")
)
EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
NEEDS = {  # settings without a sensible default
    "target/checkpoint": ["target.path=weights.pt"],
    "network/imported": ["network.builder=torchvision.models.resnet18"],
    "data/arrays": ["data.path=mine.npz"],
    "data/inputs": ["data.path=batch.safetensors"],
}
HAVE = {
    "method/training": "imp",
    "method/levels": "gptq",
    "method/activation": "pensia",
}  # methods with such a part, where subset_sum has none
PLACES = {"augment": "target.augment"}  # groups that are chosen for a part, and are no part of a run themselves


def composed(*overrides: str) -> dict[str, Any]:
    schema.register()
    with hydra.initialize_config_module("lth_runner.configs", version_base="1.3"):
        return settings(hydra.compose("config", overrides=list(overrides)))


def part(choice: str) -> tuple[dict[str, Any], str]:
    """The composed config of one choice ("method/solver/milp") and the key it stands at ("method.solver")."""
    group, _, option = choice.rpartition("/")
    where = PLACES.get(group, group.replace("/", "."))
    chosen = f"+{group}@{where}={option}" if group in PLACES else f"{group}={option}"
    overrides = [chosen, *NEEDS.get(choice, [])]
    if group.startswith("method/"):
        overrides.insert(0, f"method={HAVE.get(group, 'subset_sum')}")
    node: Any = composed(*overrides)
    for key in where.split("."):
        node = node[key]
    return node, where


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_builds(choice: str) -> None:
    config, where = part(choice)
    built = build(config, where)
    kind = choice.split("/")[0]
    if choice.count("/") == 1 and kind in ("method", "network", "study"):
        assert isinstance(built, {"method": Method, "network": Architecture, "study": Study}[kind])


@pytest.mark.parametrize("choice", CHOICES)
def test_every_setting_stands_in_the_yaml_and_only_there(choice: str) -> None:
    config, _ = part(choice)
    found = get_object(config["_target_"])
    assert isinstance(found, type) and is_dataclass(found), "parts are dataclasses"
    assert {field.name for field in fields(found)} == set(config) - {"_target_"}
    hidden = [f.name for f in fields(found) if f.default is not MISSING or f.default_factory is not MISSING]
    assert not hidden, f"defaults hidden in Python: {hidden}"
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in inspect.signature(found).parameters.values())


@pytest.mark.parametrize("choice", CHOICES)
def test_a_misspelt_setting_is_refused(choice: str) -> None:
    config, where = part(choice)
    with pytest.raises(Exception, match="mispelt is not a setting"):
        build({**config, "mispelt": 1}, where)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_its_parts_build(experiment: str) -> None:
    config = composed(f"experiment={experiment}")
    for name in ("data", "network", "target", "study"):
        if config[name] is not None:
            build(config[name], name)
    build_methods(config)
    assert config["name"] == experiment


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_a_recipe(experiment: str) -> None:
    """Its header says what it is in a sentence, then the command that runs it."""
    text = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    assert re.match(r"# @package _global_\n# .+\.\n(# .*\n)*", text)
    assert f"lth-run experiment={experiment}" in text


def test_the_root_has_a_value_for_every_setting() -> None:
    config = OmegaConf.load(CONFIGS / "config.yaml")
    root = set(config) - {"defaults", "hydra"}
    assert root | {"data", "network", "target", "method", "study"} == set(schema.RunConfig.__dataclass_fields__)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("methods.pensia.Pensia", "construct.pensia.Pensia"),
        ("methods.edge_popup.EdgePopup", "search.edge_popup.EdgePopup"),
        ("studies.curve.Curve", "laws.curve.Curve"),
        ("studies.instances.Direct", "laws.instances.Direct"),
    ],
)
def test_a_class_that_has_moved_is_refused_with_its_new_path(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"lth_runner.{old} has moved: write lth_runner.{new}$"):
        build({"_target_": f"lth_runner.{old}"}, "method")
    assert get_object(f"lth_runner.{new}")
