"""The lottery papers' convolutional networks: their experiments run, on small files of CIFAR-10's format."""

import csv
import sys
from pathlib import Path

import pytest
from small_cifar import write_binary

from lth_runner.cli import run as cli
from lth_runner.data import cifar10
from lth_runner.ticket.file import read_ticket

RATES = {  # of a round, where it is not .2
    "lth_conv2": {"conv1": 0.1, "conv2": 0.1, "fc3": 0.1},
    "lth_conv4": {"conv1": 0.1, "conv2": 0.1, "conv3": 0.1, "conv4": 0.1, "fc3": 0.1},
    "lth_conv6": {f"conv{number}": 0.15 for number in range(1, 7)} | {"fc3": 0.1},
}
OPTIONS = [
    "study.grids.reduced.levels=1",
    "study.grids.reduced.trials=1",
    "study.grids.reduced.reinitialised=[1]",
    "study.grids.reduced.random=[1]",
    "study.grids.reduced.length=3it",
    "compare.imp.validation=4",
    "compare.imp.training.batch=4",
    "compare.imp.evaluate_every=2it",
    "grid=reduced",
    "device=cpu",
]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("experiment", [*RATES, "lth_resnet20", "lth_vgg19"])
def test_a_round_on_colour_images(experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache/data").mkdir(parents=True)
    monkeypatch.setattr(cifar10, "FILES", write_binary(tmp_path / "cache/data", cifar10.FILES))
    monkeypatch.setattr(sys, "argv", ["lth-run", f"experiment={experiment}", *OPTIONS])
    cli.main()
    (folder,) = (tmp_path / "runs").iterdir()
    with (folder / "points.csv").open() as file:
        points = list(csv.DictReader(file))
    assert [(point["curve"], point["level"]) for point in points] == [
        ("imp", "0"), ("imp", "1"), ("imp, reinitialised", "1"), ("imp, random_mask", "1"),
    ]  # fmt: skip
    assert all(point["steps"] == "3" and float(point["accuracy"]) in (0, 0.25, 0.5, 0.75, 1) for point in points)
    (path,) = folder.rglob("*.safetensors")
    masks = {name.removesuffix(".weight"): mask.dense() for name, mask in read_ticket(path).masks.items()}
    if experiment in RATES:
        rates = dict.fromkeys(masks, 0.2) | RATES[experiment]
        assert {layer: mask.sum() for layer, mask in masks.items()} == {
            layer: round(mask.size * (1 - rates[layer])) for layer, mask in masks.items()
        }
    else:
        assert masks.pop("fc").all(), "the linear layer stays whole"
        assert sum(mask.sum() for mask in masks.values()) == round(0.8 * sum(mask.size for mask in masks.values()))
