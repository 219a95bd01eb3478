"""Which networks can be taken apart layer by layer, and what their layers are."""

from dataclasses import dataclass

import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.layers import approximable, sequence, weight_layers
from lth_runner.networks.lenet5 import LeNet5


@dataclass(frozen=True, kw_only=True)
class Given:
    """Whatever layers a test names."""

    layers: tuple[torch.nn.Module, ...]

    def module(self) -> torch.nn.Module:
        return torch.nn.Sequential(*self.layers)


def lenet5(biases: bool, redundancy: int = 0) -> LeNet5:
    return LeNet5(hidden=(120, 84), outputs=10, redundancy=redundancy, relu=False, biases=biases)


def test_lenet5_has_its_five_layers_and_its_count_of_weights() -> None:
    layers = weight_layers(lenet5(biases=True))
    assert [layer.name for layer in layers] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert [layer.never_negative for layer in layers] == [
        False,
        True,
        True,
        True,
        True,
    ]  # pooling and flattening keep signs
    assert [layer.bias for layer in layers][:3] == ["conv1.bias", "conv2.bias", "fc1.bias"]
    assert (layers[0].kernel, layers[0].center, layers[2].kernel) == ((5, 5), (2, 2), ())
    network = lenet5(biases=True)
    assert parameter_shapes(network) == {
        name: tuple(value.shape) for name, value in network.module().state_dict().items()
    }
    assert sum(value.numel() for value in network.module().parameters()) == 61_706
    assert sum(value.numel() for value in lenet5(biases=False).module().parameters()) == 61_470
    with pytest.raises(ConfigError, match=r"network\.redundancy=0 only"):
        lenet5(biases=True, redundancy=2)


def test_without_relu_the_next_input_may_be_negative() -> None:
    network = Given(layers=(torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)))
    assert [layer.never_negative for layer in weight_layers(network)] == [False, False, False]
    assert [
        layer.bias for layer in weight_layers(FullyConnected(inputs=2, hidden=2, outputs=2, depth=1, biases=False))
    ] == [None]


@pytest.mark.parametrize(
    ("layer", "takes_constant"),
    [
        (torch.nn.Conv2d(4, 4, 3, padding=1, stride=2), True),
        (torch.nn.Conv2d(4, 4, 3, dilation=2), True),
        (torch.nn.Conv2d(4, 4, 3, dilation=2, padding=2), True),
        (torch.nn.Conv2d(4, 4, 3, groups=2), False),
        (torch.nn.Conv2d(4, 4, 3, padding=2), False),  # the middle tap would fall on the padding
        (torch.nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), False),
        (torch.nn.Conv2d(4, 4, 4, stride=2, padding=1), True),
        (torch.nn.Conv2d(4, 4, 4, stride=2, padding=2), False),  # at the last column it would fall on the padding
        (torch.nn.Conv2d(4, 4, 2, padding=1), False),
        (torch.nn.Linear(4, 4), True),
    ],
)
def test_a_constant_stands_for_a_bias_where_every_output_sees_it(layer: torch.nn.Module, takes_constant: bool) -> None:
    (found,) = weight_layers(Given(layers=(layer,)))
    assert found.takes_constant is takes_constant


def test_layers_of_no_sequence_are_found_at_their_paths() -> None:
    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = torch.nn.Linear(4, 4)
            self.first = torch.nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.first(x))
            return self.second(h + torch.relu(x))

    network = Given(layers=(Residual(), torch.nn.Linear(4, 2)))
    layers = weight_layers(network)
    assert [layer.name for layer in layers] == ["0.first", "0.second", "1"]  # in the order of the forward pass
    assert [layer.never_negative for layer in layers] == [False, True, False]
    assert [layer.never_negative for layer in weight_layers(network, positive_inputs=True)] == [True, True, False]

    class Opaque(FullyConnected):
        def module(self) -> torch.nn.Module:
            return Residual()

    with pytest.raises(ConfigError, match="no plain sequence"):
        sequence(Opaque(inputs=2, hidden=2, outputs=2, depth=1, biases=False))


def test_what_cannot_be_traced_may_be_negative_everywhere() -> None:
    class Branching(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x).relu()) if float(x.sum()) > 0 else self.first(x)

    layers = weight_layers(Given(layers=(Branching(),)), positive_inputs=True)
    assert [(layer.name, layer.never_negative) for layer in layers] == [("0.first", False), ("0.second", False)]


def test_norms_embeddings_and_what_is_tied_to_them_are_not_approximated() -> None:
    class Language(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.norm = torch.nn.Embedding(7, 4), torch.nn.LayerNorm(4)
            self.mixer, self.head = torch.nn.Linear(4, 4), torch.nn.Linear(4, 7, bias=False)
            self.head.weight = self.embedding.weight
            self.scale, self.mix = torch.nn.Parameter(torch.ones(4)), torch.nn.Parameter(torch.ones(4, 4))

    network = Given(layers=(Language(),))
    assert set(approximable(network)) == {"0.mixer.weight", "0.mixer.bias", "0.mix"}
    assert [layer.weight for layer in weight_layers(network)] == ["0.mixer.weight", "0.embedding.weight"]


class Signs(torch.nn.Module):
    """The input of `b` behind an operation that a test names; `b`'s weights are ones."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.a, self.b = torch.nn.Linear(6, 6), torch.nn.Linear(6, 4)
        self.threshold = torch.nn.Threshold(1.0, -1.0, inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(getattr(self, self.name)(self.a(x).relu(), x.relu()))

    def alpha(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.add(x, h, alpha=-1)

    def other(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.mul(input=h, other=-1.0) + x

    def in_place(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        h.sub_(1)
        return h + x

    def through_a_view(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        h.view(-1).sub_(1)
        return h + x

    def by_index(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        h[:, 0] = -1
        return h + x

    def given_out(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        torch.sub(x, 1, out=h)
        return h

    def by_a_layer(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        self.threshold(h)
        return h + x

    def in_training(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (h - x).relu() if self.training else h - x

    def a_sum(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.add(h, x, alpha=2) + torch.cat((h, x), dim=-1)[:, :6]

    def relu_in_place(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (h - x).relu_().relu() + torch.nn.functional.relu(x, inplace=True)


@pytest.mark.parametrize("name", [name for name in vars(Signs) if name != "forward" and name[0] != "_"])
def test_inputs_known_not_to_be_negative_are_not(name: str) -> None:
    module = Signs(name)
    seen: list[torch.Tensor] = []
    module.b.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        module.eval()(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))
    flags = {layer.name: layer.never_negative for layer in weight_layers(Given(layers=(module.train(),)))}
    assert flags["0.b"] == (name in ("a_sum", "relu_in_place")) == bool((seen[0] >= 0).all())
