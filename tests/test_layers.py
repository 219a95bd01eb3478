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
    "subset_sum": 1,
    "distributions": 1,
    "networks": 1,
    "data": 1,
    "record": 1,
    "report": 1,
    "measure": 2,
    "training": 3,
    "targets": 4,
    "methods": 5,
    "studies": 6,
    "build.py": 7,
    "run.py": 8,
    "verify.py": 8,
    "sweep": 9,
    "cli.py": 10,
    "__init__.py": 0,
}


def imported_parts(path: Path) -> set[str]:
    """Folders (or top modules, as `run.py`) of the package that a file imports, type-checking imports left out."""
    tree = ast.parse(path.read_text())
    skipped = {id(child) for node in ast.walk(tree) if _is_type_checking(node) for child in ast.walk(node)}
    names: list[str] = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    parts = {name.split(".")[1] for name in names if name.startswith("lth_runner.")} - {"configs"}
    return {part if part in LAYER else f"{part}.py" for part in parts}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(ROOT).parts[0]
    for other in imported_parts(path) - {part}:
        assert LAYER[other] < LAYER[part], f"{part} must not import {other}"


def test_every_folder_is_shipped() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    folders = {path.parent.relative_to(ROOT.parent) for path in FILES}
    assert {".".join(folder.parts) for folder in folders} | {"lth_runner.configs", "hydra_plugins.lth_runner"} == set(
        project["tool"]["setuptools"]["packages"]
    )
