"""SubsetSum by definition: every combination, summed exactly. Shares nothing with the solvers."""

from itertools import combinations
from math import fsum


def errors_by_size(values: list[float], target: float) -> list[float]:
    """The smallest error of any subset with exactly k values, for k = 0 to n."""
    return [
        min(abs(fsum([*subset, -target])) for subset in combinations(values, terms)) for terms in range(len(values) + 1)
    ]


def optimum(values: list[float], target: float, epsilon: float, objective: str) -> tuple[float, int | None]:
    """The error of the answer and, for a sparsest subset within epsilon, its number of values."""
    errors = errors_by_size(values, target)
    within = [terms for terms, error in enumerate(errors) if error <= epsilon]
    if objective == "sparsest" and within:
        return errors[within[0]], within[0]
    return min(errors), None
