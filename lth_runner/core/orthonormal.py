"""Random matrices with orthonormal columns, from uniform numbers."""

import numpy as np
from scipy.special import ndtri


def orthonormal(uniform: np.ndarray) -> np.ndarray:
    """Q of the QR decomposition of a matrix of N(0, 1), with the signs that make the diagonal of R positive.

    Args:
        uniform: (rows, columns) in (0, 1), with at least as many rows as columns.
    """
    q, r = np.linalg.qr(ndtri(uniform))
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)
