"""Files out of a Debian package, for machines that reach Debian's mirror: fetched and opened, never installed."""

import shutil
import subprocess
from pathlib import Path

from lth_runner.core.errors import DataError
from lth_runner.data.archive import Source

WHOLE_TIMEOUT_S = 300  # 40 MB on a slow line


def installed(package: str, folder: Path) -> Source:
    """The files where the package puts them, if the machine has it."""

    def fetch(_: Path) -> Path:
        if not folder.is_dir():
            raise DataError(f"not installed (apt install {package})")
        return folder

    return Source(label=f"Debian's package {package}", fetch=fetch)


def downloaded(package: str, folder: Path) -> Source:
    """The package fetched by apt, from whatever mirror apt is configured for, as any user.

    Args:
        folder: where the package puts the files.
    """

    def fetch(scratch: Path) -> Path:
        tools = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
        if tools:
            raise DataError(f"there is no {' and no '.join(tools)} on this machine")
        return fetch_package(package, scratch) / folder.relative_to("/")

    return Source(label=f"Debian's package {package} by apt", fetch=fetch)


def fetch_package(package: str, scratch: Path) -> Path:
    """Fetches the package and unpacks it into a folder below `scratch`, which stands for the root of a machine.

    Where apt has no list of packages, which is what a container starts with, the lists are fetched too, to `scratch`.

    Raises:
        DataError: apt does not have it, or it is no Debian package.
    """
    download = ["apt-get", "download", "--quiet", package]
    try:
        _run(download, scratch)
    except DataError:
        lists, cache = scratch / "lists", scratch / "cache"
        (lists / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        own = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"]
        _run(["apt-get", "update", "--quiet", *own], scratch)
        _run([*download, *own], scratch)
    packages = list(scratch.glob("*.deb"))
    if not packages:
        raise DataError("apt fetched no package")
    _run(["dpkg-deb", "--extract", str(packages[0]), "unpacked"], scratch)
    return scratch / "unpacked"


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=WHOLE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{command[0]} was not finished within {WHOLE_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise DataError((done.stderr.strip() or f"{command[0]} failed").splitlines()[-1])
