"""Weights chosen column by column, where those chosen later take up the errors of earlier ones: for any codebook."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lth_runner.construct.rows import columns_times, tiles
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.data.interface import Dataset

COMPENSATE = ("none", "inputs")
ORDERS = ("inputs", "natural")
FOLLOW = ("pruned", "target")
LAZY = 128  # columns after which all later ones are updated at once, by one product of matrices

# current weights (out, B) and which columns they are (B,) -> (out, B): what really stands there
Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Compensation:
    """How errors are passed on; it changes what is chosen, and nothing of what is claimed or measured.

    Attributes:
        order: of the columns of a layer: "inputs": those with the largest second moment first; "natural".
        damping: added to every second moment, as a fraction of their mean.
        samples: training inputs that calibrate, picked at random; all of them if there are fewer. Never test inputs.
        follow: whose inputs count: "pruned": those that the pruned layers before give, all samples in one forward
            pass; "target": the target's own, streamed.
    """

    order: str
    damping: float
    samples: int
    follow: str

    def __post_init__(self) -> None:
        checks.choice("compensation.order", self.order, ORDERS)
        checks.not_negative("compensation.damping", self.damping)
        checks.integer("compensation.samples", self.samples, at_least=1)
        checks.choice("compensation.follow", self.follow, FOLLOW)


def check_training_inputs(compensate: str, data: Dataset | None) -> None:
    """Refuses data without inputs to calibrate on, where the setting `compensate` asks for them.

    Raises:
        ConfigError: there are none.
    """
    if compensate == "inputs" and data is not None and data.train_inputs is None:
        raise ConfigError(
            "compensate=inputs needs training inputs to calibrate on and the data has none: set data.calibration=FILE"
        )


def compensated(
    weight: np.ndarray, moments: np.ndarray, choose: Choose, *, block: int, order: str, damping: float
) -> np.ndarray:
    """An approximation Q of W from a codebook, for a small sum over inputs x of |(W - Q) x|^2.

    With H the damped second moments of x in the order of the columns, and U the upper Cholesky factor of its inverse
    (H^-1 = U^T U), `block` columns at a time: Q_b = choose(W_b), E = (W_b - Q_b) U_bb^-1, and W_rest -= E U_b,rest.
    So the columns not yet chosen always are those that are best beside the chosen ones.

    An input that is always zero has no part in this: its columns are chosen as they are, and change no other ones.

    Reference: GPTQ, arXiv:2210.17323. Differs from the paper: any codebook in the place of a grid, blocks of columns
    that are chosen together, and columns of inputs that are always zero are not set to zero.

    Args:
        weight: (out, in).
        moments: (in, in), symmetric: sums or means of x x^T; any common factor.
        choose: called once for every block of columns, in order; the last block may be narrower. Its answer's error
            is Euclidean in whatever sense it likes.
        block: columns chosen together.
        order: see `Compensation`.
        damping: see `Compensation`.

    Returns:
        (out, in) float64, the columns in their natural order.

    Raises:
        ConfigError: without enough damping the moments have no inverse.
    """
    return in_turn(weight, weighed(moments, order, damping), choose, block)


@dataclass(frozen=True, eq=False)
class Weighed:
    """What passes errors on from column to column, in the order in which the columns are chosen.

    Attributes:
        columns: (in,) that order.
        factor: U of `compensated`, (in, in).
        inverse: U^-1.
    """

    columns: np.ndarray
    factor: np.ndarray
    inverse: np.ndarray


def weighed(moments: np.ndarray, order: str, damping: float) -> Weighed:
    """Of the second moments of a layer's inputs; see `compensated`.

    Raises:
        ConfigError: without enough damping the moments have no inverse.
    """
    columns = ordered(moments, order)
    return Weighed(columns, *inverse_factor(moments, columns, damping))


def in_turn(weight: np.ndarray, passed: Weighed, choose: Choose, block: int) -> np.ndarray:
    """The approximation of `compensated`, for rows that begin with a tile of their matrix (see `construct.rows`)."""
    columns, factor, inverse = passed.columns, passed.factor, passed.inverse
    current = np.ascontiguousarray(weight.T[columns], np.float64)  # (in, out): a block of columns lies together
    lazy = max(1, LAZY // block) * block
    errors = np.empty((lazy, len(weight)))
    for start in range(0, len(columns), lazy):
        stop = min(start + lazy, len(columns))
        for first in range(start, stop, block):
            b, later = slice(first, min(first + block, stop)), slice(min(first + block, stop), stop)
            chosen = choose(current[b].T, columns[b]).T
            # of a triangular matrix, U_bb^-1 = (U^-1)_bb
            error = errors[b.start - start : b.stop - start] = columns_times(inverse[b, b].T, current[b] - chosen)
            current[b] = chosen
            current[later] -= columns_times(factor[b, later].T, error)
        current[stop:] -= columns_times(factor[start:stop, stop:].T, errors[: stop - start])
    found = np.empty(weight.shape)
    found[:, columns] = current.T
    return found


def ordered(moments: np.ndarray, order: str) -> np.ndarray:
    """(in,) the columns in the order in which they are chosen; equals stay in their natural order."""
    if order == "natural":
        return np.arange(len(moments))
    return np.argsort(-np.diag(moments), kind="stable")


def inverse_factor(moments: np.ndarray, columns: np.ndarray, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """U and U^-1, upper triangular, with U^T U = (moments + damping * mean of the diagonal * identity)^-1.

    Inputs without a second moment, where nothing damps, count as independent ones. Beside the moments no more than two
    matrices of their size are held.

    Args:
        columns: the order of rows and columns of U.

    Raises:
        ConfigError: the damped moments have no inverse.
    """
    from scipy.linalg import cholesky, get_lapack_funcs  # a tenth of a second, for the runs that pass errors on

    diagonal = np.diag(moments)[columns].astype(np.float64)
    diagonal += damping * diagonal.mean()
    diagonal[diagonal == 0] = 1.0
    damped = _backwards(moments, columns)
    np.einsum("ii->i", damped)[:] = diagonal[::-1]
    try:  # V V^T = H for the upper V, the Cholesky factor of H read backwards; then U = V^-1
        damped = cholesky(damped, lower=True, overwrite_a=True)
    except np.linalg.LinAlgError as error:
        raise ConfigError(
            f"the inputs of a layer depend on each other, so damping={damping} is too little: set "
            "method.compensation.damping=0.01, or calibrate on more samples"
        ) from error
    upper = np.asfortranarray(damped[::-1, ::-1])
    del damped
    (invert,) = get_lapack_funcs(("trtri",), (upper,))
    factor, _ = invert(upper)
    return factor, upper


def _backwards(moments: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Rows and columns in the opposite of an order, float64, in the order in memory that LAPACK works in."""
    rows = columns[::-1]
    found = np.empty(moments.shape, order="F")
    for some in tiles(len(rows)):
        found[:, some] = moments[np.ix_(rows, rows[some])]
    return found
