"""The command: every refusal is one sentence that says what to do, with a non-zero exit and no traceback."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lth_runner.cli import run as cli

QUICK = ["experiment=smoke", "device=cpu"]
PLAIN = ["data=synthetic", "network.inputs=64", "network.hidden=20", "method=subset_sum", "n=8", "wandb.mode=disabled"]


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


def lth_run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["lth-run", *arguments])
    cli.main()


def refusal(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped, contextlib.redirect_stderr(io.StringIO()) as noise:
        lth_run(monkeypatch, *arguments)
    message = str(stopped.value)
    assert noise.getvalue() == f"{message}\n"
    assert message.startswith("lth-run: ")
    assert "\n" not in message
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sede=3"], "sede is not a setting (did you mean seed?)"),
        (["+sede=3"], "sede is not a setting (did you mean seed?)"),
        (["study=null"], "study=null names no file of configs, and this group needs one"),
        (["=3"], "=3 names no file of configs"),
        (["experiment="], "experiment= does not exist; choose one of: activations, "),
        (["seed=${oc.env:NOTHING_OF_THAT_NAME}"], "Environment variable 'NOTHING_OF_THAT_NAME' not found"),
        (["--nothing"], "unrecognized arguments: --nothing; lth-run --help lists every choice and setting"),
        (["--cfg", "nothing"], "invalid choice: 'nothing'"),
        (["--resolve"], "The --resolve flag can only be used in conjunction with --cfg or --help; lth-run --help"),
        (["--config-dir", "nowhere"], "nowhere' not found; lth-run --help"),
        (["network.hidden=100000000000000000000000"], "more weights than torch can count, and there is not enough"),
        (["target.epohcs=3"], "target.epohcs is not a setting (did you mean target.epochs?)"),
        (["+target.epohcs=3"], "target.epohcs is not a setting"),
        (["compare.closest.epsilonn=.1"], "(did you mean compare.closest.epsilon?)"),
        (["seed=three"], "seed: Value 'three' of type 'str' could not be converted to Integer"),
        (["seed=-1"], "seed must be at least 0, got -1"),
        (["compare.closest.n=twelve"], "n must be an integer, got 'twelve'"),
        (["n=twelve"], "n: Value 'twelve'"),
        (["n=0"], "n must be at least 1, got 0"),
        (["epsilon=0"], "epsilon must be above 0, got 0"),
        (["epsilon=-0.1"], "epsilon must be above 0, got -0.1"),
        (["compare.closest.objective=nearest"], "objective must be one of closest, sparsest"),
        (["experiment=mnist_fcc"], "experiment=mnist_fcc does not exist (did you mean mnist_fc?)"),
        (["method=subset_summ"], "method=subset_summ does not exist (did you mean subset_sum?)"),
        (["mnist_fc"], "mnist_fc is no override; an override reads key=value: lth-run experiment=mnist_fc"),
        (["device=tpu"], "device must be auto, cpu, cuda"),
        (["wandb.mode=onlin"], "did you mean online?"),
        (["network.inputs=63"], "set network.inputs=64"),
        (["network=lenet5"], "(1, 8, 8): it takes 1 x 28 x 28, so choose data of that size, or another network"),
        (["network.hidden=1000000000000"], "the network has 74,000,000,000,000 weights, 275,671.5 GiB in float32, and"),
        (["network.depth=100000"], "network.depth must be at most 10000, got 100000"),
        (["runs_dir=/proc/foo"], "No such file or directory; choose another folder"),
        (["study.curves=[nearest]"], "study.curves must be one of"),
        (["study.axis=m"], "study.axis=m is not a setting of closest"),
    ],
)
def test_refusals(monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str) -> None:
    fixed = [] if any(word.startswith("experiment=") for word in arguments) else QUICK
    assert expected in refusal(monkeypatch, *fixed, *arguments)


IMPOSSIBLE = {
    "name=''": "name must be the name of a folder (1 to 100 signs, no slash, no dot in front), got ''",
    "name=../x": "name must be the name of a folder (1 to 100 signs, no slash, no dot in front), got '../x'",
    "runs_dir=''": "runs_dir must name a folder, got ''; runs_dir=. is this one",
    "cache_dir=' '": "cache_dir must name a folder, got ' '",
    "grid=foo": "grid must be one of published, reduced, got 'foo'",
    "wandb.mode=foo": "wandb.mode must be one of offline, online, disabled, got 'foo'",
    "wandb.project=''": "wandb.project must be a non-empty string, got ''",
}


@pytest.mark.slow
def test_root_settings_are_refused_on_a_finished_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lth_run(monkeypatch, *QUICK, "study.values=[]")
    for word, expected in IMPOSSIBLE.items():
        for sweep in ([], ["-m"]):
            assert expected in refusal(monkeypatch, *sweep, *QUICK, "study.values=[]", word)
    assert not (tmp_path.parent / "x").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "runs"]


ALONE = [
    "~target",
    "~compare.closest",
    "~compare.sparsest",
    "~compare.malach",
    "study.curves=[]",
    "method.validation=0",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["study.values=[0]"], "n must be at least 1, got 0"),
        (["study.values=[4,twelve]"], "n must be an integer, got 'twelve'"),
        (["study.values=5"], "study.values must be a list, got 5: write study.values=[5]"),
        (["study.curves=[nearest]"], "study.curves must be one of"),
        (["study.axis=m"], "study.axis=m is not a setting of closest"),
        (["network.hidden=0"], "network.hidden must be at least 1, got 0"),
        (["data.side=0"], "data.side must be at least 1, got 0"),
        (["target.epochs=0"], "epochs must be at least 1, got 0"),
        (["~target"], "closest approximates a target network and there is none: add target=trained"),
        (["n=41"], "meet in the middle of n=41 values was refused (at most 40)"),
        (["n=45"], "choose the solver milp, which has no limit"),
        (["study.values=[4,41]"], "meet in the middle of n=41 values was refused (at most 40)"),
        (["n=23", "method/solver@compare.closest.solver=exhaustive"], "exhaustive search of n=23 values was refused"),
        (["method=burkholz", "method.n=41", "method.max_paths=41"], "meet in the middle of n=41 values was refused"),
        (["network.inputs=63"], "set network.inputs=64"),
        (["network=lenet5"], "it takes 1 x 28 x 28, so choose data of that size"),
        (["target=checkpoint", "target.path=normed.pt"], "normed.pt holds batch norms (1) and this network has none"),
        (["target=reference"], "target=reference is a 784-500-10 network without biases"),
        (["method=subset_sum", "method.stored=[foo]"], "stored names foo, which is no weight of the network"),
        (["method=pensia", "method.stored=[foo]"], "stored names foo, which is no weight of the network"),
        (
            ["method=burkholz", "network=vit", "network.side=8", "network.patch=4"],
            "copies of neurons need linear layers and plain convolutions",
        ),
        (["method=edge_popup", "method.validation=9999"], "leaves nothing of 2000 training images: set it lower"),
        (["experiment=null", "method=edge_popup", "~target", "~data"], "this needs a dataset and there is none"),
        (["network=null"], "target needs a network and there is none: add network=fc"),
        (
            ["experiment=null", "~target", "network=null", "data=synthetic", "method=random_pruning"],
            "random_pruning needs a network",
        ),
        (["target.frozen=[no_such_layer]"], "frozen names no_such_layer, which is no layer of the network"),
        (["target.frozen=[fc1,fc2]"], "target.frozen=[fc1,fc2] leaves nothing to train: name fewer layers"),
        (["target.frozen=fc1"], "target.frozen must be a list, got 'fc1': write target.frozen=[fc1]"),
        (["method=edge_popup", "method.frozen=[foo]"], "frozen names foo, which is no layer of the network"),
        (["method=edge_popup", "method.frozen=[fc1]", *ALONE], "fc1.weight is to be frozen and no target has it"),
        (
            ["method=edge_popup", "method.biases=target", "network.biases=true", *ALONE],
            "fc1.bias is to be frozen and no target has it",
        ),
        (
            [
                "experiment=figure_fc2",
                "data=synthetic",
                "data.train_count=6000",
                "network.inputs=64",
                "compare.wide.frozen=[foo]",
            ],
            "frozen names foo, which is no layer",
        ),
        (["experiment=find_versus_exist", "compare.search.frozen=[fc1]"], "compare.search.frozen has no meaning here"),
        (["compare.closest.solver=gurobi"], "choose one of its files as method/solver@compare.closest.solver=NAME"),
        (["method=pensia", "method.distribution=uniform"], "choose one of its files as method/distribution=NAME"),
        (["study.labels=3"], "study.labels must be a mapping, got 3"),
        (["compare.closest=null"], "compare.closest names no _target_: choose a method with method@compare.closest="),
        (["+compare.mine=3"], "compare.mine names no _target_"),
        (["target=checkpoint", "target.path=pipe.pt"], "cannot read pipe.pt: it is no file"),
        (["data=null"], "target=trained needs a dataset to train on: add data=mnist"),
        (["experiment=find_versus_exist", "study.values=[0]"], "study.values must be at least 1, got 0"),
        (["experiment=figure_fc2", "~compare.wide"], "networks, published or figures must be one of"),
        (["experiment=scaling_law", "method=malach"], "this study follows its own curves"),
    ],
)
def test_what_can_be_seen_at_once_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    normed = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.BatchNorm1d(100), torch.nn.Linear(100, 10))
    torch.save(normed.state_dict(), "normed.pt")
    os.mkfifo("pipe.pt")
    fixed = [] if any(word.startswith("experiment=") for word in arguments) else QUICK
    assert expected in refusal(monkeypatch, *fixed, *arguments)
    assert not Path("runs").exists(), "a refused run leaves no folder"
    assert not Path("cache").exists(), "and has trained nothing"


@pytest.mark.slow
def test_a_sweep_of_refused_jobs_leaves_no_folder_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal(monkeypatch, "-m", *QUICK, "n=41,45")
    assert [path.name for path in Path("runs").iterdir()] == ["sweeps"]


IDEA = """
from dataclasses import dataclass
from typing import ClassVar

from lth_runner.distributions.uniform import Uniform
from lth_runner.resources import CORES, Resources
from lth_runner.search.random_pruning import RandomPruning


@dataclass(frozen=True, kw_only=True)
class Idea:
    needs_target: ClassVar[bool] = False
    resources: ClassVar[Resources] = CORES
    density: float = 0.5

    def find(self, problem, recorder):
        law = Uniform(low=-1.0, high=1.0)
        return RandomPruning(density=self.density, distribution=law).find(problem, recorder)
"""
THEIRS = ["method._target_=my_lab.idea.Idea", "data=synthetic", "network.inputs=64", "network.hidden=20", "~target"]


@pytest.fixture
def my_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package in the current directory, where a console script does not look by itself."""
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "idea.py").write_text(IDEA)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in ("my_lab", "my_lab.idea"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_a_method_of_ones_own_needs_no_file(monkeypatch: pytest.MonkeyPatch, my_lab: None) -> None:
    lth_run(monkeypatch, *THEIRS, "method.density=0.25", "wandb.mode=disabled", "device=cpu")
    (summary,) = [json.loads(path.read_text()) for path in Path("runs").glob("*/summary.json")]
    assert summary["idea/kept"] == round(0.25 * (64 + 10) * 20)
    lth_run(monkeypatch, "-m", *THEIRS, "method.density=0.25,0.5", "wandb.mode=disabled", "device=cpu")
    assert len(list(Path("runs").glob("*/summary.json"))) == 2, "and one of both was finished before"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([*THEIRS, "method.densty=1"], "method.densty is not a setting of my_lab.idea.Idea (did you mean density?)"),
        (["method._target_=my_lab.idea.Ideal"], "method._target_=my_lab.idea.Ideal: my_lab.idea has no Ideal (did"),
        (["method._target_=your_lab.Idea"], "method._target_=your_lab.Idea: there is no package your_lab"),
        (["method._target_="], "method._target_ must be a dotted name, such as my_lab.nets.Net, got ''"),
        (["method.density=1"], "method.density is not a setting"),
    ],
)
@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_a_method_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, my_lab: None, sweep: list[str], arguments: list[str], expected: str
) -> None:
    if not sweep:
        assert expected in refusal(monkeypatch, *arguments)
        assert not Path("runs").exists()
    else:
        assert "not foreseen" not in refusal(monkeypatch, *sweep, *arguments)


@pytest.mark.slow
def test_a_misspelt_key_in_an_experiment_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "typo.yaml").write_text("# @package _global_\nsede: 3\n")
    (folder / "nested.yaml").write_text("# @package _global_\ntarget: {epohcs: 3}\n")
    message = refusal(monkeypatch, "--config-dir", str(tmp_path / "mine"), "experiment=typo")
    assert "sede is not a setting (did you mean seed?)" in message
    message = refusal(monkeypatch, "--config-dir", str(tmp_path / "mine"), "experiment=nested", *PLAIN)
    assert (
        "target.epohcs is not a setting of lth_runner.targets.trained.TrainedTarget (did you mean epochs?)" in message
    )


@pytest.mark.slow
def test_an_unreadable_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.pt").write_bytes(b"this is no checkpoint")
    message = refusal(monkeypatch, *PLAIN, "target=checkpoint", "target.path=weights.pt")
    assert "weights.pt" in message
    message = refusal(monkeypatch, *PLAIN, "target=checkpoint", "target.path=missing.pt")
    assert "missing.pt" in message
    assert "must name a file" in refusal(monkeypatch, *PLAIN, "target=checkpoint")


def test_a_method_without_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, *PLAIN, "~target")
    assert "subset_sum approximates a target network and there is none: add target=trained" in message


def test_a_checkpoint_of_another_shape_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a.weight": torch.ones(20, 63), "b.weight": torch.ones(10, 20)}, tmp_path / "weights.pt")
    message = refusal(monkeypatch, *PLAIN, "target=checkpoint", "target.path=weights.pt")
    assert "20x63" in message
    assert "20x64" in message


def test_an_unwritable_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    message = refusal(monkeypatch, *QUICK)
    assert "runs" in message


@pytest.mark.slow
def test_the_traceback_is_there_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="epsilon must be above 0"):
        lth_run(monkeypatch, *QUICK, "epsilon=0", "hydra.verbose=true")


def test_an_interrupted_command_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "task", interrupted)
    with pytest.raises(SystemExit) as stopped:
        lth_run(monkeypatch, *QUICK)
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "lth-run: interrupted; the same command takes it up again\n"


@pytest.mark.parametrize("words", [[], ["-m"], ["--multirun"], ["-m", "--multirun"]])
def test_asked_for_nothing_it_gives_the_menu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setattr(cli, "task", lambda: pytest.fail("a run was started"))
    lth_run(monkeypatch, *words)
    out = capsys.readouterr().out
    assert "experiment=NAME" in out
    assert "mnist_fc" in out


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["experiment=mnist_fc", "--cfg", "job"]])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    program = (
        "import sys; from lth_runner.cli.run import main\n"
        f"sys.argv = ['lth-run', *{arguments!r}]\n"
        "try: main()\n"
        "finally: assert not {'torch', 'wandb', 'gurobipy', 'numba'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "network" in done.stdout


@pytest.mark.slow
def test_a_run_starts_without_what_few_runs_need() -> None:
    program = (
        "import sys, lth_runner.cli.run, lth_runner.run, lth_runner.studies.comparison, lth_runner.construct.pensia\n"
        "assert not {'scipy.linalg', 'scipy.sparse', 'matplotlib', 'wandb'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", ["subset_sum", "pensia", "burkholz"])
def test_a_missing_licence_is_noticed_before_anything_is_done(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setenv("GRB_LICENSE_FILE", "/nonexistent.lic")
    said = refusal(monkeypatch, *QUICK, f"method={method}", "method/solver=gurobi")
    assert "Gurobi found no licence" in said
    assert not Path("runs").exists() and not Path("cache").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("gurobi_licence")
def test_a_licence_too_small_for_a_point_of_a_curve_is_noticed_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["method/solver@compare.closest.solver=gurobi", "study.values=[4,2000]"]
    assert "has a licence too small for so many values" in refusal(monkeypatch, *QUICK, *words)
    assert not Path("runs").exists() and not Path("cache").exists()
