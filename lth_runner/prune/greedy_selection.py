"""Greedy forward selection of hidden neurons: from the empty set to a ticket (Ye et al. 2020)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture, filled
from lth_runner.problem import Found, Problem
from lth_runner.prune.forward_selection import CrossEntropy, Neurons, Objective, Selection, Squares, greedy, in_order
from lth_runner.prune.trained_ticket import TrainedTicket, summary
from lth_runner.prune.trainings import Trained, Trainings
from lth_runner.prune.two_layers import TwoLayers, two_layers
from lth_runner.prune.units import masks
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source, Stored
from lth_runner.ticket.ticket import Ticket
from lth_runner.training.evaluate import evaluated, first_batch

STARTS = ("trained", "random")
OBJECTIVES = ("labels", "output", "layer")
WEIGHTS = ("equal", "line_search")
CONTROLS = ("none", "random_subset")


@dataclass(frozen=True, kw_only=True)
class GreedySelection(TrainedTicket):
    """Selects hidden neurons of a network of two linear layers, each time the one after which a loss is least.

    The ticket's masks keep whole neurons, and its second layer is scaled so that its outputs are the mean over the
    selected neurons as those of the whole network are the mean over all of them. Its biases stay.

    Reference: arXiv:2003.01794; imitation from its follow-up. Differs from the papers: the loss is that of one fixed
    set of training images, and all neurons are candidates each time (the published code draws a batch and 50 candidates
    for each addition); on cross-entropies a line search moves the neuron that is best at the step of equal weights. Of
    two layers the second is the last, so that imitating the layer is imitating the logits.

    Attributes:
        density: additions / hidden neurons; where neurons repeat, fewer are kept.
        start: "trained", the dense network after its training; "random", as it is drawn.
        objective: "labels", their cross-entropy; "output", the divergence of the class probabilities from those of the
            whole network (global imitation); "layer", the mean squared distance of the logits from those of the whole
            network (local imitation).
        weights: "equal", of the mean of all additions; "line_search", each addition moves as far towards its neuron as
            is best.
        repeats: whether a neuron can be selected again, and then weighs more.
        images: training images, picked at random once, that losses are taken on; all where there are fewer.
        retrain: whether the selected network is trained.
        control: "none"; "random_subset", neurons chosen at random in place of the selected ones, with equal weights.
    """

    start: str
    objective: str
    weights: str
    repeats: bool
    images: int
    retrain: bool
    control: str

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice("start", self.start, STARTS)
        checks.choice("objective", self.objective, OBJECTIVES)
        checks.choice("weights", self.weights, WEIGHTS)
        checks.boolean("repeats", self.repeats)
        checks.integer("images", self.images, at_least=1)
        checks.boolean("retrain", self.retrain)
        checks.choice("control", self.control, CONTROLS)
        if self.control != "none" and (self.repeats or self.weights != "equal"):
            raise ConfigError("control=random_subset is of equal weights: set weights=equal and repeats=false")

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """Refuses networks of other than two linear layers, and data without labels or with too few images."""
        super().check(network, data)
        two_layers(network)

    def together(self, device: str) -> bool:
        """Always: the whole network is trained once for all."""
        del device
        return True

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density, all of one selection; see `Method.find`."""
        (network,) = problem.need("network")
        layers = two_layers(network)
        run = _Run(self, layers, self.trainings(problem, recorder), recorder)
        counts = [round(density * layers.hidden) for density in densities]
        if min(counts, default=1) == 0:
            raise ConfigError(f"density={min(densities):g} selects none of {layers.hidden} neurons: set it higher")
        selection = run.selection(max(counts, default=0))
        return [run.found(selection, count) for count in counts]


class _Run:
    """One selection on a problem, and the tickets of its first additions."""

    def __init__(self, method: GreedySelection, layers: TwoLayers, trainings: Trainings, recorder: Recorder) -> None:
        self.method, self.layers, self.trainings, self.recorder = method, layers, trainings, recorder
        self.sources = dict(trainings.start)
        if method.start == "trained":
            self.sources = trainings.stored(trainings.train("dense", trainings.whole()).state, "trained")
        self.neurons, self.objective = self._seen()

    def selection(self, additions: int) -> Selection:
        """The neurons in the order of their selection."""
        method = self.method
        if method.control == "random_subset":
            order = self.trainings.streams("selection", "subset").permutation(self.layers.hidden)[:additions]
            return in_order(self.neurons, self.objective, order)
        with self.recorder.progress("neurons selected", additions) as bar:
            return greedy(
                self.neurons,
                self.objective,
                additions,
                repeats=method.repeats,
                line_search=method.weights == "line_search",
                done=lambda loss: bar.advance(1, f"loss {loss:.4g}"),
            )

    def found(self, selection: Selection, additions: int) -> Found:
        """The ticket of the first additions."""
        layers, trainings = self.layers, self.trainings
        weights = selection.weights(additions, layers.hidden)
        kept = weights > 0
        sources = self._scaled(weights)
        module = trainings.module(sources)
        pruned = masks({"hidden": layers.units}, {"hidden": kept}, _shapes(sources))
        start = dict(trainings.start) if self.method.start == "trained" else {}
        if self.method.retrain:
            start, name = dict(sources), f"{additions} neurons"
            trained = trainings.train(name, pruned, trainings.state(module), density=additions / layers.hidden)
            sources = trainings.stored(trained.state, "trained")
        else:
            trained = self._measured(sources, pruned)
        loss, whole = selection.losses[additions - 1], self.objective.loss(self.neurons.whole())
        facts = {
            "density": float(kept.mean()),
            "additions": additions,
            "neurons": int(kept.sum()),
            "selection_loss": float(loss),
            "whole_loss": whole,
            **summary(trained.evaluations),
        }
        self.recorder.say(f"{facts['neurons']} of {layers.hidden} neurons: loss {loss:.4g}, of all {whole:.4g}")
        return Found(
            ticket=Ticket(
                architecture=trainings.network,
                seed=trainings.seed,
                weights=sources,
                masks={name: Mask.pack(mask) for name, mask in pruned.items()},
                start=start,
                facts=facts,
            )
        )

    def _seen(self) -> tuple[Neurons, Objective]:
        """The neurons on the images of the selection, and what it is for."""
        layers, trainings = self.layers, self.trainings
        order = torch.from_numpy(trainings.streams("selection", "images").permutation(len(trainings.split.train[1])))
        inputs, truth = first_batch(trainings.split.train, self.method.images, order)
        module = trainings.module(self.sources).eval()
        second = module.get_submodule(layers.second)
        assert isinstance(second, torch.nn.Linear), "two_layers has seen to it"
        weight = second.weight.detach().to("cpu", torch.float64)  # (K, N)
        bias = torch.zeros(layers.outputs) if second.bias is None else second.bias.detach().cpu()
        neurons = Neurons(
            hidden=layers.activations(module, inputs),
            outgoing=(weight.T * layers.hidden).contiguous(),
            bias=bias.to(torch.float64),
        )
        if self.method.objective == "layer":
            return neurons, Squares(neurons, neurons.whole())
        if self.method.objective == "output":
            return neurons, CrossEntropy(neurons, (neurons.whole() + neurons.bias).softmax(1))
        return neurons, CrossEntropy(neurons, torch.nn.functional.one_hot(truth.cpu(), layers.outputs).double())

    def _scaled(self, weights: np.ndarray) -> dict[str, Source]:
        """The sources, the second layer's columns times N a_i: where all that is kept weighs alike and is drawn, it
        stays so."""
        name, factors = f"{self.layers.second}.weight", self.layers.hidden * weights
        source, kept = self.sources[name], np.unique(factors[factors > 0])
        if isinstance(source, Drawn) and np.ptp(kept) <= 1e-9 * kept.max():
            return {**self.sources, name: replace(source, scale=source.scale * float(kept.max()))}
        array = source.draw(self.trainings.seed) if isinstance(source, Drawn) else source.array
        return {**self.sources, name: Stored(array=(array * factors).astype(np.float32), origin="selected")}

    def _measured(self, sources: Mapping[str, Source], pruned: Mapping[str, np.ndarray]) -> Trained:
        """The selected network without a training of its own, as one of no steps."""
        trainings = self.trainings
        arrays = {name: s.draw(trainings.seed) if isinstance(s, Drawn) else s.array for name, s in sources.items()}
        arrays |= {name: arrays[name] * mask for name, mask in pruned.items()}
        module = filled(trainings.network, arrays).to(trainings.device)
        with torch.no_grad():
            line = {"step": 0, **evaluated(module, trainings.split.measured)}
        return Trained(state=trainings.state(module), evaluations=[line])


def _shapes(sources: Mapping[str, Source]) -> dict[str, tuple[int, ...]]:
    return {name: source.shape for name, source in sources.items()}
