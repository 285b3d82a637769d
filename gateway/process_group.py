"""Ending a child process together with all that it started. For children that lead a process group of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

_POLL_SECONDS = 0.02


def stop_group(process: subprocess.Popen[bytes], kill_after_seconds: float) -> None:
    """End a child and all that it started: TERM if it still runs, KILL to whatever is left then."""
    if not has_ended(process):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + kill_after_seconds
        while not has_ended(process) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    # The child itself is not reaped before this, so its number cannot belong to anybody else yet.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child has ended, without reaping it: until it is reaped its number stays its own."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
