"""The layers of the package: an import points only to a lower number, and every folder is shipped."""

import ast
import tomllib
from pathlib import Path

import pytest

import lth_runner

ROOT = Path(lth_runner.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAYER = {
    "core": 0,
    "resources.py": 0,
    "subset_sum": 1,
    "distributions": 1,
    "networks": 1,
    "data": 1,
    "record": 1,
    "report": 2,
    "ticket": 2,
    "problem.py": 3,
    "config": 3,
    "study.py": 4,
    "measure": 4,
    "training": 5,
    "targets": 6,
    "construct": 6,
    "search": 6,
    "quantise": 7,
    "prune": 7,
    "laws": 7,
    "studies": 8,
    "api.py": 9,
    "run.py": 9,
    "forecast": 10,
    "sweep": 11,
    "cli": 12,
    "__init__.py": 13,
}


def imported_parts(path: Path) -> set[str]:
    """Folders (or top modules, as `run.py`) of the package that a file imports, for type checking or by name alike."""
    tree = ast.parse(path.read_text())
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and _is_import_module(node) and isinstance(node.args[0], ast.Constant):
            names.append(str(node.args[0].value))
    parts = {name.split(".")[1] for name in names if name.startswith("lth_runner.")} - {"configs"}
    return {part if part in LAYER else f"{part}.py" for part in parts}


def _is_import_module(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name == "import_module"


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(ROOT).parts[0]
    for other in imported_parts(path) - {part}:
        assert LAYER[other] < LAYER[part], f"{part} must not import {other}"


def test_every_folder_is_shipped() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    folders = {".".join(path.parent.relative_to(ROOT.parent).parts) for path in FILES}
    mapped = {"lth_runner.sweep.hydra_plugin": "hydra_plugins.lth_runner"}  # Hydra looks for plugins by that name
    shipped = {mapped.get(folder, folder) for folder in folders}
    assert shipped | {"lth_runner.configs"} == set(project["tool"]["setuptools"]["packages"])
