"""Zhou et al.'s supermask: every weight is kept with a probability of its own, and the probabilities are trained."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.search.rule import Change
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.scored import ScoredNetwork
from lth_runner.search.space import SearchSpace
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Source

FINAL = ("likeliest", "sampled")


@dataclass(frozen=True, kw_only=True)
class Zhou(ScoreSearch):
    """A weight is kept with probability sigmoid(score), drawn again before every step; straight through the drawing.

    The network is that of the architecture with weights w * m, m in {0, 1}: P(m = 1) = sigmoid(s), and dL/ds = dL/dw' *
    w * sigmoid'(s) for the weight w' = w * m in use. Random are w, the first scores, and in every step one logistic
    number x for each weight: m = 1 where s + x > 0. The ticket stores the seed and one mask, 1 bit a weight, less from
    the entropy coder where it keeps another share than half; with `rescaled` one number for each tensor, too.

    Reference: Zhou, Lan, Liu and Yosinski, arXiv:1905.01067, and its published code. Differs from the paper: the ticket
    is one network, of the likeliest mask or of one that is drawn, where the paper's accuracy is the mean over ten
    drawn ones; the factor of `rescaled` is a constant in the gradient; biases are what `biases` says, zero or target's
    where the paper has random ones that stay; scores have a decay if there is one.

    Attributes:
        density: the probability with which every weight is kept at first, in (0, 1), where the scores drawn are 0; how
            many the ticket keeps comes out, and is said by it.
        scope: "layer" alone, since no weight competes with another.
        final: the ticket's mask, and that of all accuracies. "likeliest": of probabilities above 1/2; "sampled": once
            more drawn, after the last step.
        rescaled: whether a tensor's kept weights are multiplied with all / kept ("dynamic weight rescaling").
        Others: see `ScoreSearch`.
    """

    subset: ClassVar[bool] = False
    final: str
    rescaled: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_start(self.density)
        if self.scope != "layer":
            raise ConfigError(f"no weight of zhou competes with another: scope={self.scope} would do nothing, omit it")
        checks.choice("final", self.final, FINAL)
        checks.boolean("rescaled", self.rescaled)

    def first_scores(self, scores: torch.Tensor, density: float) -> torch.Tensor:
        _check_start(density)
        return scores + math.log(density / (1 - density))

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        del kept
        return active & (scores > 0)

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        used = torch.where(mask, weight, 0.0)
        return used * (mask.shape[1] / mask.sum(dim=1, keepdim=True).clamp(min=1)) if self.rescaled else used

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        probability = torch.sigmoid(scores)
        return gradient * weight * probability * (1 - probability)

    def change(self, networks: Sequence[ScoredNetwork], device: str) -> Change:
        first = networks[0].flat_scores()
        return _Logistic(Streams(networks[0].seed), len(first), device, sampled=self.final == "sampled")

    def sources(self, space: SearchSpace, masks: Mapping[str, Mask], seed: int) -> dict[str, Source]:
        """The recipes, times all / kept if that is asked for."""
        del seed
        if not self.rescaled:
            return dict(space.weights)
        factors = {name: masks[name].size / masks[name].kept() for name in space.scored if masks[name].kept()}
        scaled = {name: replace(space.drawn[name], scale=factor) for name, factor in factors.items()}
        return {**space.weights, **scaled}


def _check_start(density: float) -> None:
    if not 0 < density < 1:
        raise ConfigError(
            f"zhou starts with every weight kept with probability density={density}: set it between 0 and 1"
        )


class _Logistic:
    """Logistic noise on the scores: s + x > 0 with probability sigmoid(s). All runs have the same.

    Attributes:
        noise: (1, N).
    """

    weights = None

    def __init__(self, streams: Streams, size: int, device: str, *, sampled: bool) -> None:
        self.noise = torch.zeros(1, size, device=device)
        self._streams, self._sampled = streams, sampled
        self._steps = torch.zeros((), dtype=torch.int64)

    def before_step(self, masks: Callable[[], torch.Tensor]) -> bool:
        del masks
        self._draw()
        self._steps += 1
        return True

    def finish(self) -> None:
        """Without noise a mask is the likeliest; else it is that of the step to come."""
        if self._sampled:
            self._draw()
        else:
            self.noise.zero_()

    def chosen(self, masks: torch.Tensor) -> torch.Tensor:
        return masks

    def state(self) -> dict[str, torch.Tensor]:
        return {"steps": self._steps}

    def _draw(self) -> None:
        level = torch.from_numpy(self._streams.uniform(("noise", str(int(self._steps))), 0, self.noise.shape[1]))
        self.noise.copy_(torch.logit(level).float())
