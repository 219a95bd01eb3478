"""Second moments of the inputs that weight layers really get, and layers replaced while the inputs pass through."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lth_runner.construct.compensation import Compensation, check_training_inputs
from lth_runner.core.errors import ConfigError, lacks_memory
from lth_runner.data.interface import Inputs, moved, num_samples, select, split
from lth_runner.networks.attention import unpack_
from lth_runner.networks.interface import aligned, shared
from lth_runner.networks.layers import WeightLayer
from lth_runner.networks.patches import patches
from lth_runner.problem import Problem

BATCH = 256  # samples of a forward pass where they are streamed
CHUNK = 1 << 23  # numbers of unfolded patches held at a time: 64 MiB

MOMENTS = 1 << 27  # numbers of second moments held at a time, or those of one layer: 1 GiB

# the layer and the mean of x x^T over its inputs x, (groups, d, d) float64 -> the weight that stands there from now on;
# None: whatever comes behind the layer is left out
Replace = Callable[[WeightLayer, np.ndarray], np.ndarray | None]
Known = Callable[[WeightLayer], np.ndarray | None]  # the weight that stands there already; None: it is to be chosen


def _none_known(layer: WeightLayer) -> None:
    del layer


def replace_layers(
    problem: Problem,
    layers: Sequence[WeightLayer],
    settings: Compensation,
    replace: Replace,
    module: torch.nn.Module,
    known: Known = _none_known,
) -> set[str]:
    """Calls `replace` once for every weight, in the order in which the calibration inputs reach the layers.

    Of a layer that is called more than once, and of layers that share a weight, the first call decides.

    Args:
        layers: of the problem's network.
        module: of `calibrated`; where the pruned layers are followed, its weights are replaced.
        known: where the pruned layers are followed, the weights for which `replace` is not asked.

    Returns:
        names of the weights that no calibration input reached: nothing is known of their inputs, and they were not
        replaced.

    Raises:
        ConfigError: the data has no training inputs.
    """
    inputs, real = calibration_inputs(problem, settings.samples)
    names = {layer.weight for layer in layers}
    if settings.follow == "pruned":
        return names - _walk(module, layers, inputs, real, replace, known)
    reached: set[str] = set()
    for some in _held_at_once(layers):
        found = second_moments(module, some, inputs, real, BATCH)
        reached |= found.keys()
        for layer in some:
            if layer.weight in found:
                replace(layer, found.pop(layer.weight))
    return names - reached


def _held_at_once(layers: Sequence[WeightLayer]) -> list[list[WeightLayer]]:
    """Neighbours whose second moments fit into memory together, each with all layers of its weight."""
    groups: list[list[WeightLayer]] = []
    free = 0
    for layer in layers:
        with_it = next((group for group in groups if layer.weight in {other.weight for other in group}), None)
        if with_it is not None:
            with_it.append(layer)
            continue
        size = layer.groups * layer.part.weight[0].numel() ** 2
        if not groups or size > free:
            groups.append([])
            free = MOMENTS
        groups[-1].append(layer)
        free -= size
    return groups


def calibrated(problem: Problem) -> torch.nn.Module:
    """The target in float64 on the CPU, its attentions unpacked, so that each weight layer can be looked at.

    Its tensors are the target's own memory where that is possible: nobody may write to them.
    """
    network, target = problem.need("network", "target")
    module, _ = unpack_(shared(network, target))
    return module.requires_grad_(False).eval()


def calibration_inputs(problem: Problem, samples: int) -> tuple[Inputs, torch.Tensor | None]:
    """Training inputs in float64 picked by the stream ("calibration",), and which of their positions are real.

    Raises:
        ConfigError: there are none.
    """
    (data,) = problem.need("data")
    check_training_inputs("inputs", data)
    count = num_samples(data.train_inputs)
    picked = np.sort(problem.streams("calibration").permutation(count)[:samples])
    inputs = moved(moved(select(data.train_inputs, torch.from_numpy(picked)), "cpu"), torch.float64)
    return inputs, inputs[data.mask] != 0 if isinstance(inputs, dict) and data.mask else None


def second_moments(
    module: torch.nn.Module,
    layers: Sequence[WeightLayer],
    inputs: Inputs,
    real: torch.Tensor | None,
    batch: int,
) -> dict[str, np.ndarray]:
    """Means of x x^T over the inputs x of each layer, (groups, d, d) float64, by the weight's name; see `moment_sum`.

    Args:
        real: (N, T) bool: of inputs with positions, those that count; None: all.
        batch: samples per forward pass.
    """
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}

    def add(layer: WeightLayer, part: Any, x: torch.Tensor, rows: torch.Tensor | None) -> None:
        total, count = moment_sum(part, x, rows)
        if layer.weight in sums:
            sums[layer.weight] += total
        else:
            sums[layer.weight] = total
        counts[layer.weight] = counts.get(layer.weight, 0) + count

    rows = [None] * -(-num_samples(inputs) // batch) if real is None else real.split(batch)
    for block, marks in zip(split(inputs, batch), rows, strict=True):
        _watch(module, layers, block, marks, add)
    for name, total in sums.items():
        total /= max(1, counts[name])  # in place: one copy of them
    return sums


def moment_sum(part: Any, x: torch.Tensor, real: torch.Tensor | None) -> tuple[np.ndarray, int]:
    """The sum of x x^T over what the rows of a layer's weight, flattened, are multiplied with; and of how many.

    Args:
        part: a linear layer, or a convolution: there every patch counts, in the order of the flattened kernel.
        x: its input.
        real: (N, T): which positions of x (N, T, in) count; None, or an input of another shape: all.

    Returns:
        (groups, d, d) with d = weight[0].numel(), and the number of terms.
    """
    if isinstance(part, torch.nn.Linear):
        kept = x[real] if real is not None and x.ndim == 3 and x.shape[:2] == real.shape else x
        rows = kept.reshape(-1, kept.shape[-1])
        return (rows.T @ rows)[None].numpy(), len(rows)
    total, count = torch.zeros(()), 0
    step = max(1, CHUNK // (x[0].numel() * part.weight[0, 0].numel()))
    for some in (x if x.ndim == 4 else x[None]).split(step):
        rows = patches(part, some).transpose(0, 1).flatten(1, 2)  # (groups, N * places, d)
        total, count = total + rows.mT @ rows, count + rows.shape[1]
    return total.numpy(), count


def _walk(
    module: torch.nn.Module,
    layers: Sequence[WeightLayer],
    inputs: Inputs,
    real: torch.Tensor | None,
    replace: Replace,
    known: Known,
) -> set[str]:
    """One forward pass, in which every layer is replaced when the inputs reach it, before it computes; which were."""
    reached: set[str] = set()

    def replace_(layer: WeightLayer, part: Any, x: torch.Tensor, rows: torch.Tensor | None) -> None:
        reached.add(layer.weight)
        new = known(layer)
        if new is None:
            total, count = moment_sum(part, x, rows)
            new = replace(layer, total / max(1, count))
        if new is None:
            raise _Seen
        part.weight.data = aligned(new)  # of all layers with this weight

    try:
        _watch(module, layers, inputs, real, replace_)
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise ConfigError(
            "the calibration inputs do not fit into memory all at once: lower method.compensation.samples, or set "
            "method.compensation.follow=target, which takes them in parts"
        ) from error
    return reached


class _Seen(Exception):
    """All that a forward pass was for has been seen."""


Watch = Callable[[WeightLayer, Any, torch.Tensor, torch.Tensor | None], None]


@torch.no_grad()
def _watch(
    module: torch.nn.Module, layers: Sequence[WeightLayer], inputs: Inputs, real: torch.Tensor | None, watch: Watch
) -> None:
    """One forward pass in which `watch` sees each layer's first input before the layer does; it ends with the last."""
    every = {layer.weight for layer in layers}
    seen: set[str] = set()

    def hook(part: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, layer: WeightLayer) -> None:
        if layer.weight not in seen:
            seen.add(layer.weight)
            watch(layer, part, args[0] if args else kwargs["input"], real)
            if seen == every:
                raise _Seen

    parts = [(layer, module.get_submodule(layer.name)) for layer in layers]
    handles = [part.register_forward_pre_hook(partial(hook, layer=layer), with_kwargs=True) for layer, part in parts]
    try:
        module(inputs)
    except _Seen:
        pass
    finally:
        for handle in handles:
            handle.remove()
