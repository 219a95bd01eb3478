"""The library: the three lines of a notebook, on modules, names, tensors and loaders, and what it refuses."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_choice import ONE_BY_ONE, UNMATCHED
from torch import nn
from torch.nn.utils import prune

import lth_runner as lth
from lth_runner.api import Loaded
from lth_runner.construct.subset_sum import SubsetSum
from lth_runner.core.errors import ConfigError, DataError, LthError
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.subset_sum.exhaustive import Exhaustive
from lth_runner.ticket.source import Stored


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10))


def quick(**given: Any) -> Any:
    return lth.find(**{"method": "subset_sum", "module": network(), "n": 8, "progress": False, **given})


def images(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, 1, 8, 8, generator=generator)
    return x, torch.randint(10, (count,), generator=generator)


def same_file(first: Any, second: Any, folder: Path) -> bool:
    for name, ticket in (("a", first), ("b", second)):
        ticket.save(folder / name)
    return (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_the_lines_of_the_readme(tmp_path: Path) -> None:
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = lth.find("pensia", module, n=21, epsilon=0.01, seed=0, progress=False)
    found.ticket.save(tmp_path / "t.safetensors")
    verified = lth.verify(tmp_path / "t.safetensors", target=module)
    assert verified and verified.holds and not [finding for finding in verified.findings if finding.needs]
    pruned = lth.load(tmp_path / "t.safetensors", module=module).module()
    assert isinstance(pruned, nn.Module) and not pruned.training
    x, _ = images()
    with torch.no_grad():
        assert float((pruned(x) - module(x)).abs().mean()) < 0.1
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items()), "left as it was"


def test_defaults_are_those_of_the_file_of_the_method() -> None:
    method = quick(n=None).ticket.ticket.origin.method
    assert method["epsilon"] == 0.01 and method["c"] == 3 and method["n"] is None and method["sharing"] == "weight"
    assert method["distribution"] == {"@": "target_range"}


def test_parts_of_a_method_by_name_as_settings_or_as_objects(tmp_path: Path) -> None:
    law, solver = Uniform(low=-1.0, high=1.0), Exhaustive(max_n=20)
    named = quick(distribution="uniform", solver="exhaustive").ticket
    objects = quick(distribution=law, solver=solver).ticket
    assert same_file(named, objects, tmp_path)
    method = SubsetSum(
        objective="closest", epsilon=0.01, c=3, n=8, stored=[], sharing="weight", threshold_small=False,
        distribution=law, solver=solver, **ONE_BY_ONE, **UNMATCHED,
    )  # fmt: skip
    assert same_file(named, lth.find(method, network(), progress=False).ticket, tmp_path)
    assert same_file(quick(n=5, distribution=law, solver=solver).ticket, quick(method=method, n=5).ticket, tmp_path)
    narrower = quick(method="pensia", distribution={"low": -0.5}).ticket.ticket.origin.method
    assert narrower["distribution"] == {"@": "uniform", "low": -0.5, "high": 1.0}


def test_the_number_of_a_seed_decides_the_ticket(tmp_path: Path) -> None:
    assert same_file(quick(seed=3).ticket, quick(seed=3).ticket, tmp_path)
    assert not same_file(quick(seed=3).ticket, quick(seed=4).ticket, tmp_path)


def test_silence_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    quick(data="synthetic")
    assert capsys.readouterr() == ("", "")
    quick(progress=True)
    assert "closest subsets, n = 8: 460 to do" in capsys.readouterr().out


def test_masks_are_named_bools_of_all_places() -> None:
    loaded = quick(sharing="row").ticket
    masks = loaded.masks()
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {
        "1.weight": (6, 64, 8), "1.bias": (6, 8), "3.weight": (10, 6, 8), "3.bias": (10, 8),
    }  # fmt: skip
    assert all(mask.dtype == torch.bool for mask in masks.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == loaded.ticket.kept()


def test_a_module_at_its_end_and_its_start() -> None:
    loaded = quick().ticket
    assert loaded.module(at="end", dtype=torch.float64)[1].weight.dtype == torch.float64  # pyright: ignore[reportIndexIssue]
    with pytest.raises(ConfigError, match="not trained from a start of its own"):
        loaded.module(at="start")
    with pytest.raises(ConfigError, match="at must be one of end, start"):
        loaded.module(at="middle")


@pytest.mark.parametrize("kind", ["pair", "arrays", "four", "loader"])
def test_data_at_hand_is_measured_on(kind: str) -> None:
    x, y = images()
    data: Any = {
        "pair": (x, y),
        "arrays": (x.numpy(), y.to(torch.int32).numpy()),
        "four": (x[:3], y[:3], x, y),
        "loader": torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=7),
    }[kind]
    found = quick(data=data)
    right = (found.ticket.module()(x).argmax(1) == y).float().mean()
    assert found.measured["accuracy"] == pytest.approx(float(right))
    assert lth.verify(found.ticket, target=network(), data=data)
    with pytest.raises(DataError, match="not the one that the ticket's accuracy was measured on"):
        lth.verify(found.ticket, data=(1 - x, y))
    needs = [finding.claim for finding in lth.verify(found.ticket, target=network()).findings if finding.needs]
    assert needs == ["accuracy"], "nobody can load tensors again"


def test_a_dataset_by_its_name_stands_in_the_ticket(tmp_path: Path) -> None:
    found = quick(data="synthetic")
    found.ticket.save(tmp_path / "t.safetensors")
    findings = lth.verify(tmp_path / "t.safetensors", module=network(5), target=network()).findings
    assert not [finding for finding in findings if finding.needs or not finding.agrees]
    assert [finding.claim for finding in findings][-1] == "accuracy"


def test_measuring_again_gives_what_was_found() -> None:
    data = images()
    found = quick(data=data)
    again = found.ticket.measure(target=network(), data=data)
    assert {key: value for key, value in found.measured.items() if key != "solve_time_s"} == {
        key: value for key, value in again.items() if key != "solve_time_s"
    }
    assert found.ticket.measure()["weight_error_max"] is None


@pytest.mark.slow
def test_targets_of_every_kind_are_one(tmp_path: Path) -> None:
    module, other = network(), network(7)
    torch.save(module.state_dict(), tmp_path / "net.pt")
    for target in (module, module.state_dict(), tmp_path / "net.pt", str(tmp_path / "net.pt")):
        assert same_file(quick(module=other, target=target).ticket, quick(module=module).ticket, tmp_path)
    with pytest.raises(DataError, match="the target given is not the one that the ticket approximates"):
        lth.verify(quick().ticket, target=other)


def test_an_architecture_needs_a_target_of_its_own(tmp_path: Path) -> None:
    architecture = FullyConnected(inputs=64, hidden=6, outputs=10, depth=2, biases=True)
    with pytest.raises(ConfigError, match="needs a target network"):
        quick(module=architecture)
    names = {"1.weight": "fc1.weight", "1.bias": "fc1.bias", "3.weight": "fc2.weight", "3.bias": "fc2.bias"}
    target = {names[name]: tensor for name, tensor in network().state_dict().items()}
    ticket = quick(module=architecture, target=target).ticket
    ticket.save(tmp_path / "t.safetensors")
    assert lth.load(tmp_path / "t.safetensors").ticket.kept() == ticket.ticket.kept()


def test_a_ticket_of_a_module_needs_one_alike(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    quick().ticket.save(path)
    with pytest.raises(DataError, match="made from a module in memory: give it, or one alike, as module="):
        lth.load(path)
    with pytest.raises(DataError, match=r"1.bias has shape \[5\], not \[6\]"):
        lth.load(path, module=nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 10)))


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.layer(x), "loss": x.sum()}


def test_a_module_that_returns_several_things_is_told_which_counts() -> None:
    data = (torch.rand(5, 8), torch.tensor([0, 1, 2, 3, 0]))
    with pytest.raises(ConfigError, match=r"returns a dict, not a tensor: choose network\.output=logits"):
        quick(module=Two(), data=data)
    assert quick(module=Two(), data=data, output="logits").measured["accuracy"] is not None


def empty() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return nn.Linear(6, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "pensiaa"}, r"did you mean pensia\?"),
        ({"m": 3}, "setting of subset_sum must be one of distribution, solver, compensation, matching, objective"),
        ({"scores": "uniform"}, "setting of subset_sum must be one of"),
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"n": "many"}, "n must be an integer, got 'many'"),
        ({"distribution": "unifrom"}, r"did you mean uniform\?"),
        ({"distribution": {"low": 0}}, "distribution.low is not a setting"),
        ({"module": None}, "find needs a network: a torch.nn.Module or an architecture, got NoneType"),
        ({"module": 3}, "find needs a network"),
        ({"module": nn.Flatten()}, "no weights that could be approximated"),
        ({"target": "nowhere.pt"}, "there is no file nowhere.pt"),
        ({"target": 3}, "target must be a module, a state dict or the path of one, got int"),
        ({"target": {"1.weight": torch.zeros(3, 3)}}, "does not fit the network"),
        ({"target": nn.Linear(2, 2)}, "does not fit the network"),
        ({"target": {"1.weight": torch.full((6, 64), torch.nan)}}, "1.weight has NaN or infinite values"),
        ({"data": "mnsit"}, r"did you mean mnist\?"),
        ({"data": 3}, "or a DataLoader of pairs, got int"),
        ({"data": (torch.rand(3, 1, 8, 8),)}, "or a DataLoader of pairs, got tuple of 1"),
        ({"data": ([1], [2])}, "inputs and labels must be tensors or arrays, got list"),
        ({"data": (torch.rand(3, 1, 8, 8), torch.zeros(2, dtype=torch.int64))}, "different numbers of samples"),
        ({"data": (torch.rand(3, 1, 5, 5), torch.arange(3))}, r"does not take images of shape \(1, 5, 5\)"),
        ({"data": (torch.rand(3, 1, 8, 8), torch.rand(3))}, r"labels of shape \(3,\) and type float32"),
        ({"data": (torch.rand(3, 1, 8, 8), torch.zeros(3, 2, dtype=torch.int64))}, "labels of shape"),
        ({"data": (torch.rand(3, 1, 8, 8), torch.full((3,), 99))}, "the labels go from 99 to 99 and the network has"),
        ({"data": (torch.rand(3, 2, 8), torch.zeros(3, dtype=torch.int64)), "module": nn.Linear(8, 2)},
         "labels need one output per class"),
        ({"data": [{"x": torch.rand(3, 8)}, 3, 4]}, "or a DataLoader of pairs"),
        ({"module": nn.LazyLinear(3)}, "weight has no shape yet: call the module on one batch first"),
        ({"module": nn.Linear(4, 2, device="meta")}, "weight has no values, it is on the meta device"),
        ({"module": empty()}, r"weight of shape \(0, 6\) is empty"),
        ({"data": (torch.rand(3, 1, 8, 8), torch.arange(3)), "module": nn.Linear(64, 3)},
         "it takes 64 numbers in a row, so put torch.nn.Flatten\\(\\) before its first layer"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": "x"}, "seed must be an integer"),
        ({"device": "tpu"}, "device must be auto, cpu, cuda"),
        ({"device": "cuda:99"}, "no CUDA device is there"),
        ({"output": "logits", "module": FullyConnected(inputs=8, hidden=3, outputs=2, depth=2, biases=True)},
         "output is for a torch.nn.Module"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_refusals_are_one_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(LthError, match=message) as refused:
        quick(**given)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_a_module_with_computed_weights_is_refused_in_one_sentence() -> None:
    normed = nn.utils.weight_norm(nn.Linear(4, 2))
    with pytest.raises(ConfigError, match=r"^weight is computed from other tensors.*remove_weight_norm") as refused:
        quick(module=normed)
    assert "\n" not in str(refused.value)
    pruned = nn.Sequential(nn.Linear(4, 2))
    prune.random_unstructured(pruned[0], "weight", 0.5)
    with pytest.raises(ConfigError, match=r"^0\.weight is computed from other tensors.*prune\.remove"):
        quick(module=pruned)
    prune.remove(pruned[0], "weight")
    quick(module=pruned)


def test_scores_are_trained_in_float32() -> None:
    inputs, labels = images()
    with pytest.raises(ConfigError, match="weight is float64 and scores are trained in float32"):
        lth.find(
            "edge_popup",
            nn.Linear(64, 10).double(),
            data=(inputs.flatten(1).double(), labels),
            epochs=1,
            validation=8,
            progress=False,
        )


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_a_scripted_module_is_refused() -> None:
    with pytest.raises(ConfigError, match="give the module that it was made from"):
        quick(module=torch.jit.script(nn.Linear(4, 2)))


@pytest.mark.slow
def test_the_package_is_light_until_it_is_used() -> None:
    code = "import sys, lth_runner as lth; assert 'torch' not in sys.modules; lth.load; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        lth.lode  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
    assert lth.__version__ == "0.2.0"


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "4000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_waiting_threads_spin_for_a_moment_unless_the_user_has_said_how_long(given: dict, spins: str | None) -> None:
    plain = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = "import os, lth_runner; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env=plain | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(spins)


def test_altered_tickets_are_no_tickets(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    quick().ticket.save(path)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[-3] ^= 1
    path.write_bytes(content.tobytes())
    with pytest.raises(DataError, match="damaged or altered"):
        lth.load(path, module=network())


@pytest.mark.parametrize("method", ["subset_sum", "pensia"])
def test_what_is_stored_as_the_targets_is_compared_with_it(method: str) -> None:
    module = network()
    made = quick(method=method, stored=["1.weight"], **({"n": 14} if method == "pensia" else {})).ticket.ticket
    assert lth.verify(Loaded(made), target=module)
    source = made.weights["1.weight"]
    assert isinstance(source, Stored)
    for array in (source.array * 0 + 7, source.array * np.float32(1 + 1e-6), source.array * np.nan):
        forged = replace(made, weights={**made.weights, "1.weight": replace(source, array=array)})
        verified = lth.verify(Loaded(forged), target=module)
        assert [found.claim for found in verified.findings if not found.agrees] == [
            "difference of 1.weight from the target's"
        ]


def test_a_ticket_without_claims_is_not_verified() -> None:
    made = quick().ticket.ticket
    for claims in ({}, {name: value for name, value in made.claims.items() if name != "kept"}):
        with pytest.raises(DataError, match=r"does not claim its .*kept.*too little to verify"):
            lth.verify(Loaded(replace(made, claims=claims)), target=network())


def test_facts_do_not_stand_for_what_is_measured() -> None:
    made = quick().ticket.ticket
    with pytest.raises(DataError, match=r"names of what is measured \(accuracy, kept\)"):
        Loaded(replace(made, facts={"n": 8, "kept": 1, "accuracy": 1.0})).measure()


def test_a_ticket_of_nothing_random_has_no_weight_errors() -> None:
    module, made = network(), quick().ticket.ticket
    state = module.state_dict()
    copies = {name: Stored(array=state[name].numpy(), origin="target") for name in made.weights}
    whole = replace(made, weights=copies, masks={})
    assert Loaded(whole).measure(target=module)["weight_error_max"] is None
    with pytest.raises(DataError, match="nothing of it is random"):
        list(lth.verify(Loaded(replace(whole, claims={**made.claims})), target=module).findings)


@pytest.mark.parametrize("method", ["subset_sum", "edge_popup"])
def test_complex_parameters_are_refused(method: str) -> None:
    module = nn.Sequential(nn.Linear(6, 5, dtype=torch.complex64))
    with pytest.raises(ConfigError, match=r"0\.weight of the network is complex"):
        lth.find(method, module, progress=False)
    complex_state = {name: tensor.to(torch.complex64) for name, tensor in network().state_dict().items()}
    with pytest.raises(ConfigError, match=r"1\.weight of the target is complex"):
        quick(target=complex_state)


def test_a_target_matched_by_shape_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    named = {f"zz.{name}": tensor for name, tensor in network().state_dict().items()}
    quick(target=named)
    assert not capsys.readouterr().out
    quick(target=named, progress=True)
    assert "zz.1.weight -> 1.weight" in " ".join(capsys.readouterr().out.split())
