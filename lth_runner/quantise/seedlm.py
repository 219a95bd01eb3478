"""SeedLM: each block of weights is the best seed of a shift register and a few coefficients; all seeds are tried."""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture
from lth_runner.networks.lfsr_code import EXPONENT_BITS, LOWEST, MANTISSA_BITS, LfsrCode
from lth_runner.problem import Found, Problem
from lth_runner.quantise.ticket import Encoded, check_quantised, quantise
from lth_runner.resources import CORES, Resources

LEAST, MOST = -(2 ** (MANTISSA_BITS - 1)), 2 ** (MANTISSA_BITS - 1) - 1
HIGHEST = LOWEST + 2**EXPONENT_BITS - 1
CHUNK = 512  # seeds whose projections are worked out together
SLACK = 1e-5  # of a projection in float32, as a share of the block's square
TRIED = 2  # exponents: the one at which the largest coefficient just fits, and the next below, which clips


@dataclass(frozen=True, kw_only=True)
class SeedLM:
    """A block of C weights ~ scale 2^e U(seed) t, with the seed, e and P coefficients t of least squared error.

    For every seed t is the least-squares solution, rounded to 4 bits with either of two exponents; the best of all
    seeds is taken. Bits per weight are (register + 4 + 4 P) / C.

    Reference: arXiv:2410.10714, whose 4 bits are register 16, block 8, basis 3, and 3 bits 16, 12, 4. Differs from the
    paper: the error that is least is that after rounding, and two exponents are tried, where it takes one.

    Attributes:
        register: bits of a seed.
        block: C, weights in a block.
        basis: P, coefficients of a block.
        stored: patterns of weight names that are stored as they are; biases and norms always are.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    register: int
    block: int
    basis: int
    stored: list[str]

    def __post_init__(self) -> None:
        self._code()

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        del data
        check_quantised(network, self.stored)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The quantised network; see `Method.find`."""
        code = self._code()

        def encode_named(name: str, weight: np.ndarray) -> Encoded:
            del name
            return encode(weight, code)

        return quantise(problem, recorder, self.stored, f"SeedLM, {self.register}-bit seeds", encode_named)

    def _code(self) -> LfsrCode:
        return LfsrCode(register=self.register, block=self.block, basis=self.basis)


def encode(weight: np.ndarray, code: LfsrCode) -> Encoded:
    """The code of a tensor."""
    scale = np.array([np.sqrt(np.mean(weight**2))]).astype(np.float16)
    flat = weight.reshape(-1) / (float(scale[0]) or 1.0)
    blocks = np.pad(flat, (0, -flat.size % code.block)).reshape(-1, code.block)
    seeds, exponents = np.zeros(len(blocks), np.uint16), np.zeros(len(blocks), np.uint8)
    coefficients = np.zeros((len(blocks), code.basis), np.int8)
    vectors = code.vectors()
    inverses, projections = solvers(code)

    def solve(rows: slice) -> None:
        best_seeds(blocks[rows], vectors, inverses, projections, seeds[rows], coefficients[rows], exponents[rows])

    threads = numba.get_num_threads()
    bounds = np.linspace(0, len(blocks), threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(solve, (slice(bounds[k], bounds[k + 1]) for k in range(threads))))
    parts = {"seeds": seeds, "coefficients": coefficients, "exponents": exponents, "scale": scale}
    return Encoded(code, parts)


@functools.cache
def solvers(code: LfsrCode) -> tuple[np.ndarray, np.ndarray]:
    """For every seed what least squares needs.

    Returns:
        (seeds, P, C) float64, the pseudo-inverses of U; and (P, C, seeds) float32, orthonormal vectors that span what
        those of U do, zeros beyond their rank.
    """
    left, sizes, right = np.linalg.svd(code.vectors(), full_matrices=False)
    own = sizes > 1e-9 * sizes[:, :1]
    inverse = np.where(own, 1 / np.where(own, sizes, 1.0), 0.0)
    inverses = (right.transpose(0, 2, 1) * inverse[:, None]) @ left.transpose(0, 2, 1)
    return inverses, np.ascontiguousarray((left * own[:, None]).transpose(2, 1, 0), np.float32)


@compiled(nogil=True, fastmath=True)
def energies(block: np.ndarray, projections: np.ndarray, start: int, found: np.ndarray, part: np.ndarray) -> None:
    """What of a block's square lies in the span of each of the seeds from `start` on."""
    basis, size = projections.shape[:2]
    found[:] = 0
    for p in range(basis):
        part[:] = 0
        for c in range(size):
            factor = np.float32(block[c])
            row = projections[p, c, start : start + found.size]
            for s in range(found.size):
                part[s] += factor * row[s]
        for s in range(found.size):
            found[s] += part[s] * part[s]


@compiled(nogil=True)
def rounded(
    block: np.ndarray, vectors: np.ndarray, inverse: np.ndarray, chosen: np.ndarray, trial: np.ndarray
) -> tuple[float, int]:
    """The least squared error that a seed reaches and its exponent; `chosen` gets the coefficients."""
    size, basis = vectors.shape
    largest = 0.0
    exact = np.zeros(basis)
    for p in range(basis):
        for c in range(size):
            exact[p] += inverse[p, c] * block[c]
        largest = max(largest, abs(exact[p]))
    fitting = int(np.ceil(np.log2(largest / (MOST + 0.5)))) if largest > 0 else LOWEST
    least, best = np.inf, LOWEST
    for k in range(TRIED):
        exponent = min(max(fitting - k, LOWEST), HIGHEST)
        error = 0.0
        for p in range(basis):
            trial[p] = min(max(np.rint(exact[p] * 2.0**-exponent), LEAST), MOST)
        for c in range(size):
            rest = block[c]
            for p in range(basis):
                rest -= vectors[c, p] * trial[p] * 2.0**exponent
            error += rest * rest
        if error < least:
            least, best = error, exponent
            chosen[:] = trial
    return least, best


@compiled(nogil=True)
def best_seeds(
    blocks: np.ndarray, vectors: np.ndarray, inverses: np.ndarray, projections: np.ndarray, seeds: np.ndarray,
    coefficients: np.ndarray, exponents: np.ndarray,
) -> None:  # fmt: skip
    """Fills seeds (N,), coefficients (N, P) and exponents (N,) of blocks (N, C), exactly.

    What lies outside a seed's span is an error that no rounding makes smaller: most seeds are passed over by that.
    """
    count, basis = len(vectors), coefficients.shape[1]
    found, part = np.zeros(CHUNK, np.float32), np.zeros(CHUNK, np.float32)
    chosen, trial = np.zeros(basis), np.zeros(basis)
    least = np.full(len(blocks), np.inf)
    for start in range(0, count, CHUNK):  # outermost: these seeds' vectors stay in a cache for all blocks
        here = min(CHUNK, count - start)
        for b in range(len(blocks)):
            square = np.sum(blocks[b] * blocks[b])
            energies(blocks[b], projections, start, found[:here], part[:here])
            for s in range(here):
                if square - found[s] - SLACK * square < least[b]:
                    error, exponent = rounded(blocks[b], vectors[start + s], inverses[start + s], chosen, trial)
                    if error < least[b]:
                        least[b] = error
                        seeds[b], exponents[b] = start + s + 1, exponent - LOWEST
                        for p in range(basis):
                            coefficients[b, p] = chosen[p]
