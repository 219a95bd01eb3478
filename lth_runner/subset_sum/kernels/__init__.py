"""Inner loops compiled by numba: serial, without the interpreter lock, driven by `lth_runner.subset_sum.threads`.

Each kernel solves the instances named by `rows` and writes its answers in place. They are compiled once and kept on
disk. Numba keeps a function for as long as its own file is unchanged, although it has compiled into it what it calls
from other files; so whatever is older than the newest file here is dropped when the package is imported.
"""

import contextlib
from pathlib import Path


def drop_stale(folder: Path) -> None:
    """Removes the indexes of kept functions that are older than the newest source file of their folder."""
    newest = max(path.stat().st_mtime for path in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        if index.stat().st_mtime < newest:
            index.unlink(missing_ok=True)


with contextlib.suppress(OSError):  # a read-only installation keeps its functions elsewhere and changes only as a whole
    drop_stale(Path(__file__).parent)
