"""The weight layers of a sequential network, in order: what a construction replaces and a bound multiplies."""

from dataclasses import dataclass

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import Architecture

KEEP_SIGN = (torch.nn.Flatten, torch.nn.MaxPool2d, torch.nn.AvgPool2d)  # non-negative in, non-negative out


@dataclass(frozen=True, kw_only=True)
class WeightLayer:
    """One linear or convolutional layer.

    Attributes:
        name: "fc1"; its parameters are "fc1.weight" and, with a bias, "fc1.bias".
        part: the layer, without values.
        after_relu: whether its input has passed a ReLU and is therefore never negative.
    """

    name: str
    part: torch.nn.Linear | torch.nn.Conv2d
    after_relu: bool

    @property
    def weight(self) -> str:
        return f"{self.name}.weight"

    @property
    def bias(self) -> str | None:
        """Name of the bias; None without one."""
        return None if self.part.bias is None else f"{self.name}.bias"

    @property
    def outputs(self) -> int:
        return self.part.weight.shape[0]

    @property
    def inputs(self) -> int:
        return self.part.weight.shape[1]

    @property
    def kernel(self) -> tuple[int, ...]:
        """Height and width of a convolution; empty for a linear layer."""
        return tuple(self.part.weight.shape[2:])

    @property
    def center(self) -> tuple[int, ...]:
        """The middle tap of the kernel: the one that zero padding never reaches."""
        return tuple(side // 2 for side in self.kernel)


def parts(network: Architecture) -> dict[str, torch.nn.Module]:
    """The children of the network's module, in the order of the forward pass, without values.

    Raises:
        ConfigError: the network is no plain sequence of layers.
    """
    with torch.device("meta"):
        module = network.module()
    if not isinstance(module, torch.nn.Sequential):
        raise ConfigError(
            f"{type(network).__name__} is no sequence of layers, so its layers cannot be replaced one by one"
        )
    return dict(module.named_children())


def weight_layers(network: Architecture) -> list[WeightLayer]:
    """Every linear and convolutional layer, in the order of the forward pass.

    Raises:
        ConfigError: the network has a layer with weights of another kind, or a grouped or dilated convolution.
    """
    layers, after_relu = [], False
    for name, part in parts(network).items():
        if isinstance(part, torch.nn.Linear) or (isinstance(part, torch.nn.Conv2d) and _is_plain(part)):
            layers.append(WeightLayer(name=name, part=part, after_relu=after_relu))
            after_relu = False
        elif any(True for _ in part.parameters()):
            raise ConfigError(f"layer {name} is neither linear nor a plain convolution: choose network=fc or lenet5")
        elif not isinstance(part, KEEP_SIGN):
            after_relu = isinstance(part, torch.nn.ReLU)
    return layers


def _is_plain(part: torch.nn.Conv2d) -> bool:
    """Whether the middle tap of the kernel always falls on the image, and every output sees every input channel."""
    padding = (part.padding,) * 2 if isinstance(part.padding, str) else part.padding
    inside = all(
        pad == "valid" or (not isinstance(pad, str) and pad <= side // 2)
        for pad, side in zip(padding, part.kernel_size, strict=True)
    )
    return inside and part.groups == 1 and part.padding_mode == "zeros" and set(part.dilation) == {1}
