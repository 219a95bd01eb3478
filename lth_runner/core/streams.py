"""The only source of randomness: counter-based streams, named by a seed and a path.

A stream is a Philox generator whose key is derived from (seed, path) alone. Equal (seed, path) give equal bits whatever
ran before, on any machine and any number of threads, and any block of a stream can be drawn without drawing the rest.
"""

import hashlib

import numpy as np

DRAWS_PER_COUNT = 4  # one Philox counter value yields four 64-bit words
ONE = np.uint64(0x3FF0_0000_0000_0000)  # the bits of float64 1


class Streams:
    """Streams of one seed: `streams("coefficients", "fc1")` is a NumPy generator, `uniform` a block of one.

    Raises:
        ValueError: the seed is negative.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._entropy = np.random.SeedSequence(seed).entropy  # refuses negative seeds here, not at the first draw

    def __call__(self, *path: str) -> np.random.Generator:
        """A fresh generator at the start of the stream (seed, path)."""
        return np.random.Generator(self._philox(path))

    def torch_seed(self, *path: str) -> int:
        """A 63-bit seed for a `torch.Generator`, which cannot be driven by a Philox counter of ours."""
        return int(self._philox(path).random_raw()) >> 1

    def uniform(self, path: tuple[str, ...], start: int, count: int) -> np.ndarray:
        """Draws `start` to `start + count` of the stream, uniform on (0, 1), float64, shape (count,).

        Each 64-bit word w gives (floor(w / 2^12) + 1/2) / 2^52: never 0 and never 1, so that every quantile function is
        finite. It uses raw words only, which NumPy promises never to change.
        """
        philox = self._philox(path)
        skipped, offset = divmod(start, DRAWS_PER_COUNT)
        philox.advance(skipped)
        words = philox.random_raw(offset + count)[offset:]
        words >>= np.uint64(12)
        words |= ONE  # the 52 bits behind an exponent of 0: 1 + floor(w / 2^12) / 2^52, in place
        numbers = words.view(np.float64)
        numbers -= 1 - 2.0**-53  # exact: the result has 53 bits at most
        return numbers

    def _philox(self, path: tuple[str, ...]) -> np.random.Philox:
        digest = hashlib.sha256("\0".join(path).encode()).digest()
        words = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
        return np.random.Philox(np.random.SeedSequence(self._entropy, spawn_key=words))
