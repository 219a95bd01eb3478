"""Rows of matrices divided between processes: each once, evenly, and with products that no neighbour changes."""

import numpy as np
import pytest

from lth_runner.construct import rows
from lth_runner.construct.compensation import compensated
from lth_runner.construct.rows import TILE, columns_times, rows_times, shared_out, slabs
from lth_runner.problem import Share

SIZES = {"a": (3 * TILE + 5, 40), "b": (10, 1500), "c": (TILE, 300), "d": (2 * TILE + 1, 7)}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 50])
def test_every_row_belongs_to_one_share(count: int) -> None:
    shares = [shared_out(SIZES, Share(index=k, count=count)) for k in range(count)]
    for name, (total, _) in SIZES.items():
        mine = [share[name] for share in shares if name in share]
        assert [own.start for own in mine] == [0, *(own.stop for own in mine[:-1])], "in order, without gaps"
        assert mine[-1].stop == total
        assert not any(own.start % TILE for own in mine)


@pytest.mark.parametrize("count", [2, 3])
def test_shares_are_even_up_to_a_tile(count: int) -> None:
    sizes = {str(k): (4 * TILE, 16) for k in range(5)}
    shares = [shared_out(sizes, Share(index=k, count=count)) for k in range(count)]
    amounts = [sum(own.stop - own.start for own in share.values()) for share in shares]
    assert max(amounts) - min(amounts) <= 2 * TILE


def test_slabs_bound_memory_and_keep_tiles_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SLAB", 2 * TILE * 10)
    found = list(slabs(slice(TILE, 6 * TILE + 3), 10))
    assert found[0] == slice(TILE, 3 * TILE) and found[-1] == slice(5 * TILE, 6 * TILE + 3)
    assert len(list(slabs(slice(0, 3 * TILE), 10**9))) == 3, "a tile at least"


def test_products_of_tiles_are_the_products() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(30, 20)), rng.normal(size=(20, 2 * TILE + 9))
    np.testing.assert_allclose(columns_times(left, right), left @ right, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(rows_times(right.T, left.T), right.T @ left.T, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("block", [1, 3])
def test_compensated_rows_are_the_same_bits_in_any_division(block: int) -> None:
    """The last tile has one row here: alone it takes another path through BLAS than beside others."""
    rng = np.random.default_rng(1)
    weight, x = rng.normal(size=(2 * TILE + 1, 150)), rng.normal(size=(400, 150))

    def choose(current: np.ndarray, columns: np.ndarray) -> np.ndarray:
        del columns
        return 0.9 * current  # no codebook, so that every bit shows

    def of(matrix: np.ndarray) -> np.ndarray:
        return compensated(matrix, x.T @ x, choose, block=block, order="inputs", damping=0.01)

    whole = of(weight)
    for cuts in ([TILE], [2 * TILE], [TILE, 2 * TILE]):
        divided = np.concatenate([of(part) for part in np.split(weight, cuts)])
        np.testing.assert_array_equal(divided, whole)
