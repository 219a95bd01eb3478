"""What a run did, in a few words: the choices of method, network and data that its config was made of."""

from typing import Any

from lth_runner.report import shipped
from lth_runner.report.read import Run

UNNAMED = "run"  # the name in the configs of runs without an experiment
CLASS = "_target_"  # the key of the class that a part is made of


def title(run: Run) -> str:
    """The name of a run's experiment, or what was done without one: "edge_popup on redundant_fc, mnist"."""
    name = str(run.config.get("name"))
    if name != UNNAMED:
        return name
    done = " and ".join(methods(run.config)) or choice(run.config, "study") or name
    network = choice(run.config, "network")
    where = ", ".join(filter(None, [network, choice(run.config, "data")]))
    return f"{done} on {where}" if where else done


def methods(config: dict[str, Any]) -> list[str]:
    """The names of the methods of a run: those compared, and its own."""
    compared = dict.fromkeys(key.split(".")[1] for key in config if key.startswith("compare."))
    return [*compared, *filter(None, [choice(config, "method")])]


def choice(config: dict[str, Any], part: str) -> str | None:
    """The name of the YAML file that a part of a config was made of, or of the module of its class; None without one.

    Of several files for one class, the one with which most settings agree.

    Args:
        config: flattened.
    """
    target = config.get(f"{part}.{CLASS}")
    if target is None:
        return None
    file = _file(config, part)
    return file.rpartition("/")[2] if file else ["", *str(target).split(".")][-2]


def made_of(config: dict[str, Any], part: str) -> dict[str, Any]:
    """The settings of the file that a part was made of, interpolations resolved from the config; none if not ours."""
    file = _file(config, part)
    return shipped.resolved(shipped.parts()[file], config) if file else {}


def _file(config: dict[str, Any], part: str) -> str | None:
    """The file as "method/pensia"."""
    target = config.get(f"{part}.{CLASS}")
    fitting = {file: settings for file, settings in shipped.parts().items() if settings[CLASS] == target}

    def agreement(file: str) -> int:
        return sum(config.get(f"{part}.{key}") == value for key, value in fitting[file].items())

    return max(fitting, key=agreement, default=None)
