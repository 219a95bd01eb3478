"""What a job of a cluster does when its time is up: it is queued again, or says in a sentence why it is not."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from types import FrameType

from lth_runner.core.errors import LthError
from lth_runner.record.folder import Requeued

EXECUTOR, SIGNAL = "SUBMITIT_EXECUTOR", "SUBMITIT_PREEMPT_SIGNAL"  # variables that submitit sets and reads


class TimeLimitError(LthError):
    """A job's time is up and the cluster does not start it again."""


def on_cluster() -> bool:
    """Whether submitit runs this process, on a machine of a cluster and with a log of its own."""
    return EXECUTOR in os.environ


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Names what submitit does at the signal that comes before a job is stopped.

    submitit has set a handler that asks the cluster to queue the job again and then leaves by SystemExit: here that
    becomes `Requeued`, so that run and sweep can tell it from a failure. What the run has kept in its checkpoints is
    taken up when the cluster starts it again.

    Raises:
        Requeued: the cluster will start the job again.
        TimeLimitError: it will not.
    """
    number = getattr(signal, f"SIG{os.environ.get(SIGNAL, 'USR2')}")
    theirs = signal.getsignal(number)
    if not on_cluster() or not callable(theirs):
        yield
        return
    from submitit.core.utils import UncompletedJobError

    def handle(received: int, frame: FrameType | None) -> None:
        try:
            theirs(received, frame)
        except SystemExit as end:
            raise Requeued(end.code) from None
        except UncompletedJobError as error:
            raise TimeLimitError(
                "its time limit has come as often as hydra.launcher.max_num_timeout allows: raise it, or "
                "hydra.launcher.timeout_min; the same command goes on from the last checkpoint"
            ) from error
        except subprocess.SubprocessError as error:
            raise TimeLimitError(
                f"its time limit has come and Slurm does not queue it again ({error}): raise "
                "hydra.launcher.timeout_min; the same command goes on from the last checkpoint"
            ) from error

    signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, theirs)
