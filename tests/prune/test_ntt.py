"""Neural tangent transfer: what its loss is, what it moves, what it leaves alone, and what a ticket says of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from small_networks import SMALL, dataset
from torch.func import functional_call

from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset, images, labels
from lth_runner.networks.interface import filled
from lth_runner.networks.mlp import Mlp
from lth_runner.problem import Found, Problem
from lth_runner.prune.ntt import NeuralTangentTransfer, renews
from lth_runner.prune.tangent_kernels import halves, kernel_of
from lth_runner.prune.transfer import Pruned, TransferLoss
from lth_runner.ticket.source import Drawn, Stored

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = Mlp(inputs=64, hidden=[12, 8], outputs=4, biases=True)
TINY: dict[str, Any] = {
    "density": 0.25,
    "validation": 0,
    "measured": 9,
    "renew_every": 3,
    "transfer": {"length": "12it", "batch": 8, "learning_rate": 0.01},
    "training": {"length": "2it", "batch": 8},
}


def method(**changes: Any) -> Any:
    return method_of("ntt", {**TINY, **changes})


def problem(**changes: Any) -> Problem:
    whole = Problem(network=NETWORK, target=None, data=dataset(SMALL["fc"]), streams=Streams(0), device="cpu")
    return replace(whole, **changes)


def found(folder: Path, posed: Problem | None = None, **changes: Any) -> tuple[Found, Memory]:
    recorder = Memory(folder)
    return method(**changes).find(posed or problem(), recorder), recorder


def started(of: Found) -> dict[str, np.ndarray]:
    """What the training with labels began with."""
    sources = of.ticket.start
    assert all(isinstance(s, Stored) and s.origin == "transferred" for s in sources.values())
    return {name: s.array for name, s in sources.items() if isinstance(s, Stored)}


def drawn(posed: Problem | None = None) -> dict[str, np.ndarray]:
    """The dense network, from the sources of any method that trains from the same start."""
    sources = method().trainings(posed or problem(), Memory()).start
    return {n: s.draw(0).astype(np.float32) if isinstance(s, Drawn) else s.array for n, s in sources.items()}


def explicit(module: torch.nn.Module, parameters: Mapping[str, torch.Tensor], x: torch.Tensor, masks: Any) -> Any:
    """Outputs and kernel between the halves, from a Jacobian found one row at a time."""
    leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    outputs = functional_call(module, leaves, (x,))
    rows = []
    for output in outputs.flatten():
        slopes = torch.autograd.grad(output, list(leaves.values()), retain_graph=True, materialize_grads=True)
        slopes = [s * masks[n] if masks and n in masks else s for n, s in zip(leaves, slopes, strict=True)]
        rows.append(torch.cat([s.flatten() for s in slopes]))
    jacobian = torch.stack(rows).view(*outputs.shape, -1)
    first, second = halves(len(x))
    return outputs.detach(), torch.einsum("xap,ybp->xayb", jacobian[first], jacobian[second])


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_is_the_formula(masked: bool) -> None:
    torch.manual_seed(0)
    dense, network, x = NETWORK.module().double().eval(), NETWORK.module().double(), torch.rand(6, 64).double()
    masks = {name: torch.rand_like(p) < 0.3 for name, p in network.named_parameters() if p.ndim > 1}
    pruned = Pruned(network, masks)
    loss = TransferLoss(
        kernel=kernel_of(dense, x),
        dense=dict(dense.named_parameters()),
        masked=masked,
        kernel_weight=0.7,
        l2_weight=0.2,
    )
    kept = {name: p * masks[name] if name in masks else p for name, p in network.named_parameters()}
    f, k = explicit(network, kept, x, masks if masked else None)
    g, t = explicit(dense, dict(dense.named_parameters()), x, None)
    squares = sum(
        float((p.detach()[masks[name]] ** 2).sum()) for name, p in network.named_parameters() if name in masks
    )
    value = loss(pruned, x, None)
    wanted = 0.7 * ((k - t) ** 2).mean() + ((f - g) ** 2).mean() + 0.2 * squares
    assert value.item() == pytest.approx(wanted.item())
    assert loss.distances(pruned, x) == pytest.approx((float(((k - t) ** 2).mean()), float(((f - g) ** 2).mean())))
    value.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        pruned_away = ~masks[name] if name in masks else torch.zeros_like(parameter, dtype=torch.bool)
        assert not parameter.grad[pruned_away].any(), "a pruned weight gets no gradient"
        assert bool(parameter.grad[~pruned_away].any())


@pytest.mark.parametrize("kernel", ["all", "kept"])
def test_at_density_1_there_is_nothing_to_do(tmp_path: Path, kernel: str) -> None:
    """The loss is exactly 0, so nothing moves; only the decay of weights would move them."""
    one, recorder = found(tmp_path, density=1.0, l2_weight=0.0, kernel=kernel, evaluate_every="1it")
    distances = [line for line in recorder.lines if "ntk_distance" in line]
    assert len(distances) == 13
    assert {line[name] for line in distances for name in ("ntk_distance", "output_distance")} == {0.0}
    for name, array in drawn().items():
        np.testing.assert_array_equal(started(one)[name], array)


@pytest.mark.parametrize("kernel", ["all", "kept"])
@pytest.mark.parametrize("network", ["rows", "convolutions"])
def test_the_facts_are_those_of_the_start(tmp_path: Path, kernel: str, network: str) -> None:
    posed = problem() if network == "rows" else problem(network=SMALL["conv"].make())
    one, _ = found(tmp_path, posed, kernel=kernel)
    facts, x = one.ticket.facts, images(dataset(SMALL["fc"]).test_inputs)[:9].double()
    masks = {name: torch.from_numpy(mask.dense()) for name, mask in one.ticket.masks.items()}
    dense = drawn(posed)
    networks = [{n: torch.from_numpy(a.astype(np.float64)) for n, a in each.items()} for each in (dense, started(one))]
    module = filled(one.ticket.architecture, dense, torch.float64)
    g, t = explicit(module, networks[0], x, None)
    f, k = explicit(module, networks[1], x, masks if kernel == "kept" else None)
    assert facts["ntk_distance_after"] == pytest.approx(float(((k - t) ** 2).mean()), rel=1e-3)
    assert facts["output_distance_after"] == pytest.approx(float(((f - g) ** 2).mean()), rel=1e-3)
    assert facts["transfer_steps"] == 12


def test_the_first_distance_is_that_of_magnitudes(tmp_path: Path) -> None:
    """The dense network's largest weights of every layer, before anything was transferred."""
    one, recorder = found(tmp_path)
    dense, x = drawn(), images(dataset(SMALL["fc"]).test_inputs)[:9]
    kept = {}
    for name, array in dense.items():
        size = round(0.25 * array.size)
        least = np.sort(np.abs(array).ravel())[-size]
        kept[name] = torch.from_numpy(np.where(np.abs(array) >= least, array, 0) if array.ndim > 1 else array)
    module = filled(NETWORK, dense)
    whole = {name: torch.from_numpy(array) for name, array in dense.items()}
    (g, t), (f, k) = explicit(module, whole, x, None), explicit(module, kept, x, None)
    assert one.ticket.facts["ntk_distance_before"] == pytest.approx(float(((k - t) ** 2).mean()), rel=1e-4)
    assert one.ticket.facts["output_distance_before"] == pytest.approx(float(((f - g) ** 2).mean()), rel=1e-4)
    assert recorder.lines[0] == {
        "transfer_step": 0,
        "ntk_distance": one.ticket.facts["ntk_distance_before"],
        "output_distance": one.ticket.facts["output_distance_before"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["all", "kept"])
@pytest.mark.parametrize(("distance", "weight"), [("ntk_distance", 1.0), ("output_distance", 0.0)])
def test_what_has_a_weight_comes_nearer(tmp_path: Path, kernel: str, distance: str, weight: float) -> None:
    transfer = {"length": "80it", "batch": 16, "learning_rate": 0.01}
    one, _ = found(tmp_path, kernel=kernel, transfer=transfer, renew_every=20, kernel_weight=weight)
    assert one.ticket.facts[f"{distance}_after"] < 0.5 * one.ticket.facts[f"{distance}_before"]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_counts_are_exact_and_what_is_pruned_is_0(tmp_path: Path, scope: str) -> None:
    one, _ = found(tmp_path, scope=scope)
    masks = {name: mask.dense() for name, mask in one.ticket.masks.items()}
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    sizes = {name: mask.size for name, mask in masks.items()}
    layers = {name: round(0.25 * size) for name, size in sizes.items()}
    assert (counts == layers) == (scope == "layer")
    assert sum(counts.values()) == round(0.25 * sum(sizes.values()))
    ends = {name: s.array for name, s in one.ticket.weights.items() if isinstance(s, Stored)}
    for name, mask in masks.items():
        assert not started(one)[name][~mask].any() and not ends[name][~mask].any()
        assert started(one)[name][mask].all()
        assert (started(one)[name] != ends[name])[mask].any(), "what is kept is trained with labels"


def test_a_pruned_weight_may_come_back(tmp_path: Path) -> None:
    """Masks that are renewed are not those of the start; masks that are not are."""
    folders = [tmp_path / name for name in ("renewed", "kept")]
    for folder in folders:
        folder.mkdir()
    renewed, left = (
        {name: mask.dense() for name, mask in found(folder, renew_every=every)[0].ticket.masks.items()}
        for folder, every in zip(folders, (3, 100), strict=True)
    )
    first = {name: np.abs(array) for name, array in drawn().items()}
    for name, mask in left.items():
        assert first[name][mask].min() > first[name][~mask].max()
    assert any((mask & ~left[name]).any() for name, mask in renewed.items())


def test_masks_are_renewed_now_and_then_but_not_at_the_end() -> None:
    assert [step for step in range(18_721) if renews(step, 100, 18_720)] == list(range(100, 18_700, 100))
    assert [step for step in range(13) if renews(step, 3, 12)] == [3, 6, 9]


def test_labels_have_no_say_in_the_transfer(tmp_path: Path) -> None:
    data = dataset(SMALL["fc"])
    other: Dataset = replace(data, train_labels=labels(data.train_labels).flip(0))
    starts = []
    for name, given in (("own", data), ("other", other)):
        (tmp_path / name).mkdir()
        one, _ = found(tmp_path / name, problem(data=given))
        starts.append((started(one), one.ticket.facts["ntk_distance_after"], one.ticket.facts["test_loss"]))
    for tensor in starts[0][0]:
        np.testing.assert_array_equal(starts[0][0][tensor], starts[1][0][tensor])
    assert starts[0][1] == starts[1][1] and starts[0][2] != starts[1][2]


def test_several_densities_are_found_as_alone(tmp_path: Path) -> None:
    for name in ("together", "alone"):
        (tmp_path / name).mkdir()
    both = method().find_each(problem(), Memory(tmp_path / "together"), [0.5, 0.25])
    alone, _ = found(tmp_path / "alone")
    assert [one.ticket.facts["density"] for one in both] == [0.5, 0.25]
    assert both[1].ticket.facts == alone.ticket.facts
    for name, array in started(alone).items():
        np.testing.assert_array_equal(started(both[1])[name], array)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"density": 0.0}, "density must be above 0"),
        ({"kernel": "masked"}, "kernel must be one of all, kept"),
        ({"scope": "layers"}, "scope must be one of layer, global"),
        ({"kernel_weight": -1.0}, "kernel_weight must be 0 or more"),
        ({"renew_every": 0}, "renew_every must be at least 1"),
        ({"measured": 0}, "measured must be at least 1"),
    ],
)
def test_settings_without_a_meaning_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        method(**changes)


def test_the_settings_are_those_that_were_published() -> None:
    built = method_of("ntt", {})
    assert isinstance(built, NeuralTangentTransfer)
    assert (built.density, built.scope, built.kernel) == (0.03, "layer", "all")
    assert (built.kernel_weight, built.l2_weight, built.renew_every) == (1e-3, 1e-4, 100)
    assert (built.transfer.learning_rate, built.transfer.batch, built.transfer.length) == (5e-4, 64, "20ep")
    assert (built.training.learning_rate, built.training.batch, built.training.length) == (1e-3, 64, "50ep")
    assert (built.transfer.optimizer, built.training.optimizer, built.transfer.weight_decay) == ("Adam", "Adam", 0.0)
