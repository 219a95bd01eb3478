"""Runs a kernel over instances on all threads: kernels release the interpreter lock, so plain threads do."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

PIECES_PER_THREAD = 8  # instances differ in cost: the threads finish within an eighth of each other
SMALL = 64  # fewer instances are not worth starting threads for

Kernel = Callable[..., None]


def run(
    kernel: Kernel, values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, *more: Any
) -> np.ndarray:
    """Lets the kernel solve the instances `rows`, writing to `chosen`; returns which of them it solved.

    The number of threads is numba's: NUMBA_NUM_THREADS, or the processors this process may use.
    """
    solved = np.zeros(rows.size, bool)
    if rows.size == 0:
        return solved
    threads = numba.get_num_threads()
    if threads == 1 or rows.size <= SMALL:
        kernel(values, targets, rows, chosen, solved, *more)
        return solved
    bounds = np.linspace(0, rows.size, min(threads * PIECES_PER_THREAD, rows.size) + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        pieces = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
        jobs = [pool.submit(kernel, values, targets, rows[p], chosen, solved[p], *more) for p in pieces]
        for job in jobs:
            job.result()
    return solved
