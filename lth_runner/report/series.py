"""Lines of metrics as curves: what a figure draws, without drawing it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np


@dataclass(frozen=True)
class Series:
    """One curve over x, ascending. Where several runs share an x, the band is their least and greatest value.

    Attributes:
        x, mean, low, high: (K,) float64.
        count: (K,) int64, values behind each point.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray

    @property
    def spread(self) -> bool:
        """Whether any point has more than one value behind it."""
        return bool((self.count > 1).any())


def series(lines: Iterable[Mapping[str, Any]], axis: str, value: str) -> dict[str, Series]:
    """The curves of `value` over `axis`, by the lines' `curve`, in the order of their first appearance.

    Lines without a curve, without the axis or without a finite value belong to no curve; lines of several runs may be
    chained.
    """
    points: dict[str, dict[float, list[float]]] = {}
    for line in lines:
        x, y = line.get(axis), line.get(value)
        if "curve" in line and _is_number(x) and _is_number(y):
            points.setdefault(str(line["curve"]), {}).setdefault(float(x), []).append(float(y))
    return {name: _aggregate(by_x) for name, by_x in points.items()}


def numbers(curves: Mapping[str, Series], value: str) -> dict[str, float]:
    """Every point as flat numbers, `name/x/value` and with _min and _max, for a summary."""
    return {
        f"{name}/{x:g}/{value}{end}": float(y)
        for name, curve in curves.items()
        for end, column in (("", curve.mean), ("_min", curve.low), ("_max", curve.high))
        for x, y in zip(curve.x, column, strict=True)
    }


def kept_fractions(points: Iterable[Mapping[str, Any]], curve: str) -> dict[float, float]:
    """What a curve's tickets kept of the weights that densities refer to, mean over seeds, by the density asked for.

    Those are the `weights` of a point; where it has none, those that were offered.
    """
    found: dict[float, list[float]] = {}
    for point in points:
        if point["curve"] == curve:
            found.setdefault(point["density"], []).append(point["kept"] / (point.get("weights") or point["offered"]))
    return {density: sum(fractions) / len(fractions) for density, fractions in found.items()}


def floor_of_zeros(curves: Iterable[Series]) -> float | None:
    """Where a log axis can show an error of exactly zero: a decade below everything else; None if nothing is zero."""
    values = np.concatenate([np.concatenate([curve.mean, curve.low, curve.high]) for curve in curves] or [[]])
    if (values > 0).all():
        return None
    positive = values[values > 0]
    return 10.0 ** (math.floor(math.log10(positive.min())) - 1) if positive.size else 1e-17


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _aggregate(by_x: Mapping[float, list[float]]) -> Series:
    xs = sorted(by_x)
    values = [np.array(by_x[x]) for x in xs]
    return Series(
        x=np.array(xs),
        mean=np.array([v.mean() for v in values]),
        low=np.array([v.min() for v in values]),
        high=np.array([v.max() for v in values]),
        count=np.array([v.size for v in values]),
    )
