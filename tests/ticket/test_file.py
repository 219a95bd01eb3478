"""A ticket file holds all that the ticket is, and nothing about it can change unnoticed."""

import importlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from ticket.small_ticket import CLAIMS, NETWORK, forged, ticket

from lth_runner.config.compose import source_of
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.distributions.normal import Normal
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.trusted import check_builder
from lth_runner.ticket import file as module
from lth_runner.ticket.file import needed_trust, read_ticket, save_ticket, to_bytes
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.names import class_of
from lth_runner.ticket.source import Drawn, Stored
from lth_runner.ticket.ticket import Origin, Ticket


@pytest.mark.parametrize("coded", [False, True])
def test_what_is_written_is_read_again(tmp_path: Path, coded: bool) -> None:
    save_ticket(ticket(), tmp_path / "ticket.safetensors", coded)
    found = read_ticket(tmp_path / "ticket.safetensors")
    assert found.claims == CLAIMS
    assert (found.architecture, found.seed, found.weights, found.facts) == (
        NETWORK,
        2**62 + 1,
        ticket().weights,
        {"n": 5},
    )
    for name, mask in ticket().masks.items():
        np.testing.assert_array_equal(found.masks[name].dense(), mask.dense())
    assert found.kept() == ticket().kept()
    np.testing.assert_array_equal(
        found.random["fc1.weight"].draw(found.seed), ticket().random["fc1.weight"].draw(2**62 + 1)
    )


def sparse_ticket() -> Ticket:
    """One whose masks are mostly zeros, with indices among its tensors."""
    size = (200, 300)
    network = FullyConnected(inputs=size[1], hidden=size[0], outputs=2, depth=2, biases=False)
    generator = np.random.default_rng(3)
    indices = np.minimum(generator.geometric(0.5, (2, size[0])) - 1, 15).astype(np.uint8)
    return Ticket(
        architecture=network,
        seed=3,
        weights={
            "fc1.weight": Drawn(shape=size, distribution=Normal(std=1.0), stream=("a",)),
            "fc2.weight": Stored(array=indices, origin="code"),
        },
        masks={"fc1.weight": Mask.random(size, 1_200, generator)},
    )


def test_coded_it_takes_what_its_entropy_says_and_is_the_same_ticket(tmp_path: Path) -> None:
    plain, coded, path = to_bytes(sparse_ticket()), to_bytes(sparse_ticket(), coded=True), tmp_path / "t.safetensors"
    assert plain == to_bytes(sparse_ticket()) and coded == to_bytes(sparse_ticket(), coded=True)
    share = 1_200 / 60_000
    saved = (60_000 * (1 + share * np.log2(share) + (1 - share) * np.log2(1 - share))) / 8
    assert len(plain) - len(coded) > 0.95 * (saved + 400 - 100), "a geometric index takes 2 bits"
    path.write_bytes(coded)
    again = read_ticket(path)
    assert to_bytes(again) == plain and to_bytes(again, coded=True) == coded


def test_a_coded_file_that_says_otherwise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    for change in (
        {"counts": [58_801, 1_199]},
        {"counts": [58_800, 1_200], "shape": [200, 300], "type": "|u1"},
        {"counts": [58_800.0, 1_200]},
        {"counts": "many"},
        {},
    ):
        forged(
            path,
            lambda recipe, tensors, change=change: recipe["coded"].update({"mask/fc1.weight": change}),
            to_bytes(sparse_ticket(), coded=True),
        )
        with pytest.raises(DataError):
            read_ticket(path)
    forged(
        path,
        lambda recipe, tensors: recipe["coded"]["stored/fc2.weight"].update(shape=[3, 200]),
        to_bytes(sparse_ticket(), coded=True),
    )
    with pytest.raises(DataError, match="altered"):
        read_ticket(path)


def chosen_ticket() -> Ticket:
    """Of three numbers for each weight one is chosen, in a tenth of the weights none."""
    law, generator = Uniform(low=-1.0, high=1.0), np.random.default_rng(0)
    weights = dict(sparse_ticket().weights)
    choice = generator.choice(4, p=[0.1, 0.3, 0.3, 0.3], size=weights["fc1.weight"].shape)
    weights["fc1.weight"] = Drawn(shape=(*choice.shape, 3), distribution=law, stream=("fc1",), by_place=True)
    mask = Mask.pack(choice[..., None] == 1 + np.arange(3))
    return replace(sparse_ticket(), weights=weights, masks={**sparse_ticket().masks, "fc1.weight": mask})


def test_of_numbers_to_choose_from_the_choice_is_coded(tmp_path: Path) -> None:
    plain, coded, path = to_bytes(chosen_ticket()), to_bytes(chosen_ticket(), coded=True), tmp_path / "t.safetensors"
    share = np.array([0.1, 0.3, 0.3, 0.3])
    size = chosen_ticket().masks["fc1.weight"].size // 3
    assert len(coded) < len(plain) - size * (3 + (share * np.log2(share)).sum()) / 8 + 500
    path.write_bytes(coded)
    assert to_bytes(read_ticket(path)) == plain and to_bytes(read_ticket(path), coded=True) == coded
    for patterns in (["000", "001"], ["000", "001", "010", "10"], ["000", "001", "010", "1x0"], [0, 1, 2, 3], []):

        def change(recipe: Any, tensors: Any, patterns: Any = patterns) -> None:
            recipe["coded"]["mask/fc1.weight"].update(patterns=patterns)

        forged(path, change, coded)
        with pytest.raises(DataError, match="altered"):
            read_ticket(path)


@pytest.mark.slow
@pytest.mark.parametrize("coded", [False, True])
def test_no_bit_can_flip_unnoticed(tmp_path: Path, coded: bool) -> None:
    path = tmp_path / "ticket.safetensors"
    save_ticket(ticket(), path, coded)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            read_ticket(path)


@pytest.mark.parametrize("length", [0, 1, 8, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "ticket.safetensors"
    save_ticket(ticket(), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="no ticket"):
        read_ticket(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_ticket(tmp_path / "none.safetensors")
    save_file({"weight": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="no ticket"):
        read_ticket(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    "kind", ["os:system", "lth_runner.core.files:write_json", "lth_runner.networks.fc:torch", "fcc"]
)
def test_a_file_cannot_name_code_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / "ticket.safetensors"
    monkeypatch.setattr("lth_runner.ticket.names.recipe", lambda _: {"@": kind})
    save_ticket(ticket(), path)
    with pytest.raises(DataError, match="not a network or distribution"):
        read_ticket(path)
    with pytest.raises(DataError, match="not a network or distribution"):
        read_ticket(path, trust=["lth_runner"])


def test_trust_is_a_list_of_packages(tmp_path: Path) -> None:
    """Of one text every part would be trusted: "photos" has "os" in it."""
    path, made = tmp_path / "t.safetensors", tmp_path / "made"
    network = {"@": "imported", "builder": "os:mkdir", "arguments": {"path": str(made)}, "output": None, "pool": "none"}
    for change in ({"architecture": network}, {}):
        forged(path, lambda recipe, tensors, change=change: recipe.update(change))
        with pytest.raises(ConfigError, match=r"trust must be a list of packages.*trust=\[\"photos\"\]"):
            read_ticket(path, trust="photos")
    for ask in (lambda: class_of("os:mkdir", "photos"), lambda: check_builder("os:mkdir", {}, "photos")):
        with pytest.raises(ConfigError, match="a list of packages"):
            ask()
    with pytest.raises(ConfigError, match="a list of packages"):
        source_of({"@": "os:mkdir"}, {"path": str(made)}, "photos")
    assert not made.exists()


@pytest.mark.parametrize("name", ["", " ", "my lab", "my_lab.", "--to", 3])
def test_trust_is_of_names_that_packages_can_have(tmp_path: Path, name: Any) -> None:
    save_ticket(ticket(), tmp_path / "t.safetensors")
    with pytest.raises(ConfigError, match=f"trust must name packages, got {name!r}: write --trust my_lab"):
        read_ticket(tmp_path / "t.safetensors", trust=["my_lab", name])


def test_equal_tickets_give_equal_bytes() -> None:
    assert to_bytes(ticket()) == to_bytes(ticket())


def test_a_recipe_nested_too_deeply_is_no_ticket(tmp_path: Path) -> None:
    text = "[" * 100_000
    save_file({}, tmp_path / "deep.safetensors", {"ticket": f"{module._digest(text, {})}\n{text}"})
    with pytest.raises(DataError, match="no ticket"):
        read_ticket(tmp_path / "deep.safetensors")


def test_tickets_of_the_first_format_are_refused_by_name(tmp_path: Path) -> None:
    entry = json.dumps({"format": "lth_runner.ticket/1", "network": {}})
    save_file({"fc1.weight": np.zeros(3, np.uint8)}, tmp_path / "old.safetensors", {"ticket": entry})
    with pytest.raises(DataError, match=r"format 1.*make it again with the command in .*environment\.json"):
        read_ticket(tmp_path / "old.safetensors")


def test_tickets_of_a_later_format_are_refused_by_name(tmp_path: Path) -> None:
    forged(tmp_path / "new.safetensors", lambda recipe, tensors: recipe.update(format="lth_runner.ticket/9"))
    with pytest.raises(DataError, match=r"of format 'lth_runner\.ticket/9' and this version reads .*/2: read it with"):
        read_ticket(tmp_path / "new.safetensors")


def test_what_is_no_file_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "is no file"), (tmp_path, "is a folder"), (tmp_path / "x", "there is no")):
        with pytest.raises(DataError, match=f"{said}.*: name the ticket.safetensors of a run folder"):
            read_ticket(path)


def test_stored_tensors_and_starts_survive_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in parameter_shapes(NETWORK).items()}
    start = {
        name: Drawn(shape=array.shape, distribution=Normal(std=0.5), stream=(name,), scale=2.0)
        for name, array in arrays.items()
    }
    winning = Ticket(
        architecture=NETWORK,
        seed=3,
        weights={name: Stored(array=array, origin="trained") for name, array in arrays.items()},
        start=start,
        masks={name: Mask.pack(array > 0) for name, array in arrays.items()},
        origin=Origin(method={"@": "imp", "rate": 0.2}, data={"@": "mnist"}, target_checksum="abc"),
    )
    save_ticket(winning, tmp_path / "t.safetensors")
    found = read_ticket(tmp_path / "t.safetensors")
    assert found.start == start and found.origin == winning.origin
    kept = sum(int((array > 0).sum()) for array in arrays.values())
    assert (found.drawn(), found.offered(), found.kept(), found.stored()) == (0, 18, kept, kept)
    for name, array in arrays.items():
        end, begin = (materialise(found, at).module().get_parameter(name).numpy() for at in ("end", "start"))
        np.testing.assert_array_equal(end, np.where(array > 0, array, 0))
        np.testing.assert_array_equal(begin, np.where(array > 0, start[name].draw(3), 0).astype(np.float32))
    with pytest.raises(ConfigError, match="leave out at=start"):
        materialise(ticket(), "start")


def test_centred_numbers_survive_the_file(tmp_path: Path) -> None:
    """Half of each is subtracted, with a mask and without."""
    shapes = parameter_shapes(NETWORK)
    drawn = {
        name: Drawn(shape=shape, distribution=Normal(std=1.0), stream=(name,), scale=2.0, centred=True)
        for name, shape in shapes.items()
    }
    first, *_ = shapes
    mask = Mask.pack(np.random.default_rng(0).random(shapes[first]) < 0.3)
    made = Ticket(architecture=NETWORK, seed=3, weights=drawn, masks={first: mask})
    save_ticket(made, tmp_path / "t.safetensors")
    found = read_ticket(tmp_path / "t.safetensors")
    assert found.weights == drawn and b"centred" not in to_bytes(ticket())
    for name, weight in materialise(found).readings.items():
        half = replace(drawn[name], scale=1.0, centred=False).draw(3)
        np.testing.assert_allclose(weight, np.where(mask.dense(), half, -half) if name == first else half, rtol=1e-15)


def test_a_part_from_elsewhere_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "some_lab.py").write_text(
        "from dataclasses import dataclass\nimport torch\n\n\n@dataclass(frozen=True, kw_only=True)\nclass Net:\n"
        "    width: int\n\n    def module(self):\n        return torch.nn.Linear(self.width, 2, bias=False)\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    some_lab = importlib.import_module("some_lab")
    drawn = Drawn(shape=(2, 3), distribution=Normal(std=1.0), stream=("weight",))
    made = Ticket(architecture=some_lab.Net(width=3), seed=0, weights={"weight": drawn}, masks={})
    save_ticket(made, tmp_path / "t.safetensors")
    assert needed_trust(made) == {"some_lab"} and needed_trust(ticket()) == set()
    with pytest.raises(DataError, match=r"--trust some_lab \(trust=\[\"some_lab\"\] in Python\)"):
        read_ticket(tmp_path / "t.safetensors")
    assert read_ticket(tmp_path / "t.safetensors", trust=["some_lab"]).architecture == some_lab.Net(width=3)
