"""Runs without an experiment are named by what they do."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lth_runner.report.choices import choice, title
from lth_runner.report.read import Run, flattened

CONFIGS = Path(__file__).parents[2] / "configs"


def config(group: str, name: str, **changes: Any) -> dict[str, Any]:
    """The group's settings as Hydra composes them: a file stands on those of its defaults."""
    settings = yaml.safe_load((CONFIGS / group / f"{name}.yaml").read_text())
    base = [default for default in settings.pop("defaults", []) if isinstance(default, str) and default != "_self_"]
    under = [config(group, default)[group] for default in base]
    return {group: {key: value for part in (*under, settings, changes) for key, value in part.items()}}


def run(**parts: Any) -> Run:
    return Run(Path("runs/run-1"), flattened({"name": "run", **parts}), {"status": "ok"})


@pytest.mark.parametrize("group", ["network", "data"])
def test_every_choice_is_recognised(group: str) -> None:
    for path in (CONFIGS / group).glob("*.yaml"):
        assert choice(flattened(config(group, path.stem)), group) == path.stem


def test_changed_settings_do_not_hide_the_choice() -> None:
    assert choice(flattened(config("network", "redundant_fc4", hidden=7, relu=True)), "network") == "redundant_fc4"


def test_a_run_is_named_by_what_it_does() -> None:
    found = run(**config("method", "edge_popup"), **config("network", "redundant_fc"), **config("data", "mnist"))
    assert title(found) == "edge_popup on redundant_fc, mnist"


def test_compared_methods_are_named_and_what_is_missing_is_left_out() -> None:
    found = run(compare={"closest": {"_target_": "a.b.C"}, "ours": {"_target_": "d.E"}}, network=None, data=None)
    assert title(found) == "closest and ours"
    assert title(run(study={"_target_": "lth_runner.laws.scaling_law.ScalingLaw"})) == "scaling_law"
    assert title(run()) == "run"


def test_classes_of_others_are_named_by_their_module() -> None:
    assert title(run(method={"_target_": "my_lab.idea.Idea"}, network={"_target_": "Net"})) == "idea"


def test_experiments_keep_their_names() -> None:
    found = run(**config("network", "fc"))
    assert title(Run(found.folder, {**found.config, "name": "smoke"}, found.summary)) == "smoke"
