"""A comparison of pruned random networks that also asks how far each one's output is from the target's, and may be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lth_runner.core.recorder import Recorder
from lth_runner.measure.function_error import FunctionError
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Method, Problem
from lth_runner.studies.comparison import Comparison
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import Materialised


@dataclass(frozen=True, kw_only=True)
class Theorem:
    """The theorem bounds the output's error: seen on the test set <= found by ascent <= upper bound, side by side.

    Attributes:
        comparison: of the methods; its table and figures are this study's.
        function_error: how hard to look for large errors.
    """

    comparison: Comparison
    function_error: FunctionError

    def check(self, methods: Mapping[str, Method]) -> None:
        """What the comparison refuses."""
        self.comparison.check(methods)

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """What the comparison tries."""
        return self.comparison.tried(methods, network)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """The comparison, then each ticket's function errors, in the summary and as a line each."""
        problem.need("network", "target", "data")

        def function_errors(name: str, network: Materialised) -> dict[str, float]:
            errors = self.function_error.measure(network, problem, recorder)
            recorder.say(f"{name}: {_line(errors)}")
            return errors

        return self.comparison.compare(problem, methods, recorder, [function_errors])


def _line(errors: Mapping[str, float]) -> str:
    def found(inputs: str) -> str:
        bound = errors.get(f"function_error_{inputs}_bound")
        certified = "" if bound is None else f" (at most: {bound:.2g})"
        return f"{errors[f'function_error_{inputs}_found']:.2g}{certified}"

    return (
        f"outputs differ by at most {errors['function_error_test']:.2g} on the test images; ascent finds "
        f"{found('box')} over all pixels in [0, 1] and {found('ball')} over the unit ball"
    )
