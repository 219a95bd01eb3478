"""Hydra takes sweepers only from packages of this name; what this one does stands in `lth_runner.sweep`."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ResumableSweeper(Sweeper):
    """Every combination of the swept values; finished runs are left out, and one failing job stops no other.

    Args:
        params: values to sweep over, as on the command line, for experiments that are sweeps.
    """

    def __init__(self, params: DictConfig | None) -> None:
        self.params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self._parts = (hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> Any:
        from lth_runner.sweep.sweeper import sweep

        fixed = [f"{key}={value}" for key, value in (self.params or {}).items()]
        return sweep(*self._parts, fixed + arguments)
