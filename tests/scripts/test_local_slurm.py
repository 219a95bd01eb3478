"""scripts/local_slurm.sh ends what it has started, here a stand-in by the name of a daemon."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "local_slurm.sh"


@pytest.mark.slow
def test_a_daemon_that_drops_its_record_and_does_not_end_is_killed(tmp_path: Path) -> None:
    """As slurmd does while it waits for jobs."""
    record, daemon, ready = tmp_path / "slurmd.pid", tmp_path / "bin" / "slurmd", tmp_path / "ready"
    daemon.parent.mkdir()
    daemon.write_text(f"#!/bin/bash\ntrap 'rm -f {record}' TERM\ntouch {ready}\nwhile :; do sleep 0.1; done\n")
    daemon.chmod(0o755)
    process = subprocess.Popen([daemon])
    try:
        while not ready.exists():
            time.sleep(0.05)
        record.write_text(f"{process.pid}\n")
        subprocess.run([SCRIPT, "down", tmp_path], check=True, timeout=120)
        assert not record.exists()
        assert process.wait(timeout=10) == -signal.SIGKILL
    finally:
        process.kill()
