"""What a run will take is said before it: the time at its start, and with dry_run=true the plan and nothing else."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sweep.sweeping import SMALL, lth_run_here

import lth_runner as lth
from lth_runner.config.compose import method_of
from lth_runner.networks.instance import Instance
from lth_runner.problem import Offers
from lth_runner.subset_sum.gurobi import Gurobi

Plan = Callable[..., str]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plan:
    def of(*words: str) -> str:
        """The plan of a command that touched nothing."""
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert lth_run_here(monkeypatch, tmp_path, *words, "dry_run=true") is None
        assert sorted(tmp_path.rglob("*")) == before
        out = capsys.readouterr().out
        assert out.startswith("this is the plan, nothing is run (dry_run=true)\n")
        return out

    return of


def test_a_plan_opens_no_folder_and_counts_weights(plan: Plan) -> None:
    out = plan("experiment=figure_fc2", "grid=reduced")
    assert "jobs: 1 to run, 0 finished before\n  runs/figure_fc2-" in out
    assert "weights: network 397,000, study.networks.linear 1,991,420, " in out
    assert "memory: the weights of the largest network take 15.9 MB in float64; " in out
    assert re.search(r"disk: not known; [\d.]+ [GM]B are free at ", out)
    assert re.search(r"^time: \d+ minutes on 2 cores", out, re.MULTILINE)
    assert "Gurobi" not in out


@pytest.mark.slow
def test_a_plan_counts_random_weights_and_their_bits(plan: Plan) -> None:
    out = plan("experiment=mnist_fc")
    assert "never negative: about closest 8,337,000, sparsest 8,337,000, malach 8,337,000\n" in out
    assert "disk: about 3.1 MB of tickets in each run, a bit for each of these; " in out
    assert "about reserved 52,989,552, as_drawn 52,989,552, positive 95,269,104, wider 90,839,232" in plan(
        "experiment=theorem_1"
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["subset_sum", "malach", "pensia", "malach_pairs", "orseau", "burkholz"])
def test_what_a_construction_offers_is_known_beforehand(method: str) -> None:
    """Of a network whose inputs may be negative, which is what is counted."""
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    built = method_of(method, {"n": 5})
    assert isinstance(built, Offers)
    assert built.offered(Instance.of(module)) == lth.find(method, module, n=5, progress=False).measured["offered"]


@pytest.mark.slow
def test_a_plan_knows_what_is_finished(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lth_run_here(monkeypatch, tmp_path, *SMALL) is None
    (folder,) = (tmp_path / "runs").glob("smoke-*")
    assert f"  runs/{folder.name}  finished before" in plan(*SMALL)
    out = plan("-m", *SMALL, "seed=0,1,2")
    assert "jobs: 2 to run, 1 finished before" in out
    assert f"  seed=0  runs/{folder.name}  finished before\n  seed=1  runs/smoke-" in out
    assert re.search(r"disk: a finished run of this name takes [\d.]+ kB", out)


@pytest.mark.slow
def test_times_grow_with_what_the_study_knows(plan: Plan) -> None:
    own = plan("experiment=figure_fc2", "grid=reduced")
    assert "time: 68 minutes on 2 cores that three other jobs shared\n" in own
    out = plan("experiment=figure_fc2", "grid=reduced", "study.grids.reduced.repeats=6")
    assert "time: about 2 h 16 min: 68 minutes on 2 cores that three other jobs shared with repeats 3 (here 6)\n" in out
    published = plan("experiment=figure_fc2")
    assert "densities 5 (here 14), epochs 10 (here 100), repeats 3 (here 5)" in published


@pytest.mark.slow
def test_times_of_other_settings_are_not_made_up(plan: Plan) -> None:
    out = plan("experiment=figure_fc2", "grid=reduced", "study.networks.wide.hidden=9")
    assert "; how that changes with study.networks.wide.hidden is not known" in out
    out = plan("experiment=theorem_1", "n=5", "seed=3", "wandb.mode=disabled")
    assert "time: 8 minutes on 2 cores that one other job shared; how that changes with n is not known\n" in out
    assert "theorem_1 was measured at 1.4 GB with its own settings" in out
    assert "time: not known" in plan("method=subset_sum")


@pytest.mark.slow
def test_a_sweeps_time_is_the_sum(plan: Plan) -> None:
    out = plan("-m", "experiment=theorem_1", "seed=0,1,2")
    assert "time: about 24 min 00 s one after the other; each 8 minutes on 2 cores" in out


@pytest.mark.slow
def test_the_licence_is_named_where_gurobi_is_chosen(plan: Plan) -> None:
    chosen = "method/solver@compare.closest.solver=gurobi"
    out = plan(*SMALL, chosen, "study.values=[4,12]")
    assert "closest: Gurobi's models have 13 variables and 2 constraints; the licence of at most 2,000 each" in out
    assert "is enough" in out
    assert "is not enough: point GRB_LICENSE_FILE" in plan(*SMALL, chosen, "compare.closest.n=2000")
    solver = Gurobi(mip_gap=0.01, threads=1, time_limit=None)
    assert ("is not enough" in solver.licence(2000), "is not enough" in solver.licence(1999)) == (True, False)


def test_what_would_be_refused_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = lth_run_here(monkeypatch, tmp_path, *SMALL, "n=0", "dry_run=true")
    assert refused == "lth-run: compare.closest: n must be at least 1, got 0"


@pytest.mark.slow
def test_a_run_says_its_time_at_its_start_and_a_finished_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiments = tmp_path / "mine" / "experiment"
    experiments.mkdir(parents=True)
    text = "# @package _global_\n# Mine.\n# command: lth-run experiment=timed\n# time: 9 s.\ndefaults: [smoke]\n"
    (experiments / "timed.yaml").write_text(text)
    words = ["--config-dir", str(tmp_path / "mine"), "experiment=timed", *SMALL[1:]]
    assert lth_run_here(monkeypatch, tmp_path, *words) is None
    out = capsys.readouterr().out
    assert out.startswith("time: 9 s; how that changes with data.train_count and ")
    assert lth_run_here(monkeypatch, tmp_path, *words) is None
    assert "time: 9 s" not in capsys.readouterr().out
