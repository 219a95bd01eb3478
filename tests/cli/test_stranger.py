"""Somebody else's package: a method, a network, a dataset, a distribution, a class and a YAML each, no edit of ours."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import lth_runner as lth
from lth_runner.cli import run, verify
from lth_runner.core.errors import DataError

CODE = {
    "methods": '''
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.networks.interface import state_shapes
from lth_runner.problem import Found
from lth_runner.resources import CORES
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Largest:
    """Keeps the largest weights of a random network."""

    needs_target: ClassVar[bool] = False
    resources: ClassVar[Any] = CORES
    density: float
    distribution: Any

    def __post_init__(self):
        checks.fraction("density", self.density)

    def find(self, problem, recorder):
        (network,) = problem.need("network")
        weights, masks = {}, {}
        for name, shape in state_shapes(network).items():
            weights[name] = Drawn(shape=shape, distribution=self.distribution.fitted(shape, None), stream=(name,))
            size = np.abs(weights[name].draw(problem.streams.seed))
            masks[name] = Mask.pack(size >= np.quantile(size, 1 - self.density))
        recorder.say("the largest stay")
        return Found(ticket=Ticket(architecture=network, seed=problem.streams.seed, weights=weights, masks=masks))
''',
    "nets": '''
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Tower:
    hidden: int

    def module(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, self.hidden), nn.Tanh(), nn.Linear(self.hidden, 3))
''',
    "readers": '''
from dataclasses import dataclass

import torch

from lth_runner.data.interface import Dataset


@dataclass(frozen=True, kw_only=True)
class Stripes:
    count: int

    def load(self, say):
        x = torch.linspace(0, 1, self.count * 16).view(self.count, 1, 4, 4)
        y = torch.arange(self.count) % 3
        say("stripes")
        return Dataset(name="stripes", train_inputs=x, train_labels=y, test_inputs=x, test_labels=y)
''',
    "laws": '''
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Triangle:
    width: float

    def fitted(self, shape, target_range):
        return self

    def quantile(self, uniform):
        return self.width * np.where(uniform < 0.5, np.sqrt(2 * uniform) - 1, 1 - np.sqrt(2 - 2 * uniform))
''',
}  # fmt: skip
CONFIGS: dict[str, Any] = {
    "method/largest": {
        "defaults": [{"distribution": "triangle"}, "_self_"],
        "_target_": "some_lab.methods.Largest",
        "density": 0.5,
    },
    "method/distribution/triangle": {"_target_": "some_lab.laws.Triangle", "width": 2.0},
    "network/tower": {"_target_": "some_lab.nets.Tower", "hidden": 5},
    "data/stripes": {"_target_": "some_lab.readers.Stripes", "count": 30},
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package and the configs of a stranger, in a folder of their own."""
    package = tmp_path / "code" / "some_lab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, text in CODE.items():
        (package / f"{name}.py").write_text(text)
    for name, content in CONFIGS.items():
        path = tmp_path / "my_configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    forget("some_lab")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTH_CACHE", str(tmp_path / "cache"))
    yield tmp_path
    forget("some_lab")


def forget(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def command(monkeypatch: pytest.MonkeyPatch, main: Any, *words: str | Path) -> str | None:
    """What a command exits with: None, or the sentence it prints."""
    monkeypatch.setattr(sys, "argv", ["lth", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return str(end)
    return None


def lth_run(monkeypatch: pytest.MonkeyPatch, lab: Path, *words: str) -> Path:
    plain = ["--config-dir", "my_configs", "~target", "wandb.mode=disabled", "device=cpu"]
    assert command(monkeypatch, run.main, *plain, *words) is None
    (ticket,) = lab.glob("runs/*/ticket.safetensors")
    return ticket


@pytest.mark.slow
def test_everything_of_a_strangers_runs_and_is_verified_by_who_trusts_it(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ticket = lth_run(monkeypatch, lab, "method=largest", "network=tower", "data=stripes", "network.hidden=7")
    said = capsys.readouterr().out
    assert "the largest stay" in said
    assert "ticket.safetensors names code of some_lab: reading or verifying it needs --trust some_lab" in said
    refused = str(command(monkeypatch, verify.main, ticket))
    assert "some_lab" in refused and "if you trust that, add --trust some_lab" in refused and "\n" not in refused
    assert command(monkeypatch, verify.main, ticket, "--trust", "some_lab") is None
    said = capsys.readouterr().out
    assert said.count("holds") == 5 and "needs" not in said  # four counts and the accuracy, on the stranger's data
    with pytest.raises(DataError, match="some_lab"):
        lth.load(ticket)
    assert (
        lth.load(ticket, trust=["some_lab"]).ticket.kept() == sum(round(size / 2) for size in (7 * 16, 7, 3 * 7, 3)) + 1
    )  # of 3 and of 7, the middle one stays too


@pytest.mark.slow
def test_a_strangers_dataset_alone_is_trusted_or_left_out(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = lth_run(monkeypatch, lab, "method=random_pruning", "network.inputs=16", "network.hidden=4", "data=stripes")
    assert lth.load(ticket).ticket.claims["accuracy"] is not None, "our network needs no trust"
    assert "its dataset is code of some_lab: if you trust that, add --trust some_lab" in str(
        command(monkeypatch, verify.main, ticket)
    )
    assert command(monkeypatch, verify.main, ticket, "--trust", "some_lab") is None


@pytest.mark.slow
def test_a_strangers_method_alone_needs_no_trust(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["network.inputs=64", "network.hidden=4", "data=synthetic", "method/distribution=uniform"]
    ticket = lth_run(monkeypatch, lab, "method=largest", *words)
    assert "--trust" not in capsys.readouterr().out
    assert command(monkeypatch, verify.main, ticket) is None


@pytest.mark.slow
def test_ours_is_no_package_to_be_trusted(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = lth_run(monkeypatch, lab, "method=largest", "network=tower", "data=stripes")
    assert "some_lab" in str(command(monkeypatch, verify.main, ticket, "--trust", "lth_runner"))
