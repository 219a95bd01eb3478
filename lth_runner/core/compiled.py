"""Functions compiled by numba, kept on disk between processes; where that cannot be, they are compiled again."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """`numba.njit` with its cache, which must never stand in the way.

    A damaged file of the cache is written anew, where numba by itself would fail on it in every later process; without
    a folder to write to, functions are compiled in every process, which a warning says once.

    Args:
        options: of `numba.njit`.
    """

    def decorate(function: F) -> F:
        dispatcher: Any = numba.njit(**options)(function)
        try:
            dispatcher._cache = _Cache(function)
        except (RuntimeError, OSError):  # numba found no folder that it can write to
            _warn()
        return dispatcher

    return decorate


class _Cache(FunctionCache):
    """Numba's cache, without the errors of its files."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged pickle can raise nearly anything
            self._attempt(self.flush)  # its index names the damaged file no more
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        self._attempt(lambda: super(_Cache, self).save_overload(sig, data))

    def _attempt(self, write: Callable[[], object]) -> None:
        """Writes to the cache, or does without it from now on."""
        try:
            write()
        except OSError:
            self.disable()
            _warn()


@cache
def _warn() -> None:
    warnings.warn(
        "lth_runner's compiled functions cannot be kept, so every process compiles them again, which takes seconds: "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=1,
    )
