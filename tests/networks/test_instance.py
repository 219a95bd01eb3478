"""A module in memory: described, recognised when given again, and told from others."""

import json
from dataclasses import asdict

import pytest
import torch

from lth_runner.core.errors import DataError
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import Architecture, parameter_shapes


class Tied(torch.nn.Module):
    """An embedding whose weight is the head's too, a norm, and a buffer that no state dict holds."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(5, width)
        self.inner = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.BatchNorm1d(width))
        self.head = torch.nn.Linear(width, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scratch", torch.zeros(2), persistent=False)

    def forward(self, words: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(self.inner(self.embed(words)))}


WORDS = torch.arange(5)


def from_file(instance: Instance) -> Instance:
    return Instance(**json.loads(json.dumps(asdict(instance), sort_keys=True)))


def test_what_a_file_holds() -> None:
    instance = Instance.of(Tied(), "logits")
    assert isinstance(instance, Architecture)
    assert asdict(instance).keys() == {"parameters", "buffers", "digest", "output"}
    assert instance.parameters == {
        "embed.weight": [5, 4],
        "inner.0.weight": [4, 4],
        "inner.0.bias": [4],
        "inner.1.weight": [4],
        "inner.1.bias": [4],
    }
    assert instance.buffers == {
        "inner.1.running_mean": [4],
        "inner.1.running_var": [4],
        "inner.1.num_batches_tracked": [],
    }
    assert from_file(instance) == instance


def test_its_module_is_a_copy_that_returns_the_chosen_output() -> None:
    module = Tied().eval()
    copied = Instance.of(module, "logits").module()
    torch.testing.assert_close(copied({"words": WORDS}), module(WORDS)["logits"], rtol=0, atol=0)
    copied.get_parameter("embed.weight").data.zero_()
    assert copied.get_parameter("head.weight").count_nonzero() == 0  # still tied
    assert module.embed.weight.count_nonzero() > 0  # untouched
    assert isinstance(module(WORDS), dict)


def test_on_the_meta_device_structure_is_kept_and_values_are_not() -> None:
    module = Tied()
    with torch.device("meta"):
        bare = Instance.of(module).module()
    assert isinstance(bare, Tied) and bare.head.weight is bare.embed.weight
    assert {tensor.device.type for tensor in (*bare.parameters(), *bare.buffers())} == {"meta"}
    assert {tensor.device.type for tensor in (*module.parameters(), *module.buffers())} == {"cpu"}


def test_unbound_it_has_shapes_and_no_forward_pass() -> None:
    instance = from_file(Instance.of(Tied()))
    assert parameter_shapes(instance) == {name: tuple(shape) for name, shape in instance.parameters.items()}
    skeleton = instance.module()
    assert {name: list(value.shape) for name, value in skeleton.named_buffers()} == instance.buffers
    with pytest.raises(DataError, match="made from a module in memory: give it as module="):
        skeleton(WORDS)


def test_bound_to_a_module_alike_it_computes() -> None:
    module = Tied().eval()
    bound = from_file(Instance.of(Tied(), "logits")).bound(module)
    torch.testing.assert_close(bound.module()(WORDS), module(WORDS)["logits"], rtol=0, atol=0)


class Renamed(Tied):
    def __init__(self) -> None:
        super().__init__()
        self.more = torch.nn.Parameter(torch.zeros(1))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (torch.nn.Linear(2, 2), "it lacks the parameters embed.weight, "),
        (Renamed(), "it has parameters that the ticket lacks, more"),
        (Tied(3), r"embed.weight has shape \[5, 3\], not \[5, 4\]"),
        (Tied().double(), "numbers are of another type"),
    ],
)
def test_another_module_is_refused_with_the_difference(module: torch.nn.Module, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_file(Instance.of(Tied())).bound(module)


@pytest.mark.parametrize("shapes", [{"a": [-1]}, {"a": 3}, {"a": [True]}, {1: [1]}, [1]])
def test_shapes_that_are_none_are_refused(shapes: object) -> None:
    with pytest.raises(DataError, match="lists of sizes by name"):
        Instance(parameters=shapes, buffers={}, digest="", output=None)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("names", [["a", "a.b"], ["forward"], ["_parameters"], ["a..b"], [""], ["__class__.x"]])
def test_names_that_no_module_has_are_refused(names: list[str]) -> None:
    instance = Instance(parameters={name: [1] for name in names}, buffers={}, digest="", output=None)
    with pytest.raises(DataError, match="no module can have"):
        instance.module()
