"""Checksums of named tensors."""

import hashlib
from collections.abc import Mapping

import numpy as np


def checksum(tensors: Mapping[str, np.ndarray], about: str = "") -> str:
    """SHA-256 over a text, then names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape} ".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
