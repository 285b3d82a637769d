"""Ending a child process together with all that it started; what becomes of a child without its parent.

Those that are ended with all they started must lead a group.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time

_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def stop_group(process: subprocess.Popen[bytes], kill_after_seconds: float) -> None:
    """End a child and all that it started: TERM if it still runs, KILL to whatever is left then."""
    if not has_ended(process):
        os.killpg(process.pid, signal.SIGTERM)
        ends_by(process, time.monotonic() + kill_after_seconds)
    # The child itself is not reaped before this, so its number cannot belong to anybody else yet.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ends_by(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Whether a child ends before that moment of the monotonic clock; waits for it, without reaping it."""
    while not has_ended(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child has ended, without reaping it: until it is reaped its number stays its own."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def die_with_parent() -> None:
    """Have this process killed when the one that started it dies, however that dies. For a child, before it execs."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def continue_when_orphaned() -> None:
    """Have this process continued when the one that started it dies, in whatever way. For a child, before it execs."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT))
