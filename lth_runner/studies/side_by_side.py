"""Independent parts of a study in processes of their own, one per core; one recorder hears all of them."""

import contextlib
import itertools
import multiprocessing
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from lth_runner.core.recorder import Progress, Recorder
from lth_runner.core.streams import Streams
from lth_runner.problem import Problem

T = TypeVar("T")
Part = Callable[[Recorder], T]  # can be pickled: a function of a module, or a partial of one

LISTEN_S = 0.2  # seconds between two looks at whether all parts are done
NAME = "NAME"  # where a checkpoint's path has its name


def workers(device: str) -> int:
    """How many parts run at once: one per core that torch may use (OMP_NUM_THREADS), on a GPU one."""
    return torch.get_num_threads() if device == "cpu" else 1


def trials_of(problem: Problem, count: int) -> list[Problem]:
    """A problem without its target, from as many seeds, counted from its own."""
    first = problem.streams.seed
    return [replace(problem, streams=Streams(seed), target=None) for seed in range(first, first + count)]


def side_by_side(parts: Sequence[Part[T]], recorder: Recorder, workers: int) -> list[T]:
    """What every part gives, in their order; equal to calling them one after the other.

    Parts are trainings on one thread each, so as many run at once as there are cores. Their checkpoints are the run's
    own: what one has kept is found by a later attempt, however many run at once then.

    Args:
        parts: independent of each other; they keep checkpoints under different names.
        recorder: hears lines, metrics and bars of all of them, in the order in which they happen.
        workers: processes at most; 1 for none but this one.

    Raises:
        whatever a part raises; the others are stopped then.
    """
    if min(workers, len(parts)) <= 1:
        return [part(recorder) for part in parts]
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with context.Manager() as manager:
        told, pattern, others = manager.Queue(), recorder.checkpoint(NAME), multiprocessing.active_children()
        pool = ProcessPoolExecutor(min(workers, len(parts)), mp_context=context)
        try:
            futures = [pool.submit(_work, part, told, pattern, number) for number, part in enumerate(parts)]
            _listen(told, futures, recorder)
            return [future.result() for future in futures]
        except BaseException:
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _work(part: Part[T], told: Any, pattern: Path, number: int) -> T:
    torch.set_num_threads(1)
    return part(_Distant(told, pattern, number))


def _listen(told: Any, futures: Sequence[Future[Any]], recorder: Recorder) -> None:
    """Hands on what is told until all parts are done, or one has failed."""
    with contextlib.ExitStack() as opened:
        bars: dict[Any, tuple[contextlib.ExitStack, Progress]] = {}
        while True:
            finished = all(future.done() for future in futures)
            failed = any(future.done() and future.exception() for future in futures)
            try:
                kind, *content = told.get(timeout=0 if finished or failed else LISTEN_S)
            except queue.Empty:
                if finished or failed:
                    return
                continue
            if kind == "say":
                recorder.say(*content)
            elif kind == "metrics":
                recorder.metrics(**content[0])
            elif kind == "open":
                key, label, total = content
                stack = opened.enter_context(contextlib.ExitStack())
                bars[key] = stack, stack.enter_context(recorder.progress(label, total))
            elif kind == "advance":
                key, amount, note = content
                bars[key][1].advance(amount, note)
            else:
                bars.pop(content[0])[0].close()


class _Distant:
    """The recorder of a part: what it hears goes to the process of the run."""

    def __init__(self, told: Any, pattern: Path, number: int) -> None:
        self._told, self._pattern, self._number, self._bars = told, pattern, number, itertools.count()

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Progress]:
        key = (self._number, next(self._bars))
        self._told.put(("open", key, label, total))
        try:
            yield _DistantBar(self._told, key)
        finally:
            self._told.put(("close", key))

    def metrics(self, **values: float | int | str) -> None:
        self._told.put(("metrics", values))

    def say(self, line: str) -> None:
        self._told.put(("say", line))

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        del shared
        return self._pattern.with_name(self._pattern.name.replace(NAME, name))


class _DistantBar:
    def __init__(self, told: Any, key: Any) -> None:
        self._told, self._key = told, key

    def advance(self, amount: int, note: str = "") -> None:
        self._told.put(("advance", self._key, amount, note))
