"""The empirical neural tangent kernel of a network between two halves of a batch, differentiable in its parameters.

For samples x and y and outputs a and b it is K[x, a, y, b] = sum over parameters p of df_a(x)/dp * df_b(y)/dp: of all
parameters, biases and those of norms included. With masks the sum leaves out the weights that they prune.

There are two ways to the same numbers. In linear layers in a row df_a(x)/dW_oi = s_ao(x) h_i(x), with a layer's inputs
h and the slopes s of the outputs in what it gives. So a layer's part of K is a product of two Gram matrices,
(h(x) . h(y) + 1) * (s_a(x) . s_b(y)), the 1 for its biases; with a mask every output o of the layer has a Gram matrix
of its own, that of the inputs that it keeps: `LayerProducts`. For any other network there are `Jacobians`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.func import functional_call, jacrev, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth_runner.core.errors import ConfigError
from lth_runner.data.interface import Inputs, num_samples, select
from lth_runner.networks.attention import children
from lth_runner.search.trainer import plain_attention

Tensors = Mapping[str, torch.Tensor]

# Of parameters by name, a batch of N samples, and masks by name, or None: the outputs (N, C), and the kernel between
# the two halves of the batch, (n, C, n, C) with n = ceil(N / 2).
Kernel = Callable[[Tensors, Inputs, Tensors | None], tuple[torch.Tensor, torch.Tensor]]

UNCHANGED = (torch.nn.Identity, torch.nn.Dropout)  # what does nothing in evaluation mode
ELEMENTWISE = (
    torch.nn.ReLU, torch.nn.LeakyReLU, torch.nn.ELU, torch.nn.GELU, torch.nn.SiLU, torch.nn.Softplus, torch.nn.Sigmoid,
    torch.nn.Tanh,
)  # fmt: skip


def halves(count: int) -> tuple[slice, slice]:
    """The two halves of a batch; the middle one of an odd number of samples is in both."""
    return slice(0, -(-count // 2)), slice(count // 2, count)


def kernel_of(module: torch.nn.Module, inputs: Inputs) -> Kernel:
    """The faster way to the kernel of a module.

    Args:
        module: in evaluation mode, on the device of the inputs; the values of its buffers are used, those of its
            parameters are not.
        inputs: a few of those that it will be called with.

    Raises:
        ConfigError: torch cannot find the Jacobian of this module.
    """
    return LayerProducts.of(module, inputs) or Jacobians.of(module, inputs)


@dataclass(frozen=True)
class Layer:
    """A linear layer, by the names of its parameters, and the elementwise functions behind it."""

    weight: str
    bias: str | None
    behind: list[torch.nn.Module]


@dataclass(frozen=True)
class LayerProducts:
    """The kernel of linear layers in a row with elementwise functions between them, from Gram matrices.

    With n samples in a half, a layer of o outputs takes n^2 C^2 o multiplications for its slopes, whatever is pruned;
    with a mask n^2 o (i + C^2) with its i inputs, and room for n^2 C o numbers.

    Attributes:
        front: what stands before the first linear layer.
        layers: in order.
    """

    front: list[torch.nn.Module]
    layers: list[Layer]

    @classmethod
    def of(cls, module: torch.nn.Module, inputs: Inputs) -> "LayerProducts | None":
        """None where the module is not known to be of this kind."""
        parts = children(module) if type(module) is torch.nn.Sequential else []
        parameters = [parameter for _, part in parts for parameter in part.parameters()]
        if isinstance(inputs, dict) or len({id(p) for p in parameters}) < len(parameters):  # tied ones
            return None
        front: list[torch.nn.Module] = []
        layers: list[Layer] = []
        for name, part in parts:
            if type(part) is torch.nn.Linear and not _is_hooked(part):
                layers.append(Layer(f"{name}.weight", None if part.bias is None else f"{name}.bias", []))
            elif _is_elementwise(part) or (_flattens(part) and not layers):
                (layers[-1].behind if layers else front).append(part)
            elif type(part) not in UNCHANGED:
                return None
        found = cls(front, layers)
        return found if layers and found._before(inputs).ndim == 2 else None

    def __call__(self, parameters: Tensors, inputs: Inputs, masks: Tensors | None) -> tuple[torch.Tensor, torch.Tensor]:
        outputs, given, slopes = self._passes(parameters, inputs)
        first, second = halves(len(outputs))
        kernel = torch.zeros((), dtype=outputs.dtype, device=outputs.device)
        for layer, h, s in zip(self.layers, given, slopes, strict=True):
            sides = (h[first], s[first], h[second], s[second], layer.bias is not None)
            part = layer_kernel(*sides) if masks is None else masked_layer_kernel(*sides, masks[layer.weight])
            kernel = kernel + part
        return outputs, kernel

    def _before(self, inputs: Inputs) -> torch.Tensor:
        for part in self.front:
            inputs = part(inputs)
        assert isinstance(inputs, torch.Tensor), "named inputs have been sorted out"
        return inputs

    def _passes(
        self, parameters: Tensors, inputs: Inputs
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Outputs (N, C), and by layer its inputs (N, i) and the slopes of the outputs in what it gives, (N, C, o)."""
        x, given, own = self._before(inputs), [], []
        for layer in self.layers:
            given.append(x)
            x = torch.nn.functional.linear(x, parameters[layer.weight], parameters[layer.bias] if layer.bias else None)
            x, slope = _with_slope(layer.behind, x)
            own.append(slope)
        through = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(len(x), -1, -1)  # (N, C, C)
        slopes = []
        for layer, slope in zip(reversed(self.layers), reversed(own), strict=True):
            slopes.append(through if slope is None else through * slope[:, None])
            if layer is not self.layers[0]:  # the slopes in the inputs of the network are not needed
                through = slopes[-1] @ parameters[layer.weight]
        return x, given, slopes[::-1]


def layer_kernel(h1: torch.Tensor, s1: torch.Tensor, h2: torch.Tensor, s2: torch.Tensor, biased: bool) -> torch.Tensor:
    """A linear layer's part of the kernel, (n, C, m, C).

    Args:
        h1, h2: its inputs, (n, i) and (m, i).
        s1, s2: slopes of the outputs in what it gives, (n, C, o) and (m, C, o).
        biased: whether it has biases, which count.
    """
    gram = h1 @ h2.T + int(biased)
    return gram[:, None, :, None] * (s1.flatten(0, 1) @ s2.flatten(0, 1).T).view(*s1.shape[:2], *s2.shape[:2])


def masked_layer_kernel(
    h1: torch.Tensor, s1: torch.Tensor, h2: torch.Tensor, s2: torch.Tensor, biased: bool, mask: torch.Tensor
) -> torch.Tensor:
    """The same of the kept weights alone.

    Args:
        mask: bool (o, i).
    """
    pairs = h1[:, None] * h2  # (n, m, i)
    grams = pairs @ mask.T.to(pairs.dtype) + int(biased)  # (n, m, o): one for every output
    weighted = grams[:, :, None] * s2  # (n, m, C, o)
    return (s1 @ weighted.flatten(1, 2).transpose(1, 2)).view(*s1.shape[:2], *s2.shape[:2])


@dataclass(frozen=True)
class Jacobians:
    """The kernel of any network that torch.func can differentiate, from the Jacobian of every sample.

    It has room for N C numbers per parameter, several times where its own gradient is asked for.

    Attributes:
        module: see `kernel_of`.
    """

    module: torch.nn.Module

    @classmethod
    def of(cls, module: torch.nn.Module, inputs: Inputs) -> "Jacobians":
        """Tried once.

        Raises:
            ConfigError: torch cannot find the Jacobian of this module.
        """
        found = cls(module)
        try:
            found._jacobian({n: p.detach() for n, p in module.named_parameters()}, select(inputs, slice(1)))
        except (
            RuntimeError,
            ValueError,
            TypeError,
        ) as error:  # control flow on numbers, random numbers, foreign kernels
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"torch cannot find the tangent kernel of {type(module).__name__}, so choose another method: {reason}"
            ) from error
        return found

    def __call__(self, parameters: Tensors, inputs: Inputs, masks: Tensors | None) -> tuple[torch.Tensor, torch.Tensor]:
        jacobian, outputs = self._jacobian(parameters, inputs)
        first, second = halves(num_samples(inputs))
        kernel = torch.zeros((), dtype=outputs.dtype, device=outputs.device)
        for name, part in jacobian.items():
            rows = part.flatten(2)  # (N, C, weights)
            if masks is not None and name in masks:
                rows = rows[:, :, masks[name].flatten()]
            one, other = rows[first], rows[second]
            kernel = kernel + (one.flatten(0, 1) @ other.flatten(0, 1).T).view(*one.shape[:2], *other.shape[:2])
        return outputs, kernel

    def _jacobian(self, parameters: Tensors, inputs: Inputs) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """By parameter (N, C, *shape), and the outputs (N, C)."""

        def one(parameters: Tensors, sample: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
            alone = {n: t[None] for n, t in sample.items()} if isinstance(sample, dict) else sample[None]
            outputs = functional_call(self.module, dict(parameters), (alone,)).flatten()
            return outputs, outputs

        # torch's fused attention has no second derivative
        with plain_attention(), sdpa_kernel(SDPBackend.MATH):
            return vmap(jacrev(one, has_aux=True), in_dims=(None, 0))(dict(parameters), inputs)


def _with_slope(functions: list[torch.nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What elementwise functions, one after the other, make of x, and their slope there; None for no functions."""
    if not functions:
        return x, None
    made, pulled_back, *_ = vjp(torch.nn.Sequential(*functions), x)
    return made, pulled_back(torch.ones_like(made))[0]


def _is_hooked(part: torch.nn.Module) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks)  # no public way tells


def _is_elementwise(part: torch.nn.Module) -> bool:
    return type(part) in ELEMENTWISE and not getattr(part, "inplace", False) and not _is_hooked(part)


def _flattens(part: torch.nn.Module) -> bool:
    return type(part) is torch.nn.Flatten and (part.start_dim, part.end_dim) == (1, -1)
