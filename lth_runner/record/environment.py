"""Where a run ran: the commit, the versions that can change a number, the machine; nothing is imported to find out."""

import functools
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = (
    "lth_runner",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "numba",
    "gurobipy",
    "hydra-core",
    "omegaconf",
    "safetensors",
    "matplotlib",
    "wandb",
)


def environment() -> dict[str, Any]:
    """Commit, versions and machine, as JSON values; what cannot be known is null."""
    return {
        "command": sys.argv,
        "code": _code(),
        "python": platform.python_version(),
        "versions": _versions(),
        "machine": {**_machine(), "gpu": _gpu()},
    }


@functools.cache  # the code of this process was loaded once, so its commit is asked for once
def _code() -> dict[str, str | bool | None]:
    """Commit of the package's own checkout, and whether its package or configs differ from it."""
    root = PACKAGE.parent
    found = (_git(root, "rev-parse", "--show-toplevel", "HEAD") or "").splitlines()
    if len(found) != 2 or Path(found[0]).resolve() != root:  # installed, perhaps inside somebody else's checkout
        return {"commit": None, "dirty": None}
    changes = _git(root, "status", "--porcelain", "--", PACKAGE.name, "configs")
    return {"commit": found[1], "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


@functools.cache
def _versions() -> dict[str, str | None]:
    return {name: _version(name) for name in DISTRIBUTIONS}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory": _field("/proc/meminfo", "MemTotal"),
    }


def _field(path: str, name: str) -> str | None:
    """Value of the first `name: value` line of a file of the kernel's, if it is there."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


def _gpu() -> str | None:
    """Name of the GPU, asked only of a torch that the run has already imported."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
