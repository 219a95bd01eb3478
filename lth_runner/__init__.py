"""Lottery tickets in Python: `import lth_runner as lth`.

net = lth.load("ticket.safetensors").module()
found = lth.find("pensia", my_module, n=21, epsilon=0.01, seed=0)
found.ticket.save("t.safetensors"); lth.verify("t.safetensors", target=my_module)
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lth_runner.api import find, load, retrain, verify

__version__ = "0.2.0"
__all__ = ["find", "load", "retrain", "verify"]

# How often a waiting thread of OpenMP looks again before it sleeps; by default 300,000 times, for which two runs on the
# same cores take three times as long as one after the other. It is read when torch loads, so before that; what the user
# has set stands. Measured in results/bench_sweep.md.
SPINS = "4000"
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = SPINS


def __getattr__(name: str) -> Any:
    """The functions of the library, imported when they are asked for: the commands start without torch."""
    if name not in __all__:
        raise AttributeError(f"module 'lth_runner' has no attribute {name!r}")
    return getattr(import_module("lth_runner.api"), name)
