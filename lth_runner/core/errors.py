"""The two ways a run can stop on purpose: a setting is impossible, or a file is missing or refused."""

import re

LACKING = r"can't allocate memory|out of memory|Overflow when unpacking long|size calculation overflowed"  # in torch


class LthError(Exception):
    """An error whose message is one sentence that says what to do; shown without a traceback."""


class ConfigError(LthError):
    """A setting is impossible: the message names it, what is allowed, what was given, and the remedy."""


class DataError(LthError):
    """A file, a download or a folder is missing, damaged or cannot be written."""


class RunBusyError(DataError):
    """Another process is working on this run."""


def lacks_memory(error: BaseException) -> bool:
    """Whether memory was not enough: NumPy and Python have a type for that, torch says it in words."""
    return isinstance(error, MemoryError) or bool(re.search(LACKING, str(error)))
