"""What a job asks of a cluster: each method states it, the launchers of configs/hydra/launcher pass it on."""

import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Of one job.

    Attributes:
        cpus: cores it can keep busy.
        gpus: CUDA devices.
        memory_gb: main memory, in GB.
        uses_gpu: whether it trains on a GPU where the run asks for one.
    """

    cpus: int
    gpus: int
    memory_gb: int
    uses_gpu: bool


CORES = Resources(cpus=8, gpus=0, memory_gb=8, uses_gpu=False)  # exact search: every core takes instances of its own
SCORES = Resources(cpus=8, gpus=0, memory_gb=8, uses_gpu=True)  # training scores where no GPU is asked for
GPU = Resources(cpus=4, gpus=1, memory_gb=16, uses_gpu=True)  # training scores: one device, and cores enough to feed it


def machine_memory() -> int:
    """Main memory of this machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def largest(several: Iterable[Resources]) -> Resources:
    """What suits all of them: a job array asks the same for each of its jobs."""
    cpus, gpus, memory_gb, uses_gpu = (max(column) for column in zip(*map(astuple, several), strict=True))
    return Resources(cpus=cpus, gpus=gpus, memory_gb=memory_gb, uses_gpu=uses_gpu)
