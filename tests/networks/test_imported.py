"""Anybody's builder: found, called, refused in one sentence, and drawn the same each time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lth_runner.core import imports
from lth_runner.core.errors import ConfigError
from lth_runner.networks.imported import Imported, import_builder
from lth_runner.networks.interface import parameter_shapes

NETS = """
import torch

class Net(torch.nn.Module):
    def __init__(self, *, width, depth=1):
        super().__init__()
        self.fc = torch.nn.Linear(4, width)

    def forward(self, x):
        return {"logits": self.fc(x), "twice": 2 * self.fc(x)}

    @classmethod
    def small(cls):
        return cls(width=2)

def reads_a_value(width):
    if torch.rand(()).item() < 2:
        return torch.nn.Linear(4, width)

def fails():
    raise ValueError("no weights\\nat all")

def gives_no_module():
    return 3

number = 3
"""
BROKEN = {
    "lacks.py": "import a_package_that_nobody_has",
    "wrong.py": "def f(:",
    "raises.py": "raise RuntimeError('no')",
}
MODELS = "torchvision.models."


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package `lab` in the current directory, which a console script cannot import by itself."""
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "nets.py").write_text(NETS)
    for name, text in BROKEN.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", os.getcwd())])
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] in ("lab", "torchlike")]:
        del sys.modules[name]


def network(builder: Any, output: Any = None, pool: Any = "none", **arguments: Any) -> Imported:
    return Imported(builder=builder, arguments=arguments, output=output, pool=pool)


@pytest.mark.parametrize("builder", ["lab.nets.Net", "lab.nets:Net", "lab:nets.Net"])
def test_a_builder_of_the_current_directory_is_found_and_called(builder: str) -> None:
    module = network(builder, "twice", width=3).module()
    x = torch.ones(2, 4)
    torch.testing.assert_close(module({"x": x}), 2 * module.get_submodule("fc")(x))
    assert parameter_shapes(network(builder, width=3)) == {"fc.weight": (3, 4), "fc.bias": (3,)}


def test_a_method_of_a_class_is_a_builder_and_output_may_be_a_number() -> None:
    assert parameter_shapes(network("lab.nets.Net.small", output=0)) == {"fc.weight": (2, 4), "fc.bias": (2,)}


def test_the_current_directory_hides_no_installed_package(lab: Path) -> None:
    (lab.parent / "wave.py").write_text("raise RuntimeError('the wrong one')")
    sys.modules.pop("wave", None)
    import_builder("lab.nets.Net")  # puts the directory on the path
    assert import_builder("wave.Error").__module__ == "wave"


def test_weights_are_equal_each_time_and_torchs_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = network("lab.nets.Net", width=3).module().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    second = network("lab.nets.Net", width=3).module().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_builder_that_reads_values_has_shapes_too() -> None:
    assert parameter_shapes(network("lab.nets.reads_a_value", width=3)) == {"weight": (3, 4), "bias": (3,)}


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        ("labb.nets.Net", {}, r"there is no package labb \(did you mean lab\?\)"),
        ("labb:Net", {}, "there is no package labb"),
        ("lab.netz.Net", {}, r"lab has no netz \(did you mean nets\?\)"),
        ("lab.netz:Net", {}, r"lab has no netz \(did you mean nets\?\)"),
        ("lab.nets.Nett", {}, r"lab.nets has no Nett \(did you mean Net\?\)"),
        ("lab.nets.Net.smal", {}, r"Net has no smal \(did you mean small\?\)"),
        ("lab.nets.number", {}, "is a int, neither a function nor a class"),
        ("lab.lacks.Net", {}, "lab.lacks cannot be imported: ModuleNotFoundError: .*a_package_that_nobody_has"),
        ("lab.wrong.Net", {}, "lab.wrong cannot be imported: SyntaxError"),
        ("lab.raises.Net", {}, "lab.raises cannot be imported: RuntimeError: no"),
        ("lab.nets.Net", {"widht": 3}, r"do not fit lab.nets.Net: .*; its signature is \(\*, width, depth=1\)"),
        ("lab.nets.fails", {}, r"failed with network.arguments=\{\}: ValueError: no weights$"),
        ("lab.nets.gives_no_module", {}, "gave a int, not a torch.nn.Module"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(builder: str, arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        network(builder, **arguments).module()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"builder": None}, "network=imported needs what builds it, for example network.builder=torchvision"),
        ({"builder": "Net"}, "must be a dotted name"),
        ({"builder": "lab..Net"}, "must be a dotted name"),
        ({"arguments": [1]}, "network.arguments must be values by name"),
        ({"arguments": {1: 2}}, "network.arguments must be values by name"),
        ({"output": ""}, "network.output must be null, a name"),
        ({"output": True}, "network.output must be null, a name"),
        ({"pool": "max"}, "network.pool must be one of none, mean"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Imported(**{"builder": "lab.nets.Net", "arguments": {}, "output": None, "pool": "none", **settings})


FAKE = """
import builtins
if not builtins.repaired:
    raise RuntimeError("operator torchvision::nms does not exist")
def build(): ...
"""


@pytest.mark.parametrize("healthy", [True, False])
def test_torchvision_is_repaired_only_where_it_fails(healthy: bool, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that imports a torchvision which works, or does not until it is repaired."""
    (lab.parent / "torchlike.py").write_text(FAKE)
    monkeypatch.setattr("builtins.repaired", healthy, raising=False)
    repairs: list[str] = []

    def repair(module: str) -> None:
        repairs.append(module)
        monkeypatch.setattr("builtins.repaired", True)

    monkeypatch.setattr(imports, "import_torchvision", repair)
    assert import_builder("torchlike.build").__name__ == "build"
    assert repairs == ([] if healthy else ["torchvision"])


@pytest.mark.slow
def test_a_package_that_imports_torchvision_itself_is_imported(lab: Path) -> None:
    """In a process of its own, since here torchvision may have been imported before."""
    (lab / "vision.py").write_text("import torchvision.models\nbuild = torchvision.models.resnet18\n")
    script = "from lth_runner.networks.imported import import_builder; import_builder('lab.vision.build')"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize(
    ("name", "parameters", "buffers"), [("resnet18", 11_689_512, 9_620), ("mobilenet_v3_small", 2_542_856, 12_146)]
)
def test_torchvisions_models_have_their_published_sizes(name: str, parameters: int, buffers: int) -> None:
    module = network(MODELS + name).module()
    assert sum(value.numel() for value in module.parameters()) == parameters
    assert sum(value.numel() for value in module.buffers()) == buffers
    shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}
    assert parameter_shapes(network(MODELS + name)) == shapes
    assert module.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)


def test_vit_b_16_has_its_published_size_without_values() -> None:
    with torch.device("meta"):
        module = network(MODELS + "vit_b_16").module()
    assert sum(value.numel() for value in module.parameters()) == 86_567_656


@pytest.mark.slow
def test_vit_b_16_computes() -> None:
    module = network(MODELS + "vit_b_16", num_classes=10).module().eval()
    assert module(torch.zeros(1, 3, 224, 224)).shape == (1, 10)


def test_a_wrong_argument_of_torchvision_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"num_clases.*; its signature is"):
        network(MODELS + "resnet18", num_clases=3).module()
