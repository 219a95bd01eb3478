"""W&B's environment variables: they beat every config file and lose to what is typed."""

from pathlib import Path
from typing import Any

import pytest
from sweep.sweeping import lth_run_here

import lth_runner.run
from lth_runner.config.compose import composed
from lth_runner.config.environment import with_environment
from lth_runner.core.identity import identity
from lth_runner.record.wandb_environment import NAMES, from_environment
from lth_runner.sweep import job

ALL = {"WANDB_MODE": "online", "WANDB_PROJECT": "p", "WANDB_ENTITY": "e", "WANDB_DIR": "/d", "WANDB_RUN_ID": "i"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({}, {}),
        (ALL, {"mode": "online", "project": "p", "entity": "e", "dir": "/d", "id": "i"}),
        ({"WANDB_PROJECT": "", "WANDB_MODE": "dryrun", "WANDB_DISABLED": ""}, {"mode": "offline"}),
        ({"WANDB_MODE": "run", "WANDB_DISABLED": "false"}, {"mode": "online"}),
        ({"WANDB_MODE": "online", "WANDB_DISABLED": "True"}, {"mode": "disabled"}),
    ],
)
def test_what_the_environment_says(environment: dict[str, str], settings: dict[str, str]) -> None:
    assert from_environment(environment) == settings


def seen(patch: pytest.MonkeyPatch, folder: Path, *words: str) -> dict[str, Any]:
    """The W&B settings that a run of the command gets."""
    found: list[dict[str, Any]] = []
    patch.setattr(lth_runner.run, "run", lambda config, *terminals: found.append(config))
    assert lth_run_here(patch, folder, *words) is None
    return found[0]["wandb"]


@pytest.mark.slow
def test_the_environment_beats_files_and_loses_to_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment's own file says disabled."""
    assert seen(monkeypatch, tmp_path, "experiment=smoke")["mode"] == "disabled"
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    found = seen(monkeypatch, tmp_path, "experiment=smoke", "wandb.project=typed", "++wandb.entity=null")
    assert found == {
        "mode": "online", "project": "typed", "entity": None, "group": None, "tags": [], "dir": "/d", "id": "i"
    }  # fmt: skip
    monkeypatch.setenv("WANDB_DISABLED", "true")
    assert seen(monkeypatch, tmp_path, "experiment=smoke")["mode"] == "disabled"
    assert seen(monkeypatch, tmp_path, "experiment=smoke", "wandb.mode=offline")["mode"] == "offline"
    assert seen(monkeypatch, tmp_path, "experiment=smoke", "wandb={mode: offline}")["project"] == "lth_runner"


@pytest.mark.slow
def test_an_impossible_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "shared")
    for words in (["experiment=smoke"], ["-m", "experiment=smoke", "seed=0,1"]):
        refused = lth_run_here(monkeypatch, tmp_path, *words)
        assert refused is not None and "WANDB_MODE=shared" in refused and "wandb.mode must be one of" in refused
    assert not list(tmp_path.glob("runs/*-*")), "nothing was run"


def test_it_is_the_same_run_wherever_it_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(["experiment=smoke"])
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    assert identity(with_environment(config, [])) == identity(config)


def test_the_jobs_of_a_sweep_share_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(job, "run", lambda config, *terminals: found.append(config["wandb"]))
    config = composed(["experiment=smoke"])
    job.run_job({**config, "wandb": {**config["wandb"], "id": "everybodys"}}, tmp_path / "sweep", 0)
    assert found[0]["id"] is None and found[0]["group"] == "sweep"


def test_a_project_alone_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(["experiment=smoke"])
    assert with_environment(config, []) is config
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert with_environment(config, ["seed=1"])["wandb"] == {**config["wandb"], "project": "mine"}
