"""The root keys of a run. Hydra refuses any other, and values of the wrong type; the defaults stand in config.yaml."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class WandbConfig:
    """How a run is copied to Weights & Biases."""

    mode: str = MISSING
    project: str = MISSING
    entity: str | None = None
    group: str | None = None
    dir: str | None = None
    id: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class TicketConfig:
    """How the tickets of a run are written."""

    coded: bool = MISSING


@dataclass
class RunConfig:
    """Everything a run is made of. The parts are built by `_target_`; see the files in configs/."""

    name: str = MISSING
    data: Any = None
    network: Any = None
    target: Any = None
    method: Any = None
    compare: dict[str, Any] = MISSING
    study: Any = MISSING
    seed: int = MISSING
    epsilon: float = MISSING
    c: int = MISSING
    n: int | None = None
    grid: str = MISSING
    parts: int | None = None
    part: int | None = None
    layer: int | None = None
    device: str = MISSING
    cache_dir: str = MISSING
    runs_dir: str = MISSING
    dry_run: bool = MISSING
    rerun: bool = MISSING
    ticket: TicketConfig = field(default_factory=TicketConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)


def register() -> None:
    """Makes the schema known to Hydra as `run_schema`, the first entry of the root config's defaults."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig)
