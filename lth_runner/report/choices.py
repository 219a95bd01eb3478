"""What a run did, in a few words: the choices of method, network and data that its config was made of."""

from functools import cache
from importlib import resources
from typing import Any

import yaml

from lth_runner.report.read import Loader, Run, flattened

UNNAMED = "run"  # the name in the configs of runs without an experiment


def title(run: Run) -> str:
    """The name of a run's experiment, or what was done without one: "edge_popup on redundant_fc, mnist"."""
    name = str(run.config.get("name"))
    if name != UNNAMED:
        return name
    compared = dict.fromkeys(key.split(".")[1] for key in run.config if key.startswith("compare."))
    methods = [*compared, *filter(None, [choice(run.config, "method")])]
    done = " and ".join(methods) or choice(run.config, "study") or name
    network = choice(run.config, "network")
    where = ", ".join(filter(None, [network, choice(run.config, "data")]))
    return f"{done} on {where}" if where else done


def choice(config: dict[str, Any], group: str) -> str | None:
    """The name of the YAML file that a part of a config was made of, or of the module of its class; None without one.

    Of several files for one class, the one with which most settings agree.

    Args:
        config: flattened.
    """
    target = config.get(f"{group}._target_")
    if target is None:
        return None
    fitting = {name: settings for name, settings in _shipped(group).items() if settings.get("_target_") == target}

    def agreement(name: str) -> int:
        return sum(config.get(f"{group}.{key}") == value for key, value in fitting[name].items())

    return max(fitting, key=agreement) if fitting else ["", *str(target).split(".")][-2]


@cache
def _shipped(group: str) -> dict[str, dict[str, Any]]:
    """The YAML files of a group that come with the package, by their names, flattened, on what they stand on."""
    files = resources.files("lth_runner.configs") / group
    texts = {
        file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8")
        for file in files.iterdir()
        if file.name.endswith("yaml")
    }
    found = {name: yaml.load(texts[name], Loader=Loader) for name in sorted(texts)}

    def composed(name: str) -> dict[str, Any]:
        bases = [base for base in found[name].get("defaults", []) if isinstance(base, str) and base in found]
        return {key: value for base in bases for key, value in composed(base).items()} | flattened(found[name])

    return {name: composed(name) for name in found}
