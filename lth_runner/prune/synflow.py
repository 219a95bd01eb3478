"""SynFlow: the weights on paths of the largest products, without any data (Tanaka et al. 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lth_runner.data.interface import Inputs, moved, select
from lth_runner.networks.layers import BATCH_NORMS
from lth_runner.prune.at_init import InRounds, Samples, Scores


@dataclass(frozen=True, kw_only=True)
class SynFlow(InRounds):
    """The score of a weight w is |w dR/dw|, R the sum of the outputs of a network of absolute values for ones.

    Parameters, and the buffers of batch norms, are replaced by their absolute values; the module is in evaluation mode.
    In networks of linear layers, convolutions, ReLU and pooling without biases the scores into a hidden neuron and out
    of it have equal sums, and so have those of whole layers in a row; so that no layer goes empty before it must.
    Layer norms and attention are taken as they are: scores are found there, without that law.

    Only the shape of a sample is used. An embedding is a linear layer on codes with one 1: ones in place of a code add
    up all its rows, which is what every token gets. Other whole numbers (which positions are real) are 1.

    Reference: arXiv:2006.05467; published with 100 rounds. Differs from the paper's code: in float64, where float32
    may overflow or end at 0 in deep networks; biases and norms are not pruned; embeddings, which it does not treat.
    """

    def scores(self, module: torch.nn.Module, names: Sequence[str], samples: Samples) -> Scores:
        inputs, labels = samples.part
        device = "cpu" if labels.device.type == "mps" else labels.device  # which has no float64
        _make_positive_(module.to(device, torch.float64).eval())
        parameters = dict(module.named_parameters())
        weights = [parameters[name] for name in names]
        flow = module(moved(_ones(inputs), device)).sum()
        gradients = torch.autograd.grad(flow, weights, materialize_grads=True, allow_unused=True)
        return {
            name: (weight * gradient).abs() for name, weight, gradient in zip(names, weights, gradients, strict=True)
        }


@torch.no_grad()
def _make_positive_(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        parameter.abs_()
    for part in module.modules():
        if isinstance(part, BATCH_NORMS):
            for buffer in part.buffers():
                buffer.abs_()
        if isinstance(part, torch.nn.Embedding):
            part.register_forward_hook(_sum_of_rows)


def _ones(inputs: Inputs) -> Inputs:
    """One sample of ones, in the shapes and kinds of these inputs."""
    one = moved(select(inputs, slice(1)), torch.float64)
    if isinstance(one, dict):
        return {name: torch.ones_like(tensor) for name, tensor in one.items()}
    return torch.ones_like(one)


def _sum_of_rows(part: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
    del inputs
    assert isinstance(part, torch.nn.Embedding), "the hook is theirs"
    return part.weight.sum(0).expand_as(output)
