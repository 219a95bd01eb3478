"""Greedy forward selection of hidden neurons: from the empty set to a ticket (Ye et al. 2020)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset, Inputs
from lth_runner.networks.interface import Architecture, filled
from lth_runner.problem import Found, Problem
from lth_runner.prune.forward_selection import CrossEntropy, Neurons, Objective, Selection, Squares, greedy, in_order
from lth_runner.prune.trained_ticket import TrainedTicket, summary
from lth_runner.prune.trainings import Trained, Trainings
from lth_runner.prune.two_layers import TwoLayers, hidden_layers, two_layers
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
    """Selects hidden neurons of a network of linear layers, each time the one after which a loss is least.

    The ticket's masks keep whole neurons, and the layer after them is scaled so that its outputs are the mean over the
    selected neurons as those of the whole network are the mean over all of them. Its biases stay.

    Reference: arXiv:2003.01794; imitation from its follow-up. Differs from the papers: the loss is that of one fixed
    set of training images, and all neurons are candidates each time (the published code draws a batch and 50 candidates
    for each addition); on cross-entropies a line search moves the neuron that is best at the step of equal weights. Of
    two layers the second is the last, so that imitating the layer is imitating the logits. Of more layers every hidden
    one is selected from by itself, as local imitation does, on what the whole network gives it; the published code goes
    through the layers in order, each on what the ones before have left, and takes the loss on labels.

    Attributes:
        density: additions / hidden neurons, the same in every hidden layer; where neurons repeat, fewer are kept.
        start: "trained", the dense network after its training; "random", as it is drawn.
        objective: "labels", their cross-entropy; "output", the divergence of the class probabilities from those of the
            whole network (global imitation); "layer", the mean squared distance of what the next layer gives from what
            it gives in the whole network (local imitation), the only one for more than two layers.
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
        """Refuses networks of other than linear layers, and data without labels or with too few images."""
        super().check(network, data)
        self.layers(network)

    def layers(self, network: Architecture) -> list[TwoLayers]:
        """The hidden layers that are selected from.

        Raises:
            ConfigError: the network has none, or several, and the objective is of two layers.
        """
        found = hidden_layers(network)
        if len(found) > 1 and self.objective != "layer":
            raise ConfigError(
                f"this selects hidden neurons of networks of two linear layers, and {type(network).__name__} is none: "
                "choose network=fc, or set method.objective=layer"
            )
        return found if len(found) > 1 else [two_layers(network)]

    def together(self, device: str) -> bool:
        """Always: the whole network is trained once for all."""
        del device
        return True

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density, all of one selection; see `Method.find`."""
        (network,) = problem.need("network")
        layers = self.layers(network)
        least = min(layer.hidden for layer in layers)
        if round(min(densities, default=1) * least) == 0:
            raise ConfigError(f"density={min(densities):g} selects none of {least} neurons: set it higher")
        run = _Run(self, layers, self.trainings(problem, recorder), recorder)
        selections = run.selections(max(densities, default=0))
        return [run.found(selections, density) for density in densities]


class _Run:
    """One selection from every hidden layer of a problem's network, and the tickets of their first additions."""

    def __init__(
        self, method: GreedySelection, layers: list[TwoLayers], trainings: Trainings, recorder: Recorder
    ) -> None:
        self.method, self.layers, self.trainings, self.recorder = method, layers, trainings, recorder
        self.sources = dict(trainings.start)
        if method.start == "trained":
            self.sources = trainings.stored(trainings.train("dense", trainings.whole()).state, "trained")
        self.seen = self._seen()

    def selections(self, density: float) -> list[Selection]:
        """The neurons of every layer in the order of their selection, up to a density."""
        return [self._selection(number, round(density * layer.hidden)) for number, layer in enumerate(self.layers)]

    def _selection(self, number: int, additions: int) -> Selection:
        method, (neurons, objective) = self.method, self.seen[number]
        if method.control == "random_subset":
            path = ("selection", "subset", *([self.layers[number].first] if number else []))
            return in_order(neurons, objective, self.trainings.streams(*path).permutation(neurons.count)[:additions])
        with self.recorder.progress("neurons selected", additions) as bar:
            return greedy(
                neurons,
                objective,
                additions,
                repeats=method.repeats,
                line_search=method.weights == "line_search",
                done=lambda loss: bar.advance(1, f"loss {loss:.4g}"),
            )

    def found(self, selections: list[Selection], density: float) -> Found:
        """The ticket of the first additions to every layer."""
        trainings, counts = self.trainings, [round(density * layer.hidden) for layer in self.layers]
        additions, hidden = sum(counts), sum(layer.hidden for layer in self.layers)
        chosen = list(zip(self.layers, selections, counts, strict=True))
        weights = {layer.second: one.weights(count, layer.hidden) for layer, one, count in chosen}
        sources = self._scaled(weights)
        module = trainings.module(sources)
        kept = {name: each > 0 for name, each in weights.items()}
        pruned = masks({layer.second: layer.units for layer in self.layers}, kept, _shapes(sources))
        start = dict(trainings.start) if self.method.start == "trained" else {}
        if self.method.retrain:
            start, name = dict(sources), f"{additions} neurons"
            trained = trainings.train(name, pruned, trainings.state(module), density=additions / hidden)
            sources = trainings.stored(trained.state, "trained")
        else:
            trained = self._measured(sources, pruned)
        loss = sum(float(one.losses[count - 1]) for _, one, count in chosen)
        whole = sum(objective.loss(neurons.whole()) for neurons, objective in self.seen)
        neurons = sum(int(each.sum()) for each in kept.values())
        facts = {
            "density": neurons / hidden,
            "additions": additions,
            "neurons": neurons,
            "selection_loss": loss,
            "whole_loss": whole,
            **summary(trained.evaluations),
        }
        self.recorder.say(f"{neurons} of {hidden} neurons: loss {loss:.4g}, of all {whole:.4g}")
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

    def _seen(self) -> list[tuple[Neurons, Objective]]:
        """The neurons of every layer on the images of the selection, and what it is for."""
        trainings = self.trainings
        order = torch.from_numpy(trainings.streams("selection", "images").permutation(len(trainings.split.train[1])))
        inputs, truth = first_batch(trainings.split.train, self.method.images, order)
        module = trainings.module(self.sources).eval()
        return [self._of_layer(layers, module, inputs, truth) for layers in self.layers]

    def _of_layer(
        self, layers: TwoLayers, module: torch.nn.Module, inputs: Inputs, truth: torch.Tensor
    ) -> tuple[Neurons, Objective]:
        second = module.get_submodule(layers.second)
        assert isinstance(second, torch.nn.Linear), "hidden_layers has seen to it"
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

    def _scaled(self, weights: Mapping[str, np.ndarray]) -> dict[str, Source]:
        """The sources, the columns of the layers after the selected neurons times N a_i.

        Args:
            weights: a_i by the layer's path.
        """
        scaled = {f"{path}.weight": self._times(f"{path}.weight", each.size * each) for path, each in weights.items()}
        return {**self.sources, **scaled}

    def _times(self, name: str, factors: np.ndarray) -> Source:
        """A source with its columns times factors: where all that is kept weighs alike and is drawn, it stays so."""
        source, kept = self.sources[name], np.unique(factors[factors > 0])
        if isinstance(source, Drawn) and np.ptp(kept) <= 1e-9 * kept.max():
            return replace(source, scale=source.scale * float(kept.max()))
        array = source.draw(self.trainings.seed) if isinstance(source, Drawn) else source.array
        return Stored(array=(array * factors).astype(np.float32), origin="selected")

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
