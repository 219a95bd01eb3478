"""The weight layers of a network, in order: what a construction replaces and a bound multiplies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.attention import children, unpack_
from lth_runner.networks.graph import trace
from lth_runner.networks.interface import Architecture, skeleton

BATCH_NORMS: Any = torch.nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True, kw_only=True)
class WeightLayer:
    """One linear or convolutional layer, or one projection of an attention.

    Attributes:
        name: path of the layer, "fc1"; in a network whose attentions are unpacked, "block.attention.in_proj".
        part: the layer, without values.
        weight: name of its weight in the network, "fc1.weight", "block.attention.in_proj_weight".
        bias: name of its bias; None without one.
        never_negative: whether its input is known to have no negative entries, as behind a ReLU.
    """

    name: str
    part: torch.nn.Linear | torch.nn.Conv2d
    weight: str
    bias: str | None
    never_negative: bool

    @property
    def outputs(self) -> int:
        return self.part.weight.shape[0]

    @property
    def inputs(self) -> int:
        """Channels or features that the layer takes, those of all groups."""
        return self.part.weight.shape[1] * self.groups

    @property
    def groups(self) -> int:
        """Parts of a convolution that see only their own share of the inputs; 1 for all others."""
        return 1 if isinstance(self.part, torch.nn.Linear) else self.part.groups

    @property
    def kernel(self) -> tuple[int, ...]:
        """Height and width of a convolution; empty for a linear layer."""
        return tuple(self.part.weight.shape[2:])

    @property
    def center(self) -> tuple[int, ...]:
        """The middle tap of the kernel: the one that zero padding never reaches."""
        return tuple(side // 2 for side in self.kernel)

    @property
    def takes_constant(self) -> bool:
        """Whether a constant input can stand for its bias: every output sees it, at one tap, wherever the kernel is."""
        if isinstance(self.part, torch.nn.Linear):
            return True
        padding = (self.part.padding,) * 2 if isinstance(self.part.padding, str) else self.part.padding
        reach = [  # from the middle tap to the nearer end of the kernel: of an even one, the last tap
            dilation * ((side - 1) // 2)
            for side, dilation in zip(self.part.kernel_size, self.part.dilation, strict=True)
        ]
        inside = all(
            pad == "valid" or (not isinstance(pad, str) and pad <= most)
            for pad, most in zip(padding, reach, strict=True)
        )
        return inside and self.groups == 1 and self.part.padding_mode == "zeros"


def weight_layers(architecture: Architecture, *, positive_inputs: bool = False) -> list[WeightLayer]:
    """Every linear and convolutional layer and attention projection, in the order of the forward pass.

    Where the forward pass cannot be traced the order is that of the module, and every input may be negative. Layers
    inside an attention that stays packed are left out, and those whose weights are no plain parameters (as with
    `torch.nn.utils.parametrizations`) or are read by the forward pass itself, since no other layer can replace them.

    Args:
        positive_inputs: whether the network's own inputs have no negative entries.
    """
    module, renamed = unpack_(skeleton(architecture))
    first = _first_names(module)
    found = trace(module, positive_inputs)
    flags = found.never_negative if found else {}
    parts = _replaceable(module, found.read if found else set())
    ordered = [*(path for path in flags if path in parts), *(path for path in parts if path not in flags)]
    layers = []
    for path in ordered:
        names = {key: first[id(value)] for key, value in parts[path].named_parameters(recurse=False)}
        layers.append(
            WeightLayer(
                name=path,
                part=parts[path],
                weight=renamed.get(names["weight"], names["weight"]),
                bias=renamed.get(names["bias"], names["bias"]) if "bias" in names else None,
                never_negative=flags.get(path, False),
            )
        )
    return layers


def _replaceable(module: torch.nn.Module, read: set[str]) -> dict[str, torch.nn.Linear | torch.nn.Conv2d]:
    """The linear and convolutional layers that another layer can stand in for, by path.

    Args:
        read: names of the tensors that the forward pass reads otherwise than by calling their layer.
    """
    packed = [part for part in module.modules() if isinstance(part, torch.nn.MultiheadAttention)]
    inside = {id(part) for attention in packed for part in attention.modules()}
    return {
        path: part
        for path, part in module.named_modules()
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d) and id(part) not in inside and _is_plain(part)
        if not {f"{path}.{name}" for name in ("weight", "bias")} & read
    }


def _is_plain(part: Any) -> bool:
    own = dict(part.named_parameters(recurse=False))
    return set(own) == {"weight"} | ({"bias"} if part.bias is not None else set())


def sequence(architecture: Architecture) -> dict[str, torch.nn.Module]:
    """The layers of a plain sequence, in the order of the forward pass, without values.

    Raises:
        ConfigError: the network is no plain sequence of layers.
    """
    module = skeleton(architecture)
    if not isinstance(module, torch.nn.Sequential):
        raise ConfigError(
            f"{type(architecture).__name__} is no plain sequence of layers: choose network=fc, or another method"
        )
    return dict(children(module))


def approximable(architecture: Architecture) -> list[str]:
    """Names of the parameters that a construction may approximate: the weights and biases of all weight layers, and
    other parameters of two axes or more; not those of norms and embeddings, nor the ones tied to an embedding.
    """
    module = skeleton(architecture)
    kept = {id(value) for part in module.modules() if isinstance(part, NOT_APPROXIMATED) for value in part.parameters()}
    layered = {id(value) for part in module.modules() for value in _of_weight_layer(part)}
    return [
        name
        for name, value in module.named_parameters()
        if id(value) not in kept and (id(value) in layered or value.ndim >= 2)
    ]


NOT_APPROXIMATED: Any = (
    torch.nn.Embedding, torch.nn.EmbeddingBag, torch.nn.LayerNorm, torch.nn.GroupNorm, torch.nn.RMSNorm,
    torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d, torch.nn.InstanceNorm1d, torch.nn.InstanceNorm2d,
    torch.nn.PReLU,
)  # fmt: skip
WEIGHT_LAYERS: Any = (
    torch.nn.Linear, torch.nn.Bilinear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.ConvTranspose1d,
    torch.nn.ConvTranspose2d, torch.nn.MultiheadAttention,
)  # fmt: skip


def _of_weight_layer(part: torch.nn.Module) -> Iterator[torch.nn.Parameter]:
    if isinstance(part, WEIGHT_LAYERS):
        yield from part.parameters(recurse=False)


def _first_names(module: torch.nn.Module) -> dict[int, str]:
    """The name under which the module lists a parameter, by the parameter's identity: the first of tied ones."""
    return {id(value): name for name, value in module.named_parameters()}
