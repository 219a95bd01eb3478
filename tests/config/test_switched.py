"""Another part in an experiment: it comes as its own file says, not with settings meant for the experiment's part."""

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lth_runner.cli import run as cli
from lth_runner.config.compose import composed
from lth_runner.core.errors import ConfigError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "part", "choice"),
    [
        ("smoke", "target", "checkpoint"),
        ("smoke", "network", "lenet5"),
        ("smoke", "data", "mnist"),
        ("smoke", "target", "synthetic"),
        ("figure_lenet5", "target", "checkpoint"),
        ("figure_fc2", "network", "fc4"),
        ("theorem_1", "target", "reference"),
    ],
)
def test_the_chosen_part_is_as_its_file_says(experiment: str, part: str, choice: str) -> None:
    assert composed([f"experiment={experiment}", f"{part}={choice}"])[part] == composed([f"{part}={choice}"])[part]


@pytest.mark.slow
def test_the_rest_of_the_experiment_stays() -> None:
    plain, switched = composed(["experiment=smoke"]), composed(["experiment=smoke", "network=lenet5"])
    assert {**switched, "network": None} == {**plain, "network": None}


@pytest.mark.slow
def test_the_same_part_keeps_what_the_experiment_sets() -> None:
    assert composed(["experiment=smoke", "network=fc", "target=trained"]) == composed(["experiment=smoke"])


def test_settings_of_the_command_line_are_kept() -> None:
    config = composed(["experiment=smoke", "network=lenet5", "network.hidden=[7]", "++network.relu=true"])
    assert config["network"]["hidden"] == [7] and config["network"]["relu"] is True


def test_what_is_deleted_may_have_been_the_experiments_alone() -> None:
    config = composed(["experiment=smoke", "network=lenet5", "~network.inputs", "~network.relu"])
    assert "inputs" not in config["network"] and "relu" not in config["network"] and "biases" in config["network"]


@pytest.mark.slow
def test_shared_numbers_reach_the_part() -> None:
    assert (
        composed(["experiment=smoke", "seed=3", "target=trained", "data=mnist", "cache_dir=x"])["target"]["seed"] == 3
    )
    assert composed(["experiment=smoke", "data=mnist", "cache_dir=there"])["data"]["root"].startswith("there")


def test_a_part_left_out_leaves_no_settings_behind() -> None:
    assert composed(["experiment=smoke", "~target"])["target"] is None


@pytest.mark.slow
def test_what_only_the_experiments_part_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.inputs is not a setting"):
        composed(["experiment=smoke", "network=lenet5", "network.inputs=64"])


@pytest.mark.slow
def test_runs_and_sweeps_do_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    weights = {"fc1.weight": (20, 64), "fc2.weight": (10, 20)}
    save_file({name: rng.normal(0, 0.1, shape).astype("f4") for name, shape in weights.items()}, "x.safetensors")
    words = [
        "experiment=smoke",
        "device=cpu",
        "n=4",
        "study.values=[]",
        "target=checkpoint",
        "target.path=x.safetensors",
    ]
    monkeypatch.setattr(sys, "argv", ["lth-run", *words])
    cli.main()
    (folder,) = Path("runs").glob("smoke-*")
    monkeypatch.setattr(sys, "argv", ["lth-run", "-m", *words, "seed=0,1"])
    cli.main()
    assert folder in set(Path("runs").glob("smoke-*")) and len(set(Path("runs").glob("smoke-*"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_root_config_of_ones_own_is_the_root_of_the_chosen_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "root.yaml").write_text("defaults: [config, _self_]\nnetwork: {hidden: 0}\n")
    own = ["--config-dir", "mine", "--config-name", "root"]
    monkeypatch.setattr(sys, "argv", ["lth-run", *mode, *own, "experiment=smoke", "network=fc4", "dry_run=true"])
    with pytest.raises(SystemExit, match=r"network\.hidden must be at least 1, got 0"):
        cli.main()
