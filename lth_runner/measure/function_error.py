"""The largest output difference of two networks: seen on images, found by gradient ascent, and certified."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import images as images_of
from lth_runner.measure.bound import copies_bound, output_bound
from lth_runner.networks.interface import Expansion, filled
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.networks.two_layer_expansion import linearised_
from lth_runner.problem import Problem
from lth_runner.ticket.materialise import Materialised, approximated_by, target_architecture
from lth_runner.ticket.ticket import Ticket

BATCH = 500
Project = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class FunctionError:
    """How hard to look for the largest difference.

    Attributes:
        restarts: points from which the gradient is followed: half of them random, half images.
        steps: tried in each ascent; a step up is taken and the next one made longer, after any other it is halved.
    """

    restarts: int
    steps: int

    def __post_init__(self) -> None:
        checks.integer("restarts", self.restarts, at_least=2)
        checks.integer("steps", self.steps, at_least=1)

    def measure(self, network: Materialised, problem: Problem, recorder: Recorder) -> dict[str, float]:
        """Largest |g_k(x) - f_k(x)| over outputs k, from float64 forward passes of the pruned network and the target.

        Where the ticket's first layer takes no negative inputs, the ball is its non-negative part.

        Returns:
            function_error_test: over the test images;
            curvature_error_test, where the ticket has neurons that are linear only near zero: the same between the
            network and its limit in which they are linear; curvature_error_test_bound: `output_bound` for that;
            function_error_box_found, _ball_found: the most that ascent found over pixels in [0, 1] and over the unit
            ball; function_error_test_bound, _box_bound, _ball_bound: `output_bound` for these inputs, where one is
            known for the network's layers.
        """
        architecture, target, data = problem.need("network", "target", "data")
        images = images_of(data.test_inputs).cpu().double()
        pair = Pair(network.module(torch.float64), filled(architecture, target, torch.float64))
        of_images = pair.differences(images)
        worst = images[of_images.topk(min(self.restarts // 2, len(images))).indices]
        found = {"function_error_test": float(of_images.max())}
        generator = torch.Generator().manual_seed(problem.streams.torch_seed("function_error"))
        random = torch.rand(self.restarts - len(worst), *worst.shape[1:], generator=generator, dtype=torch.float64)
        signed = takes_negatives(network.ticket)
        ball_starts = torch.cat((worst, 2 * random - 1 if signed else random))
        found["function_error_box_found"] = self._ascend(pair, torch.cat((worst, random)), into_box)
        found["function_error_ball_found"] = self._ascend(pair, ball_starts, into_ball(signed))
        shape, test = tuple(images.shape[1:]), region_of(images)
        box, ball = Region(radius=math.sqrt(math.prod(shape)), largest=1.0), Region(radius=1.0, largest=1.0)
        found |= curvature_error_seen(network, images)
        return found | bounds(network, target, shape, {"test": test, "box": box, "ball": ball}, recorder)

    def _ascend(self, pair: "Pair", starts: torch.Tensor, project: Project) -> float:
        """The largest difference reached from any of the starts; each takes only steps that go up."""
        x = project(starts)
        along = (-1, *[1] * (x.ndim - 1))
        height = pair.difference(x)
        length = 0.25 * x.flatten(1).norm(dim=1).max().expand(len(x))
        for _ in range(self.steps):
            gradient = pair.gradient(x)
            size = gradient.flatten(1).norm(dim=1).clamp_min(1e-300)
            tried = project(x + gradient * (length / size).view(along))
            reached = pair.difference(tried)
            up = reached > height
            x, height = torch.where(up.view(along), tried, x), torch.where(up, reached, height)
            length = torch.where(up, 1.5 * length, 0.5 * length)
        return float(height.max())


@dataclass(frozen=True, kw_only=True)
class Region:
    """Inputs of at most this Euclidean norm, whose entries are at most so large."""

    radius: float
    largest: float


def region_of(images: torch.Tensor) -> Region:
    """The smallest one with all these images."""
    images = images.double()
    return Region(radius=float(images.flatten(1).norm(dim=1).max()), largest=float(images.abs().max()))


@dataclass(frozen=True)
class Pair:
    """A pruned network and its target."""

    pruned: torch.nn.Module
    target: torch.nn.Module

    @torch.no_grad()
    def difference(self, x: torch.Tensor) -> torch.Tensor:
        """(N,): the largest |difference| of any output."""
        return (self.pruned(x) - self.target(x)).abs().amax(dim=1)

    def differences(self, images: torch.Tensor) -> torch.Tensor:
        """The same of many, some at a time."""
        return torch.cat([self.difference(block) for block in images.split(BATCH)])

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Of the difference of each point, in that point."""
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad((self.pruned(x) - self.target(x)).abs().amax(dim=1).sum(), x)
        return gradient


def into_box(x: torch.Tensor) -> torch.Tensor:
    """The nearest point with all pixels in [0, 1]."""
    return x.clamp(0, 1)


def into_ball(signed: bool) -> Project:
    """To the nearest point of the unit ball, or of its non-negative part."""

    def project(x: torch.Tensor) -> torch.Tensor:
        x = x if signed else x.clamp_min(0)
        norm = x.flatten(1).norm(dim=1).clamp_min(1).view(-1, *[1] * (x.ndim - 1))
        return x / norm

    return project


def takes_negatives(ticket: Ticket) -> bool:
    """Whether the network is meant for inputs with negative entries."""
    return not isinstance(ticket.architecture, Expansion) or ticket.architecture.takes_negatives()


def curvature_error_seen(network: Materialised, images: torch.Tensor) -> dict[str, float]:
    """The largest output difference between a network and its limit of linear neurons; nothing where it is that.

    Args:
        images: float64.

    Returns:
        curvature_error_test.
    """
    if not network.deviations:
        return {}
    pair = Pair(network.module(torch.float64), linearised_(network.module(torch.float64)))
    return {"curvature_error_test": float(pair.differences(images).max())}


def bounds(
    network: Materialised,
    target: Mapping[str, np.ndarray],
    shape: tuple[int, ...],
    regions: Mapping[str, Region],
    recorder: Recorder,
) -> dict[str, float]:
    """`ticket_bound` for each region; empty, and said, where none is known for the network's layers."""
    reference, readings = approximated_by(network.ticket, target), network.readings
    try:
        bound = ticket_bound(network, reference, shape)
        found = {f"function_error_{name}_bound": bound(region) for name, region in regions.items()}
        if network.deviations and all(len(readings[name]) == 1 for name in readings):
            limit = {**reference, **{name: reading[0] for name, reading in readings.items()}}
            found["curvature_error_test_bound"] = ticket_bound(network, limit, shape)(regions["test"])
        return found
    except ConfigError as reason:
        recorder.say(f"the largest output difference has no upper bound here: {reason}")
        return {}


def ticket_bound(
    network: Materialised, reference: Mapping[str, np.ndarray], shape: tuple[int, ...]
) -> Callable[[Region], float]:
    """`output_bound` or, of a network with copies of its neurons, `copies_bound`, for any inputs.

    Args:
        reference: what the ticket's readings stand for.
        shape: of one input.

    Raises:
        ConfigError: a network for which no bound is known; the function that is returned may raise it, too.
    """
    architecture = network.ticket.architecture
    if isinstance(architecture, NeuronCopies):
        exact = [reference[layer.weight] for layer in architecture.layers]
        within = copies_bound(architecture.multipliers(network.module(torch.float64)), exact)
        return lambda region: within(region.radius)
    return lambda region: output_bound(
        network.readings,
        reference,
        target_architecture(network.ticket),
        shape,
        region.radius,
        largest=region.largest,
        deviations=network.deviations,
    )
