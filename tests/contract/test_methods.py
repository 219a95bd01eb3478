"""What every method promises, on every kind of network. A new YAML file in configs/method is tested at once."""

import functools
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from small_networks import SMALL, Small, dataset, inputs, target

import lth_runner as lth
from lth_runner.config.compose import choices, composed, method_of
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.recorder import Progress
from lth_runner.core.streams import Streams
from lth_runner.data.interface import labels, moved
from lth_runner.networks.interface import filled, first_names
from lth_runner.problem import Found, Method, Problem
from lth_runner.ticket.file import read_ticket, save_ticket, to_bytes
from lth_runner.ticket.materialise import materialise, original_architecture
from lth_runner.ticket.source import Drawn, Scales, Stored
from lth_runner.ticket.ticket import Ticket

pytestmark = pytest.mark.usefixtures("one_thread")

# Methods with other settings than those of their files, which make tickets of another kind.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "subset_sum, centred": ("subset_sum", {"centred": True, "match": "tensor"}),
    "subset_sum, signs": ("subset_sum", {"mask": "signs", "match": "row"}),
    "subset_sum, signed": ("subset_sum", {"mask": "signed", "n": 7, "match": "group", "compensate": "inputs"}),
    "pensia, matched": ("pensia", {"n": 14, "signs": "as_drawn", "gains": "matched", "compensate": "inputs"}),
    "pensia, sigmoid": ("pensia", {"n": 14, "activation": "sigmoid", "scale": 0.01, "compensate": "inputs"}),
    "burkholz, gelu": ("burkholz", {"n": 6, "activation": "gelu", "scale": 1e-4}),
    "burkholz, matched": ("burkholz", {"n": 10, "first_n": 20, "gains": "matched"}),
}
METHODS = [*choices("method"), *VARIANTS]
TRUST = ["small_networks"]

# Sizes for tiny networks, for every method that has such a setting; the others keep the defaults of their files.
TINY: dict[str, Any] = {"n": 12, "epsilon": 0.05, "epochs": 2, "batch": 16, "validation": 8, "period": 1}
TINY |= {"training": {"length": "2ep", "batch": 16}}
TINY |= {"transfer": {"length": "2ep", "batch": 8}, "renew_every": 2, "measured": 7}
OWN: dict[str, dict[str, Any]] = {
    "attention": {"n": 20},
    "binary": {"bits": 5},
    "block": {"n": 12, "block": 3},
    "burkholz": {"n": 6},
    "greedy_selection": {"density": 0.5, "images": 20},
    "malach": {"n": 60},
    "malach_pairs": {"n": 60},
    "pensia": {"n": 14, "signs": "as_drawn"},
    "seedlm": {"register": 12},
}

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

# The network of a method that does not support the smallest one, or is for others.
HOMES = {"early_bird": "resnet", "burkholz, matched": "resnet", "early_bert": "vit", "attention": "vit"}

QUICK = ("fc", "language")  # the others are slow together
NETWORKS = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in SMALL]


@functools.cache
def tiny(name: str) -> Any:
    """The method with the defaults of its file and the sizes of a test."""
    name, changes = VARIANTS.get(name, (name, {}))
    known = composed(["~data", "~network", "~target", f"method={name}"])["method"]
    wanted = {**TINY, **(changes or OWN.get(name, {}))}
    return method_of(name, {key: value for key, value in wanted.items() if key in known})


def problem(small: Small, seed: int = 0, **changes: Any) -> Problem:
    whole = Problem(
        network=small.make(), target=target(small), data=dataset(small), streams=Streams(seed), device="cpu"
    )
    return replace(whole, **changes)


@dataclass(frozen=True)
class Case:
    """A ticket that a method has found with the library, on one network."""

    method: Method
    small: Small
    found: Any
    path: Path

    @property
    def ticket(self) -> Ticket:
        return self.found.ticket.ticket

    @property
    def module(self) -> torch.nn.Module | None:
        """What stands for a network in memory when its ticket is read."""
        network = self.small.make()
        return network.module() if not self.small.importable else None

    def verified(self, path: Path | None = None, **changes: Any) -> Any:
        wanted = {"target": target(self.small), "data": dataset(self.small), **changes}
        return lth.verify(path or self.path, trust=TRUST, module=self.module, **wanted)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives the case of a method and a network, found once."""
    kept: dict[tuple[str, str], Case] = {}

    def case(method: str, network: str) -> Case:
        if (method, network) not in kept:
            small, built = SMALL[network], tiny(method)
            found = lth.find(built, small.make(), target=target(small), data=dataset(small), progress=False)
            path = tmp_path_factory.mktemp(f"{method}-{network}") / "ticket.safetensors"
            found.ticket.save(path)
            kept[method, network] = Case(built, small, found, path)
        return kept[method, network]

    return case


def home(method: str) -> str:
    """The smallest network that a method supports."""
    return HOMES.get(method, "fc")


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


@pytest.mark.parametrize("method", METHODS)
def test_no_flipped_bit_passes(cases: Any, tmp_path: Path, method: str) -> None:
    case, path = cases(method, home(method)), tmp_path / "damaged.safetensors"
    whole = case.path.read_bytes()
    seed = int(hashlib.sha256(method.encode()).hexdigest()[:8], 16)
    for bit in np.random.default_rng(seed).integers(8 * len(whole), size=60):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            lth.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_no_changed_claim_passes(cases: Any, tmp_path: Path, method: str) -> None:
    case, path = cases(method, home(method)), tmp_path / "boast.safetensors"
    for claim, value in case.ticket.claims.items():
        if claim == "epsilon":
            continue
        changed = value + (1 if isinstance(value, int) else 0.2)
        save_ticket(replace(case.ticket, claims={**case.ticket.claims, claim: changed}), path)
        false = [finding.claim for finding in case.verified(path).findings if not finding.agrees]
        assert false == [claim]


def with_other_mask(ticket: Ticket) -> Ticket:
    """One weight of the last tensor is not kept any more."""
    name = list(ticket.masks)[-1]
    pruned = ticket.masks[name].dense()
    pruned[np.unravel_index(int(pruned.argmax()), pruned.shape)] = False
    return replace(ticket, masks={**ticket.masks, name: type(ticket.masks[name]).pack(pruned)})


def with_other_scales(ticket: Ticket) -> Ticket:
    """Those of the random numbers of the last tensor that has any are a little larger."""
    name, source, scales = [(name, source, source.scales) for name, source in ticket.random.items() if source.scales][
        -1
    ]
    larger = Scales(array=(scales.array * np.float16(1.25)).astype(np.float16))
    return replace(ticket, weights={**ticket.weights, name: replace(source, scales=larger)})


def with_other_code(ticket: Ticket) -> Ticket:
    """The scales of the last tensor in code are a little larger."""
    codes = {name: source for name, source in ticket.weights.items() if ".scale" in name}
    name, source = list(codes.items())[-1]
    assert isinstance(source, Stored)
    other = replace(source, array=(source.array * np.float16(1.25)).astype(np.float16))
    return replace(ticket, weights={**ticket.weights, name: other})


@pytest.mark.parametrize("method", METHODS)
def test_another_seed_or_mask_under_the_same_claims_does_not_pass(cases: Any, tmp_path: Path, method: str) -> None:
    case, path = cases(method, home(method)), tmp_path / "forged.safetensors"
    save_ticket(with_other_mask(case.ticket) if case.ticket.masks else with_other_code(case.ticket), path)
    assert not case.verified(path)
    if case.method.needs_target and case.ticket.drawn():  # of a search the accuracy of 16 samples may stay what it was
        save_ticket(replace(case.ticket, seed=case.ticket.seed + 1), path)
        assert not case.verified(path)


@pytest.mark.parametrize("method", [name for name in VARIANTS if name.startswith("subset_sum")])
def test_other_scales_under_the_same_claims_do_not_pass(cases: Any, tmp_path: Path, method: str) -> None:
    case, path = cases(method, home(method)), tmp_path / "forged.safetensors"
    save_ticket(with_other_scales(case.ticket), path)
    assert not case.verified(path)


@pytest.mark.parametrize("method", METHODS)
def test_another_target_and_other_data_are_named_as_such(cases: Any, method: str) -> None:
    case = cases(method, home(method))
    with pytest.raises(DataError, match="the target given is not the one that the ticket approximates"):
        case.verified(target=target(case.small, seed=1))
    other = dataset(case.small)
    other = replace(other, test_labels=labels(other.test_labels).flip(0))
    with pytest.raises(DataError, match="not the one that the ticket's accuracy was measured on"):
        case.verified(data=other)


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
