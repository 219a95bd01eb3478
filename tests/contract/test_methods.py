"""What every method promises, on every kind of network. A new YAML file in configs/method is tested at once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.cases import METHODS, TRUST, VARIANTS, home, problem, tiny
from recorders import Memory
from small_networks import SMALL, dataset, inputs, target

import lth_runner as lth
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Progress
from lth_runner.data.interface import moved
from lth_runner.networks.interface import filled, first_names
from lth_runner.problem import Found, Method, Problem
from lth_runner.ticket.file import read_ticket, to_bytes
from lth_runner.ticket.materialise import materialise, original_architecture
from lth_runner.ticket.source import Drawn, Stored
from lth_runner.ticket.ticket import Ticket

pytestmark = pytest.mark.usefixtures("one_thread")

# How far the outputs may be from the target's, as a share of their size; 1 is what a network of zeros reaches. Methods
# that are not named here find no approximation (searches), or none so near with so few numbers.
CLOSE = {
    "subset_sum": 0.25,
    **{name: 0.4 if name.startswith("pensia") else 0.05 for name in VARIANTS if not name.startswith("burkholz")},
    "pensia": 0.4,
    "attention": 0.2,
    "malach": 0.45,
    "malach_pairs": 0.6,
    "binary": 0.15,
    "block": 0.45,
}
CLOSE |= {"round_to_nearest": 0.5, "nf4": 0.5, "lloyd_max": 0.5, "gptq": 0.5}

# What a method does not support, and the reason that it gives.
NO_LAYER = "no linear or convolutional layer that could be approximated"
NO_NORMS = "this prunes channels by the scales of batch norms, and .* has none behind a linear or convolutional layer"
NO_HEADS = r"this prunes heads of attentions, and .* has no torch.nn.MultiheadAttention of several heads"
NO_ATTENTION = r"the network has no torch.nn.MultiheadAttention whose keys and values are as wide as its queries"
NOT_TWO_LAYERS = "this selects hidden neurons of networks of two linear layers, and .* is none: choose network=fc"
NO_COPIES = "copies of neurons need linear layers and plain convolutions"
COPIES = ("burkholz", "burkholz, gelu", "burkholz, matched")
WITHOUT_COPIES = ("vit", "convolutions", "language", "in_memory")
UNSUPPORTED: dict[tuple[str, str], str] = {
    ("pensia", "redundant_fc"): NO_LAYER,
    ("pensia, matched", "redundant_fc"): NO_LAYER,
    ("pensia, sigmoid", "redundant_fc"): NO_LAYER,
    ("malach_pairs", "redundant_fc"): NO_LAYER,
    ("orseau", "redundant_fc"): NO_LAYER,
    ("binary", "redundant_fc"): NO_LAYER,
    ("block", "redundant_fc"): NO_LAYER,
    **{(name, "redundant_fc"): NO_LAYER for name in COPIES},
    **{(name, network): NO_COPIES for name in COPIES for network in WITHOUT_COPIES},
    **{("greedy_selection", name): NOT_TWO_LAYERS for name in SMALL if name != "fc"},
    **{("early_bird", name): NO_NORMS for name in SMALL if name not in ("resnet", "convolutions")},
    **{("attention", name): NO_ATTENTION for name in SMALL if name not in ("vit", "language", "in_memory")},
    **{("early_bert", name): NO_HEADS for name in SMALL if name not in ("vit", "language", "in_memory")},
}

QUICK = ("fc", "language")  # the others are slow together
NETWORKS = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in SMALL]


def supported(method: str, network: str) -> None:
    if (method, network) in UNSUPPORTED:
        pytest.skip(f"refused, as another test sees: {UNSUPPORTED[method, network]}")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_it_works_or_is_refused_in_one_sentence(cases: Any, method: str, network: str) -> None:
    reason = UNSUPPORTED.get((method, network))
    if reason is not None:
        with pytest.raises(ConfigError, match=reason) as refused:
            cases(method, network)
        assert "\n" not in str(refused.value)
        return
    case = cases(method, network)
    assert isinstance(case.method, Method)
    x = inputs(case.small, 20, seed=5)
    with torch.no_grad():
        wanted = filled(case.small.make(), target(case.small))(x)
        outputs = case.found.ticket.module()(x)
    assert outputs.shape == wanted.shape and bool(outputs.isfinite().all())
    if method in CLOSE:
        assert float((outputs - wanted).norm() / wanted.norm()) < CLOSE[method]


def dense(ticket: Ticket, name: str) -> np.ndarray:
    """A tensor as its source and its mask say, without any of the code that draws by blocks or counts bits."""
    source = ticket.weights[name]
    whole = source.array if isinstance(source, Stored) else source.draw(ticket.seed)
    less = 0.5 if isinstance(source, Drawn) and source.centred else 0.0
    return whole if name not in ticket.masks else whole * (ticket.masks[name].dense() - less)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_the_forward_pass_uses_what_is_counted(cases: Any, method: str, network: str) -> None:
    supported(method, network)
    ticket = cases(method, network).ticket
    counts = dict.fromkeys(("drawn", "offered", "kept", "stored"), 0)
    arrays = {}
    shapes = {name: tuple(tensor.shape) for name, tensor in ticket.architecture.module().state_dict().items()}
    for name, source in ticket.weights.items():
        array = dense(ticket, name)
        mask = ticket.masks[name].dense() if name in ticket.masks else np.ones(array.shape, bool)
        kept = int(np.broadcast_to(mask, array.shape).sum())
        if isinstance(source, Stored):
            counts["stored"] += kept
        else:
            counts["drawn"] += int(np.prod(source.shape)) // (1 + source.mirrored)
            counts["stored"] += 0 if source.scales is None else source.scales.array.size
        if not isinstance(source, Stored) or name in ticket.masks:
            counts["offered"] += array.size
            counts["kept"] += kept
        arrays[name] = array if array.shape == shapes[name] else array.sum(-1)
    assert counts == {name: getattr(ticket, name)() for name in counts}
    assert counts == {name: cases(method, network).found.measured[name] for name in counts}
    x = moved(inputs(SMALL[network], 5, seed=6), torch.float64)
    with torch.no_grad():
        expected = filled(ticket.architecture, arrays, torch.float64)(x)
        outputs = materialise(ticket).module(torch.float64)(x)
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_tensor_has_one_source(cases: Any, method: str, network: str) -> None:
    supported(method, network)
    ticket = cases(method, network).ticket
    module = ticket.architecture.module()
    assert ticket.weights.keys() == set(first_names(module).values()), "tied tensors once"
    assert original_architecture(ticket) == cases(method, network).small.make() or not SMALL[network].importable


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_a_ticket_is_read_back_as_it_was_and_verified(cases: Any, method: str, network: str) -> None:
    supported(method, network)
    case = cases(method, network)
    again = read_ticket(case.path, TRUST, case.module)
    assert to_bytes(again) == to_bytes(case.ticket) == case.path.read_bytes()
    x = inputs(case.small, 5)
    assert torch.equal(materialise(again).module()(x), case.found.ticket.module()(x))
    verified = case.verified()
    assert verified, [finding for finding in verified.findings if not finding.agrees]
    assert not [finding.claim for finding in verified.findings if finding.needs]
    checked = {finding.claim for finding in verified.findings}
    assert {"accuracy", "drawn", "offered", "kept", "stored"} <= checked
    assert case.method.needs_target == ("weight_error_max" in checked)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_the_ticket(cases: Any, method: str) -> None:
    """To the byte of its file."""
    small = SMALL[home(method)]
    first, again, other = (
        lth.find(tiny(method), small.make(), target=target(small), data=dataset(small), seed=seed, progress=False)
        for seed in (0, 0, 1)
    )
    assert (
        to_bytes(first.ticket.ticket) == to_bytes(again.ticket.ticket) == cases(method, home(method)).path.read_bytes()
    )
    masks = [{name: mask.bits.tobytes() for name, mask in each.ticket.ticket.masks.items()} for each in (first, other)]
    assert masks[0] != masks[1] or not masks[0], "what has no mask draws nothing"


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("network", ["fc", "conv", "language"])
@pytest.mark.parametrize("method", METHODS)
def test_a_ticket_of_a_gpu_holds_on_a_cpu(method: str, network: str, tmp_path: Path) -> None:
    """What is solved is the same on both, to the byte; what is trained differs by roundings, and holds on both."""
    supported(method, network)
    small, built, path = SMALL[network], tiny(method), tmp_path / "ticket.safetensors"
    given = {"target": target(small), "data": dataset(small)}
    found, again, reference = (
        lth.find(built, small.make(), **given, device=device, progress=False) for device in ("cuda", "cuda", "cpu")
    )
    found.ticket.save(path)
    assert lth.verify(path, trust=TRUST, **given)
    assert to_bytes(again.ticket.ticket) == path.read_bytes()
    assert built.resources.uses_gpu or to_bytes(reference.ticket.ticket) == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path, method: str) -> None:
    built, whole = tiny(method), problem(SMALL[home(method)])
    with pytest.raises(ConfigError, match="add network=fc") as refused:
        built.find(replace(whole, network=None), Memory())
    assert "\n" not in str(refused.value)
    for part, remedy in (("target", "add target=trained"), ("data", "add data=mnist")):
        said = refusal(built, replace(whole, **{part: None}), tmp_path)
        assert said is None if part == "target" and not built.needs_target else part == "data" or said is not None
        assert said is None or (re.search(remedy, said) and "\n" not in said)


def refusal(method: Any, posed: Problem, folder: Path) -> str | None:
    """The sentence of a refusal; None where the method takes the problem."""
    try:
        method.find(posed, Memory(folder))
    except ConfigError as error:
        return str(error)
    return None


class Killed(Memory):
    """A recorder in whose hands a run ends: when it is told for the so-manieth time how things go."""

    def __init__(self, folder: Path, calls: int) -> None:
        super().__init__(folder)
        self.left = calls

    def metrics(self, **values: float | int | str) -> None:
        self._count()
        super().metrics(**values)

    def say(self, line: str) -> None:
        self._count()
        super().say(line)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Progress]:
        with super().progress(label, total) as bar:
            yield _KilledBar(self, bar)

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@dataclass
class _KilledBar:
    recorder: Killed
    bar: Progress

    def advance(self, amount: int, note: str = "") -> None:
        self.recorder._count()
        self.bar.advance(amount, note)


@pytest.mark.parametrize("network", [pytest.param("home"), pytest.param("convolutions", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_killed_is_taken_up_to_the_same_ticket(tmp_path: Path, method: str, network: str) -> None:
    supported(method, network)
    posed = problem(SMALL[home(method) if network == "home" else network])
    (tmp_path / "whole").mkdir()
    whole: Found = tiny(method).find(posed, Memory(tmp_path / "whole"))
    (tmp_path / "cut").mkdir()
    deaths = 0
    for calls in (2, 4, 7):
        try:
            tiny(method).find(posed, Killed(tmp_path / "cut", calls))
        except KeyboardInterrupt:
            deaths += 1
    again: Found = tiny(method).find(posed, Memory(tmp_path / "cut"))
    assert to_bytes(again.ticket) == to_bytes(whole.ticket)
    assert deaths or method == "random_pruning", "told so rarely that nothing was cut"
