"""A masked training on kept weights alone, and for which trainings there is one."""

from collections.abc import Mapping

import numba
import numpy as np
import torch

from lth_runner.data.interface import Inputs
from lth_runner.training.fast_cpu import kernels
from lth_runner.training.fast_cpu.layers import linear_layers
from lth_runner.training.fast_cpu.rules import Rule, rule_of
from lth_runner.training.loop import Batches
from lth_runner.training.loss import Loss, classification


def sparse_training(
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    kept: Mapping[str, torch.Tensor],
    batches: Batches,
    loss: Loss,
) -> "SparseTraining | None":
    """The fast path of this training; None where there is none, or where it does not pay.

    Args:
        kept: bool by parameter name, in the parameter's shape.
    """
    layers, rule = linear_layers(module), rule_of(optimizer)
    weights = {f"{name}.weight" for name in layers}
    if not layers or rule is None or loss is not classification or not kept.keys() <= weights:
        return None
    masks = [
        kept.get(f"{name}.weight", torch.ones_like(layer.weight, dtype=torch.bool)) for name, layer in layers.items()
    ]
    modules = list(layers.values())
    if not _fits(batches, modules) or not pays(masks, batches.size):
        return None
    return SparseTraining(modules, masks, optimizer, rule)


# Costs of a step, in what a dense one takes for each of its weights and samples: of a kept weight and a lane, and of
# all that is done to weights whatever the batch. Measured on one core of an AMD EPYC with AVX-512: LeNet-300-100 is as
# fast either way with 70 % of its weights at batches of 60 and with 40 % at 256, with Adam later than with SGD, and in
# wider networks a little sooner.
SPARSE, OVERHEAD = 3, 60


def pays(masks: list[torch.Tensor], batch: int) -> bool:
    """Whether steps on kept weights are the faster ones, decided by masks and batch alone: the same everywhere."""
    kept, total = sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)
    lanes = kernels.LANES * -(-batch // kernels.LANES)
    return SPARSE * kept * lanes <= total * (batch + OVERHEAD)


def _fits(batches: Batches, layers: list[torch.nn.Linear]) -> bool:
    """Whether all data are what compiled code may read without looking at it again."""
    inputs, labels = batches.inputs, batches.labels
    return (
        isinstance(inputs, torch.Tensor)
        and inputs.dtype == torch.float32
        and inputs.ndim > 1
        and inputs[0].numel() == layers[0].in_features
        and batches.device.type == "cpu"
        and batches.augment is None
        and labels is not None
        and labels.dtype == torch.int64
        and labels.ndim == 1
        and int(labels.min()) >= 0
        and int(labels.max()) < layers[-1].out_features
    )


class SparseTraining:
    """Steps of an optimizer on the kept weights and the biases of a fully connected ReLU network.

    They are what a dense step with masked gradients computes, up to the order of sums. The weights in the module are
    brought up to date by every step; gradients are not left there; what the optimizer remembers is in its own tensors
    after `remember`.

    Attributes:
        kind: what decides the roundings, as text.
    """

    kind = f"sparse, {kernels.LANES} lanes, numba {numba.__version__}"

    def __init__(
        self, layers: list[torch.nn.Linear], masks: list[torch.Tensor], optimizer: torch.optim.Optimizer, rule: Rule
    ) -> None:
        self._optimizer, self._rule = optimizer, rule
        self._inputs, self._outputs = layers[0].in_features, layers[-1].out_features
        self._starts, self._sources = _matrix(masks)
        places = [np.flatnonzero(mask.numpy()) for mask in masks]
        self._tensors = [layer.weight for layer in layers]
        if layers[0].bias is not None:
            self._tensors += [layer.bias for layer in layers]
            places += [np.arange(layer.out_features) for layer in layers]
        self._places = [place.astype(np.uint32) for place in places]
        self._flat = [tensor.detach().numpy().reshape(-1) for tensor in self._tensors]
        self._bounds = np.cumsum([0, *(place.size for place in self._places)])
        self._parts = [slice(*pair) for pair in zip(self._bounds[:-1], self._bounds[1:], strict=True)]
        rows = self._inputs + self._starts.size - 1
        self._values, self._slopes = np.zeros((2, rows, kernels.LANES), np.float32)
        self._theta, self._grad = np.zeros((2, self._bounds[-1]), np.float32)
        self._memory = np.zeros((len(rule.entries), self._theta.size), np.float32)
        self._steps = np.zeros(len(self._tensors))
        self._network = (self._outputs, self._starts, self._sources, self._theta, self._values)
        self.load()

    def load(self) -> None:
        """Takes weights and the optimizer's memory from module and optimizer."""
        self._load_weights()
        for i, (tensor, place, part) in enumerate(zip(self._tensors, self._places, self._parts, strict=True)):
            known = self._optimizer.state.get(tensor, {})
            for row, entry in zip(self._memory, self._rule.entries, strict=True):
                found = known.get(entry)
                row[part] = 0 if found is None else found.numpy().reshape(-1)[place]
            self._steps[i] = float(known["step"]) if "step" in known else float(bool(known))

    def step(self, inputs: Inputs, labels: torch.Tensor | None, rate: float) -> torch.Tensor:
        """One step of the optimizer on a batch; gives the loss before it, a 0-d tensor."""
        self._follow()
        assert labels is not None, "checked for all batches"
        loss = kernels.gradient(_rows(inputs), labels.numpy(), *self._network, self._slopes, self._grad)
        self._steps += 1
        self._rule.descend(self._theta, self._grad, self._memory, self._bounds, self._steps, rate)
        for flat, place, part in zip(self._flat, self._places, self._parts, strict=True):
            kernels.put(flat, place, self._theta[part])
        return torch.tensor(loss)

    def outputs(self, inputs: Inputs) -> torch.Tensor:
        """What the network gives: (B, outputs)."""
        self._follow()
        rows = _rows(inputs)
        found = torch.empty(len(rows), self._outputs)
        kernels.evaluate(rows, *self._network, found.numpy())
        return found

    def remember(self) -> None:
        """Writes what the optimizer remembers into its own tensors, 0 where weights are pruned."""
        for i, (tensor, place, part) in enumerate(zip(self._tensors, self._places, self._parts, strict=True)):
            if not self._steps[i]:
                continue
            known = self._optimizer.state[tensor]
            for row, entry in zip(self._memory, self._rule.entries, strict=True):
                whole = np.zeros(tensor.numel(), np.float32)
                whole[place] = row[part]
                known[entry] = torch.from_numpy(whole).view_as(tensor)
            if self._rule.counts:
                known["step"] = torch.tensor(float(self._steps[i]))

    def _load_weights(self) -> None:
        for flat, place, part in zip(self._flat, self._places, self._parts, strict=True):
            self._theta[part] = flat[place]
        self._versions = [tensor._version for tensor in self._tensors]

    def _follow(self) -> None:
        """Takes weights that somebody has changed in the module; pruned ones become 0 there."""
        if self._versions != [tensor._version for tensor in self._tensors]:
            self._load_weights()
            for flat, place, part in zip(self._flat, self._places, self._parts, strict=True):
                flat.fill(0)
                flat[place] = self._theta[part]


def _rows(inputs: Inputs) -> np.ndarray:
    assert isinstance(inputs, torch.Tensor), "checked for all batches"
    return inputs.detach().flatten(1).contiguous().numpy()


def _matrix(masks: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """(neurons + 1,) where each neuron's weights begin, and (weights,) which row of values each weight multiplies."""
    counts = [mask.sum(1).numpy() for mask in masks]
    widths = [mask.shape[1] for mask in masks]
    before = np.cumsum([0, *widths[:-1]])
    sources = [mask.nonzero()[:, 1].numpy() + first for mask, first in zip(masks, before, strict=True)]
    return np.cumsum([0, *np.concatenate(counts)]), np.concatenate(sources).astype(np.uint32)
