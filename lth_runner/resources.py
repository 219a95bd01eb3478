"""What a job asks of a cluster: each method states it, the launchers of configs/hydra/launcher pass it on."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Of one job.

    Attributes:
        cpus: cores it can keep busy.
        gpus: CUDA devices.
        memory_gb: main memory, in GB.
    """

    cpus: int
    gpus: int
    memory_gb: int


CORES = Resources(cpus=8, gpus=0, memory_gb=8)  # exact search: every core takes instances of its own
GPU = Resources(cpus=4, gpus=1, memory_gb=16)  # training scores: one device, and cores enough to feed it


def largest(several: Iterable[Resources]) -> Resources:
    """What suits all of them: a job array asks the same for each of its jobs."""
    cpus, gpus, memory_gb = (max(column) for column in zip(*map(astuple, several), strict=True))
    return Resources(cpus=cpus, gpus=gpus, memory_gb=memory_gb)
