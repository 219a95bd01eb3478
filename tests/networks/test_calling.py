"""One way to call any module: named inputs become keywords, and one tensor comes back."""

import copy
from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.calling import adapted

Pair = namedtuple("Pair", ["logits", "aux"])
RETURNS: dict[str, Callable[[torch.Tensor], Any]] = {
    "dict": lambda y: {"past": None, "logits": y, "hidden": -y},
    "object": lambda y: SimpleNamespace(logits=y, hidden=-y),
    "named tuple": lambda y: Pair(y, -y),
}


class Answering(torch.nn.Module):
    """A linear layer of a sum of two inputs, packed as a test wants it."""

    def __init__(self, packed: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.packed = torch.nn.Linear(3, 2), packed

    def forward(self, x: torch.Tensor, shift: torch.Tensor | float = 0.0) -> Any:
        return self.packed(self.fc(x + shift))


X = torch.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("kind", RETURNS)
def test_the_named_output_is_returned(kind: str) -> None:
    module = adapted(Answering(RETURNS[kind]), "logits")
    torch.testing.assert_close(module(X), module.fc(X), rtol=0, atol=0)


@pytest.mark.parametrize("output", ["1", 1])
def test_entries_of_a_tuple_have_numbers(output: str | int) -> None:
    for packed in (lambda y: (y, -y), lambda y: [y, -y], RETURNS["named tuple"]):
        module = adapted(Answering(packed), output)
        torch.testing.assert_close(module(X), -module.fc(X), rtol=0, atol=0)


@pytest.mark.parametrize("output", [None, "logits"])
def test_a_tensor_is_returned_as_it_is(output: str | None) -> None:
    module = adapted(Answering(lambda y: y), output)
    torch.testing.assert_close(module(X), module.fc(X), rtol=0, atol=0)


def test_a_dict_of_tensors_is_passed_by_name() -> None:
    module = adapted(Answering(lambda y: y), None)
    named = module({"x": X, "shift": torch.ones(3)})
    torch.testing.assert_close(named, module.fc(X + 1), rtol=0, atol=0)
    torch.testing.assert_close(module({"x": X}, shift=1.0), named, rtol=0, atol=0)
    torch.testing.assert_close(module(X, torch.ones(3)), named, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("packed", "output", "message"),
    [
        (RETURNS["dict"], None, "returns a dict, not a tensor: choose network.output=logits, network.output=hidden"),
        (RETURNS["dict"], "past", "without a tensor past: network.output must be of logits, hidden"),
        (RETURNS["dict"], "logit", r"did you mean logits\?"),
        (RETURNS["object"], None, "choose network.output=hidden, network.output=logits"),
        (lambda y: (y,), None, "choose network.output=0"),
        (lambda y: (y,), "1", "must be of 0"),
        (lambda y: None, None, "without tensors"),
    ],
)
def test_what_is_no_tensor_is_refused_with_what_there_is(packed: Any, output: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        adapted(Answering(packed), output)(X)


def test_copies_functional_calls_and_float64_keep_it_and_names_stay() -> None:
    plain = Answering(RETURNS["dict"])
    names = list(plain.state_dict())
    module = adapted(plain, "logits").double()
    assert module is plain and list(module.state_dict()) == names == ["fc.weight", "fc.bias"]
    x = X.double()
    twin = copy.deepcopy(module)
    torch.testing.assert_close(twin({"x": x}), module(x), rtol=0, atol=0)
    halved = {name: value / 2 for name, value in module.state_dict().items()}
    called = torch.func.functional_call(module, halved, ({"x": x},))
    torch.testing.assert_close(called, module(x) / 2)
    assert called.dtype == torch.float64


def test_lazy_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match="lazy"):
        adapted(torch.nn.LazyLinear(3), None)
