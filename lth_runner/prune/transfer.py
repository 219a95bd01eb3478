"""Neural tangent transfer's loss: how far a pruned network is from the dense one, in its kernel and in its outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from lth_runner.data.interface import Inputs
from lth_runner.prune.tangent_kernels import Kernel, Tensors


class Pruned(torch.nn.Module):
    """A network under way: all its weights, those that are pruned at the moment included, and the masks as buffers.

    So its state is all that the rest of a transfer depends on.

    Args:
        network: its parameters are those to be trained; it is never called.
        masks: bool by the name of a parameter, True = kept.
    """

    def __init__(self, network: torch.nn.Module, masks: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.network, self._names = network, list(masks)
        for i, mask in enumerate(masks.values()):
            self.register_buffer(f"mask{i}", mask)

    @property
    def masks(self) -> dict[str, torch.Tensor]:
        return {name: self.get_buffer(f"mask{i}") for i, name in enumerate(self._names)}

    def kept(self) -> dict[str, torch.Tensor]:
        """The parameters by name, 0 where they are pruned."""
        masks = self.masks
        return {n: p * masks[n] if n in masks else p for n, p in self.network.named_parameters()}

    @torch.no_grad()
    def prune_(self) -> torch.nn.Module:
        """Forgets what is pruned: the network, with exact zeros there."""
        for name, kept in self.kept().items():
            self.network.get_parameter(name).copy_(kept)
        return self.network

    @torch.no_grad()
    def renew_(self, masks: Mapping[str, np.ndarray]) -> None:
        """Other masks from now on."""
        for name, mask in self.masks.items():
            mask.copy_(torch.from_numpy(masks[name]))


@dataclass(frozen=True, kw_only=True, eq=False)
class TransferLoss:
    """kernel_weight * mean((K - K_dense)^2) + mean((f - f_dense)^2) + l2_weight * sum of the squares of kept weights.

    K is the kernel between the two halves of the batch, and both means go over all entries, f over the whole batch.

    Attributes:
        kernel: of the network's architecture.
        dense: the parameters of the dense network, which stays as it is.
        masked: whether K is of the kept weights alone.
    """

    kernel: Kernel = field(repr=False)
    dense: Tensors = field(repr=False)
    masked: bool
    kernel_weight: float
    l2_weight: float

    def __call__(self, module: torch.nn.Module, inputs: Inputs, labels: torch.Tensor | None) -> torch.Tensor:
        """Of a `Pruned` network; labels have no say."""
        del labels
        assert isinstance(module, Pruned), "a transfer is of one"
        kept = module.kept()
        kernel, outputs = self._distances(module, kept, inputs)
        squares = torch.stack([kept[name].square().sum() for name in module.masks]).sum()
        return self.kernel_weight * kernel + outputs + self.l2_weight * squares

    @torch.no_grad()
    def distances(self, module: Pruned, inputs: Inputs) -> tuple[float, float]:
        """The two means, of the kernels and of the outputs."""
        kernel, outputs = self._distances(module, module.kept(), inputs)
        return float(kernel), float(outputs)

    def _distances(self, module: Pruned, kept: Tensors, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            dense_outputs, dense_kernel = self.kernel(self.dense, inputs, None)
        outputs, kernel = self.kernel(kept, inputs, module.masks if self.masked else None)
        return (kernel - dense_kernel).square().mean(), (outputs - dense_outputs).square().mean()
