"""What is worth reading of a run's settings: where it differs from its experiment, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from lth_runner.config.compose import choices, composed
from lth_runner.report.differences import differences
from lth_runner.report.read import Run, flattened


def run(*words: str, **changes: Any) -> Run:
    return Run(Path("runs/a"), flattened({**composed(words), **changes}), {"status": "ok"})


@pytest.mark.slow
@pytest.mark.parametrize("name", choices("experiment"))
def test_an_experiment_differs_from_itself_in_nothing(name: str) -> None:
    """The config files are read without Hydra, and give what Hydra gives."""
    assert differences(run(f"experiment={name}")) == {}
    assert differences(run(f"experiment={name}", "epsilon=0.2", "seed=4")) == {"epsilon": 0.2, "seed": 4}


def test_a_run_without_an_experiment_differs_in_its_choices() -> None:
    assert differences(run()) == {}
    found = differences(run("method=pensia", "n=20", "method/distribution=normal", "~target", "data=synthetic"))
    assert found == {"method": "pensia", "method.distribution": "normal", "n": 20, "target": None, "data": "synthetic"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["target=synthetic"], {"target": "synthetic"}),
        (["target=synthetic", "target.gain=2"], {"target": "synthetic", "target.gain": 2}),
        (["~target"], {"target": None}),
        (["network=lenet5"], {"network": "lenet5"}),
        (["network.depth=3"], {"network.depth": 3}),
        (["method=malach", "method.n=100"], {"method": "malach", "method.n": 100}),
        (["n=20"], {"n": 20}),
        (["compare.closest.n=20"], {"compare.closest.n": 20}),
        (["method/distribution@compare.malach.distribution=normal"], {"compare.malach.distribution": "normal"}),
        (["study.values=[1,2]"], {"study.values": [1, 2]}),
        (["runs_dir=elsewhere", "wandb.mode=offline", "device=cpu"], {}),
    ],
)
def test_what_was_typed_is_what_differs(words: list[str], expected: dict[str, Any]) -> None:
    assert differences(run("experiment=smoke", *words)) == expected


def test_settings_that_no_file_has_are_differences() -> None:
    assert differences(run("experiment=smoke", extra={"rate": 0.1})) == {"extra.rate": 0.1}
    assert differences(run("experiment=smoke", method={"_target_": "my_lab.idea.Idea", "k": 3})) == {
        "method": "idea", "method.k": 3,
    }  # fmt: skip
