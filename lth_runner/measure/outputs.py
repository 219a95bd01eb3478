"""How far a pruned network's outputs are from its target's: differences, angles, choices and probabilities."""

from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import log_softmax

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.data.interface import Inputs, moved, num_samples, split

POOLS = ("mean",)


@torch.inference_mode()
def compare(
    module: torch.nn.Module,
    target: torch.nn.Module,
    inputs: Inputs,
    mask: str | None,
    pool: str | None,
    batch: int,
    labels: torch.Tensor | None = None,
) -> dict[str, float]:
    """Both networks' outputs side by side, in one pass over the inputs.

    Each network gets floating inputs in the dtype of its parameters; what is measured is in float64. Both are put into
    evaluation mode for this and back into the modes they were in. An output (N, T, D) is one vector of length D for
    each of T positions; where the inputs have a mask (N, T), only real positions enter. Any other output is one tensor
    for each sample, whose last axis holds the vectors.

    Args:
        mask: which of the named inputs marks real positions; None: all are.
        pool: "mean": outputs (N, T, D) become their mean over the real positions, (N, D), before they are compared;
            None: they stay as they are.
        batch: samples per forward pass.
        labels: (N,) of outputs (N, classes); None: accuracy is not asked for.

    Returns:
        accuracy: of `module`, a fraction, with labels alone;
        output_difference_max, output_difference_mean: of |difference| over all entries;
        output_cosine_mean, output_cosine_min: over the samples, of the angle between the flattened outputs (two zero
        vectors have cosine 1, one has 0);
        agreement: share of the vectors whose largest entry is the same; of equal entries the first counts;
        kl_softmax_mean: over the vectors, of KL(softmax(target) || softmax(pruned)), in nats;
        token_cosine_mean, token_cosine_min: only of outputs (N, T, D) with a mask or a pool, over the real positions,
        before pooling.

    Raises:
        ConfigError: an unknown pool, outputs of unequal shapes, or outputs that cannot be pooled.
    """
    if pool is not None:
        checks.choice("pool", pool, POOLS)
    modes = module.training, target.training
    module.eval()
    target.eval()
    seen: dict[str, list[torch.Tensor]] = {}
    for block, truth in zip(split(inputs, batch), _parts(inputs, labels, batch), strict=True):
        real = block[mask] != 0 if isinstance(block, dict) and mask is not None else None
        outputs = _output(module, block)
        for name, values in _measured(outputs, _output(target, block), real, pool):
            seen.setdefault(name, []).append(values)
        if truth is not None:
            seen.setdefault("right", []).append((outputs.argmax(1) == truth).double())
    module.train(modes[0])
    target.train(modes[1])
    every = {name: torch.cat(values) for name, values in seen.items()}
    found = {
        "output_difference_max": every["largest"].max(),
        "output_difference_mean": every["total"].sum() / every["entries"].sum(),
        "output_cosine_mean": every["cosine"].mean(),
        "output_cosine_min": every["cosine"].min(),
        "agreement": every["agreement"].mean(),
        "kl_softmax_mean": every["kl"].mean(),
    }
    if "right" in every:
        found["accuracy"] = every["right"].mean()
    if "token_cosine" in every:
        found |= {"token_cosine_mean": every["token_cosine"].mean(), "token_cosine_min": every["token_cosine"].min()}
    return {name: float(value) for name, value in found.items()}


def _parts(inputs: Inputs, labels: torch.Tensor | None, batch: int) -> Sequence[torch.Tensor | None]:
    """The labels of each block; None for each where there are none."""
    return [None] * -(-num_samples(inputs) // batch) if labels is None else labels.split(batch)


def cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(N,): of the angles between the rows of two float64 matrices; 1 for two zero rows, 0 for one.

    Of equal rows it is exactly 1. Rows are divided by their largest entry first: no square overflows or vanishes.
    """
    sizes = [rows.abs().amax(1) for rows in (one, other)]
    one, other = (rows / size.where(size != 0, 1)[:, None] for rows, size in zip((one, other), sizes, strict=True))
    product = (one * other).sum(1)
    norms = ((one * one).sum(1) * (other * other).sum(1)).sqrt()
    found = (product / norms.where(norms != 0, 1)).clamp(-1, 1)
    return found.where((sizes[0] != 0) | (sizes[1] != 0), 1.0)


def kl_softmax(pruned: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(...,): KL(softmax(target) || softmax(pruned)) over the last axis, in nats."""
    log_p, log_q = log_softmax(target, -1), log_softmax(pruned, -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def masked_mean(outputs: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """(N, D): the mean of (N, T, D) over the positions that `real` (N, T) marks, at least one in each sample."""
    kept = torch.where(real[:, :, None], outputs, 0)  # what stands at other positions may be NaN
    return kept.sum(1) / real.sum(1, keepdim=True)


def _output(module: torch.nn.Module, block: Inputs) -> torch.Tensor:
    """(N, ..., D) float64; the module works in the dtype of its parameters."""
    parameter = next((p for p in module.parameters() if p.is_floating_point()), None)
    found = module(block if parameter is None else moved(block, parameter.dtype)).double()
    return found if found.ndim > 1 else found[:, None]


def _measured(
    pruned: torch.Tensor, target: torch.Tensor, real: torch.Tensor | None, pool: str | None
) -> Iterator[tuple[str, torch.Tensor]]:
    """What one block gives, by name: one number per sample, or per vector."""
    if pruned.shape != target.shape:
        raise ConfigError(
            f"the outputs of the pruned network have the shape {tuple(pruned.shape)} and those of its target "
            f"{tuple(target.shape)}: compare networks with equal outputs"
        )
    positions = pruned.ndim == 3
    if pool is not None and not positions:
        raise ConfigError(f"network.pool={pool} needs outputs (N, T, D), got {tuple(pruned.shape)}: set it to null")
    if positions and (real is not None or pool is not None):
        real = torch.ones(pruned.shape[:2], dtype=torch.bool, device=pruned.device) if real is None else real
        yield "token_cosine", cosine(pruned[real], target[real])
        if pool is not None:
            pruned, target, real = masked_mean(pruned, real), masked_mean(target, real), None
    elif not positions:
        real = None
    yield from _compared(pruned, target, real)


def _compared(
    pruned: torch.Tensor, target: torch.Tensor, real: torch.Tensor | None
) -> Iterator[tuple[str, torch.Tensor]]:
    """The numbers of outputs (N, ..., D), of which `real` (N, ...), if given, says which vectors count."""
    if real is not None:
        pruned, target = (torch.where(real[..., None], outputs, 0) for outputs in (pruned, target))
    difference = (pruned - target).abs().flatten(1)
    yield "largest", difference.amax(1)
    yield "total", difference.sum(1)
    counted = torch.ones(pruned.shape[:-1], dtype=torch.bool, device=pruned.device) if real is None else real
    yield "entries", counted.sum()[None] * pruned.shape[-1]
    yield "cosine", cosine(pruned.flatten(1), target.flatten(1))
    vectors, expected = pruned[counted], target[counted]
    yield "agreement", (vectors.argmax(-1) == expected.argmax(-1)).double()
    yield "kl", kl_softmax(vectors, expected)
