"""A sweep by one command: what it runs, what it leaves out, what it says, and its exit code."""

import json
import re
import tomllib
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from sweep.sweeping import FAULTY_PATH, SMALL, faulty, lth_run, lth_run_here, start, summaries

from lth_runner.config import schema
from lth_runner.config.build import settings
from lth_runner.resources import CORES, GPU, SCORES, Resources, largest
from lth_runner.sweep.needs import needs
from lth_runner.sweep.plan import plan


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """A folder in which six jobs were swept, two of which raise."""
    folder = tmp_path_factory.mktemp("swept")
    return folder, *lth_run(folder, *faulty(folder), "study.number=0,1,2", "study.fate=well,raise", **FAULTY_PATH)


@pytest.mark.slow
def test_a_failing_job_stops_no_other(swept: tuple[Path, int, str]) -> None:
    folder, code, out = swept
    assert code == 1
    found = summaries(folder / "runs")
    assert sorted(summary["status"] for summary in found.values()) == ["failed"] * 3 + ["ok"] * 3
    assert sorted(summary["number"] for summary in found.values() if summary["status"] == "ok") == [0, 1, 2]
    assert out.splitlines()[-1] == "lth-run: 3 of 6 jobs did not finish; the same command runs those again"


@pytest.mark.slow
def test_a_line_for_each_job_and_a_table_of_failures(swept: tuple[Path, int, str]) -> None:
    folder, _, out = swept
    lines = re.findall(r"^(\d)/6 (ok|failed) +study.number=(\d) study.fate=(well|raise)  (.*)$", out, re.MULTILINE)
    assert [line[0] for line in lines] == list("123456")
    assert all(("s left" in line[4]) == (line[0] != "6") for line in lines)
    table = [line for line in out.splitlines() if line.startswith("│")]
    assert len(table) == 3
    for row in table:
        assert "ZeroDivisionError: a job's own error" in row
        log = folder / row.split("│")[4].strip()
        assert log.parent.parent == folder / "runs"
        assert "a job's own error" in log.read_text()


@pytest.mark.slow
def test_the_same_command_does_only_the_rest(swept: tuple[Path, int, str]) -> None:
    folder = swept[0]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/summary.json")}
    arguments = [*faulty(folder), "study.number=0,1,2", "study.fate=well,raise"]
    code, out = lth_run(folder, *arguments, **FAULTY_PATH, FAULTS="no")
    assert code == 0
    assert "6 jobs: 3 finished, 3 skipped, 0 failed" in out
    skipped = re.findall(r"skipped +study.number=(\d) study.fate=well  finished before: (\S+)", out)
    assert [number for number, _ in skipped] == ["0", "1", "2"]
    again = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert {path.parent.name for path in again}.isdisjoint(Path(path).name for _, path in skipped)
    assert len(again) == 3
    latest = max((folder / "runs" / "sweeps").iterdir())
    launched = json.loads((latest / "sweep.json").read_text())["launched"]
    assert launched == [f"study.number={number} study.fate=raise" for number in (0, 1, 2)]

    (folder / skipped[0][1] / "summary.json").unlink()
    code, out = lth_run(folder, *arguments, **FAULTY_PATH)
    assert (code, "6 jobs: 1 finished, 5 skipped, 0 failed" in out) == (0, True)
    code, out = lth_run(folder, *arguments, "wandb.project=other", "cache_dir=elsewhere", **FAULTY_PATH)
    assert "6 jobs: 0 finished, 6 skipped, 0 failed" in out, "where a run lives changes no result"
    code, out = lth_run(folder, *arguments, "rerun=true", **FAULTY_PATH, FAULTS="no")
    assert "6 jobs: 6 finished, 0 skipped, 0 failed" in out


@pytest.mark.slow
def test_joblib_shares_the_cores_out(tmp_path: Path) -> None:
    arguments = [*faulty(tmp_path), "study.number=0,1,2", "study.fate=well,raise", "hydra/launcher=joblib"]
    unset = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), None)
    code, out = lth_run(tmp_path, *arguments, "hydra.launcher.n_jobs=2", **FAULTY_PATH, **unset)
    assert code == 1
    assert "6 jobs: 3 finished, 0 skipped, 3 failed" in out
    import joblib

    share = max(joblib.cpu_count() // 2, 1)
    for summary in summaries(tmp_path / "runs").values():
        if summary["status"] == "ok":
            assert (summary["torch_threads"], summary["numba_threads"]) == (share, share)


def test_joblib_needs_no_extra() -> None:
    """`make run` installs what `hydra/launcher=joblib` takes."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert any(requirement.startswith("hydra-joblib-launcher") for requirement in project["dependencies"])


@pytest.mark.slow
def test_two_identical_sweeps_do_nothing_twice(tmp_path: Path) -> None:
    """Started together, each job is run by one of them; the other waits for it and leaves it out."""
    arguments = [*faulty(tmp_path), "study.number=0,1,2,3", "study.seconds=0.5"]
    both = [start(tmp_path, *arguments, **FAULTY_PATH) for _ in range(2)]
    outs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    ran = [set(re.findall(r"ok +study.number=(\d)", out)) for out in outs]
    skipped = [set(re.findall(r"skipped +study.number=(\d)", out)) for out in outs]
    assert ran[0] | ran[1] == set("0123")
    assert ran[0] & ran[1] == set()
    assert skipped == [ran[1], ran[0]]
    assert all(summary["status"] == "ok" for summary in summaries(tmp_path / "runs").values())


@pytest.mark.slow
def test_a_sweep_is_one_group_and_says_key_numbers(tmp_path: Path) -> None:
    code, out = lth_run(tmp_path, "-m", *SMALL, "seed=0,1")
    assert code == 0
    assert re.search(r"1/2 ok +seed=0  accuracy: target [\d.]+ %, closest [\d.]+ %, .*, malach [\d.]+ %", out)
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    for config in tmp_path.glob("runs/*/config.yaml"):
        assert f"group: {sweep.name}" in config.read_text()


@pytest.mark.slow
def test_a_refused_combination_refuses_the_sweep(tmp_path: Path) -> None:
    code, out = lth_run(tmp_path, "-m", *SMALL, "seed=0,abc")
    assert (code, out) == (2, "lth-run: seed: Value 'abc' of type 'str' could not be converted to Integer\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_what_belongs_to_the_sweep_is_refused_in_one_of_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = tmp_path / "mine" / "experiment"
    experiments.mkdir(parents=True)
    lines = {
        "plain": "name: plain",
        "elsewhere": "defaults: [smoke, override /hydra/launcher: slurm]",
        "several": "hydra: {sweeper: {params: {seed: '0,1'}}}",
    }
    for name, line in lines.items():
        (experiments / f"{name}.yaml").write_text(f"# @package _global_\n{line}\n")
    sweep = ["-m", "--config-dir", str(tmp_path / "mine")]
    refused = lth_run_here(monkeypatch, tmp_path, *sweep, "experiment=plain,elsewhere")
    assert refused is not None
    assert refused.startswith("lth-run: experiment=elsewhere sets hydra.launcher, which one job of a sweep cannot")
    refused = lth_run_here(monkeypatch, tmp_path, *sweep, "experiment=plain,several")
    assert refused is not None
    assert "experiment=several sets hydra.sweeper" in refused
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_sweep_that_changes_folders_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = lth_run_here(monkeypatch, tmp_path, "-m", *SMALL, "seed=0,1", "hydra.job.chdir=true")
    assert refused is not None
    assert "hydra.job.chdir=true cannot be used in a sweep: set runs_dir" in refused
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_slurm_without_slurm_is_refused(tmp_path: Path) -> None:
    code, out = lth_run(tmp_path, "-m", *SMALL, "seed=0,1", "hydra/launcher=slurm", PATH="/nowhere")
    assert code == 2
    assert "hydra/launcher=slurm needs the commands of Slurm, and sbatch is not here" in out
    code, out = lth_run(tmp_path, "-m", *SMALL, "seed=0,1", "hydra/launcher=slum")
    assert "hydra/launcher=slum does not exist (did you mean slurm?)" in out


@pytest.mark.slow
def test_fast_configs_are_those_that_hydra_composes() -> None:
    """The settings by which finished runs are found are the very ones that the launcher will compose."""
    schema.register()
    arguments = ["experiment=smoke,mnist_fc", "seed=3,4", "compare.closest.n=5", "+target.extra=1", "wandb.tags=[a,b]"]
    arguments.append("wandb={project:other},{entity:one}")  # merged into what is there, in each job anew
    with hydra.initialize_config_module("lth_runner.configs", version_base="1.3"):
        setup_globals()
        loader = GlobalHydra.instance().config_loader()
        from hydra.types import RunMode

        master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
        jobs = plan(loader, master, arguments)
        assert [job.varied for job in jobs] == [
            f"experiment={name} seed={seed} wandb={wandb}"
            for name in ("smoke", "mnist_fc")
            for seed in (3, 4)
            for wandb in ("{project:other}", "{entity:one}")
        ]
        for job in jobs:
            assert job.config == settings(hydra.compose("config", overrides=job.overrides))


def test_a_job_array_asks_for_what_its_most_demanding_job_needs() -> None:
    exact = {
        "method": None,
        "compare": {"a": {"_target_": "lth_runner.construct.subset_sum.SubsetSum"}},
        "device": "auto",
    }
    scores = {"method": {"_target_": "lth_runner.search.edge_popup.EdgePopup"}, "compare": {}, "device": "auto"}
    assert needs([exact, exact]) == CORES
    assert needs([{"method": None, "compare": {}, "device": "auto"}]) == CORES
    assert needs([scores]) == SCORES
    assert needs([{**scores, "device": "cuda"}]) == GPU
    assert needs([{**exact, "device": "cuda"}]) == CORES, "exact search has no use for a GPU"
    assert needs([exact, {**scores, "device": "cuda"}]) == largest([CORES, GPU])
    assert largest([CORES, GPU]) == Resources(cpus=8, gpus=1, memory_gb=16, uses_gpu=True)


def test_a_sweep_of_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = lth_run_here(monkeypatch, tmp_path, "-m", "experiment=smoke", "seed=range(0)")
    assert said == "lth-run: this sweep has no jobs: one of the lists of values is empty"
