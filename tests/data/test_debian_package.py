"""Files out of a Debian package: fetched by apt as any user, with lists of its own where there are none."""

import shutil
import subprocess
from pathlib import Path

import pytest
import tiny_mnist as tiny

from lth_runner.core.errors import DataError
from lth_runner.data import debian_package, fashion_mnist

APT = """#!/bin/sh
# apt-get of a machine that has no lists of packages yet, and a mirror with one package
[ "$MIRROR" ] || { echo "E: Temporary failure resolving 'mirror'" >&2; exit 100; }
for word in "$@"; do case $word in Dir::State::Lists=*) lists=${word#*=} ;; esac; done
case $1 in
update) touch "$lists/here" ;;
download) [ -e "$lists/here" ] || { echo "E: Unable to locate package $3" >&2; exit 100; }; cp "$MIRROR/$3.deb" . ;;
esac
"""
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb builds and opens packages")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose apt-get is the one above; it has no mirror."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apt-get").write_text(APT)
    (tmp_path / "bin" / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.delenv("MIRROR", raising=False)
    return tmp_path


@needs_dpkg
def test_the_package_is_fetched_and_unpacked(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, scratch = machine / "tree", machine / "scratch"
    scratch.mkdir()
    (tree / "DEBIAN").mkdir(parents=True)
    control = (
        f"Package: {fashion_mnist.PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: x\n"
    )
    (tree / "DEBIAN" / "control").write_text(control)
    tiny.write(tree / fashion_mnist.FOLDER.relative_to("/"))
    subprocess.run(
        ["dpkg-deb", "--build", tree, machine / f"{fashion_mnist.PACKAGE}.deb"], check=True, capture_output=True
    )
    monkeypatch.setenv("MIRROR", str(machine))
    folder = debian_package.downloaded(fashion_mnist.PACKAGE, fashion_mnist.FOLDER).fetch(scratch)
    assert {name: (folder / name).read_bytes() for name in tiny.FILES} == tiny.FILES


@needs_dpkg
def test_a_mirror_out_of_reach_is_one_line(machine: Path) -> None:
    with pytest.raises(DataError, match=r"^E: Temporary failure resolving 'mirror'$"):
        debian_package.downloaded(fashion_mnist.PACKAGE, fashion_mnist.FOLDER).fetch(machine)


def test_a_machine_without_apt_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="there is no apt-get and no dpkg-deb on this machine"):
        debian_package.downloaded(fashion_mnist.PACKAGE, fashion_mnist.FOLDER).fetch(tmp_path)


def test_a_package_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        debian_package.installed(fashion_mnist.PACKAGE, tmp_path / "none").fetch(tmp_path)


def test_fashion_mnist_asks_torchvision_then_the_machine_then_apt() -> None:
    assert [source.label for source in fashion_mnist.ARCHIVE.sources] == [
        "torchvision's download",
        "Debian's package dataset-fashion-mnist",
        "Debian's package dataset-fashion-mnist by apt",
    ]
