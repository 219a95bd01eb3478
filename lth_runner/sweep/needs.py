"""What the jobs of a sweep ask of a cluster, which the launcher configs read as ${job_needs:cpus} and the like."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from omegaconf import OmegaConf

from lth_runner.core.imports import import_object
from lth_runner.resources import CORES, GPU, Resources, largest


def needs(configs: Iterable[dict[str, Any]]) -> Resources:
    """What suits every method of every job; jobs without a method get what exact search gets.

    With device=cuda methods that train on a GPU ask for one; with device=auto they take what the job happens to have.
    """
    targets = {
        (str(recipe["_target_"]), config["device"])
        for config in configs
        for recipe in [config["method"], *config["compare"].values()]
        if isinstance(recipe, dict) and "_target_" in recipe
    }
    return largest(
        [_of(import_object(target, "method._target_"), device) for target, device in sorted(targets)] or [CORES]
    )


def _of(method: Any, device: str) -> Resources:
    return GPU if device.startswith("cuda") and method.resources.uses_gpu else method.resources


def register_needs(resources: Resources) -> None:
    """Gives ${job_needs:NAME} its values; what is not needed is null."""
    values = asdict(resources)
    OmegaConf.register_new_resolver("job_needs", lambda name: values[name] or None, replace=True)
