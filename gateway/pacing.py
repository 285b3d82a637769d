"""Holding a background process back while others need the processors: stopped most of the time, run in slices."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

#: How long it runs at a time, in seconds: less than what waiting for the disk varies by.
SLICE_SECONDS = 0.002
#: How often it is looked at who needs the processors.
LOOK_SECONDS = 1.0
#: Others that use less than this, in processors, are nobody; and so many must be free for it to be in no one's way.
NOBODY, ROOM = 0.1, 1.75
_TICKS = os.sysconf("SC_CLK_TCK")


class Pacer:
    """Lets one process have `share` of a processor while others need the processors, and all it gets otherwise.

    Idle priority is not enough (docs/decisions/008): the kernel is late to notice that a thread waits behind another
    while elsewhere the job runs. So the job is stopped most of the time: what it takes from a request is a slice.

    Args:
        pid: a child that called `continue_when_orphaned`, not reaped before the last call here.
        share: part of one processor, 0 to 1; at 1 it is never stopped.
        used: seconds of processor time that all and that the process itself have used so far. Raises OSError
            when that cannot be told; then it is not held back.
        processors: how many there are.
    """

    def __init__(
        self,
        pid: int,
        share: float,
        used: Callable[[int], tuple[float, float]] | None = None,
        processors: int | None = None,
    ) -> None:
        self._pid = pid
        self._share = share
        self._used = used or used_seconds
        self._processors = processors or os.cpu_count() or 1
        self._looked_at = time.monotonic()
        self._before = self._look()
        # Until the first look is over nobody knows: the careful way.
        self.holds_back = share < 1 and self._before is not None

    def pass_time(self, seconds: float) -> None:
        """Return after about that time, with the process running."""
        self._decide()
        end = time.monotonic() + seconds
        while self.holds_back and time.monotonic() < end:
            before = ran_seconds(self._pid)
            time.sleep(SLICE_SECONDS)
            # What it did not get, since others had the processors, is not taken from it a second time.
            ran = ran_seconds(self._pid) - before
            if ran > SLICE_SECONDS / 4:
                self._pause(ran * (1 - self._share) / self._share)
        time.sleep(max(0.0, end - time.monotonic()))

    def _pause(self, seconds: float) -> None:
        try:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGSTOP)
            time.sleep(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)

    def _decide(self) -> None:
        now = time.monotonic()
        if self._share >= 1 or now - self._looked_at < LOOK_SECONDS:
            return
        seconds, self._looked_at = now - self._looked_at, now
        before, self._before = self._before, self._look()
        if before is None or self._before is None:
            self.holds_back = False
            return
        everybody, own = (later - earlier for later, earlier in zip(self._before, before, strict=True))
        others = (everybody - own) / seconds
        self.holds_back = others > NOBODY and self._processors - others < ROOM

    def _look(self) -> tuple[float, float] | None:
        try:
            return self._used(self._pid)
        except (OSError, ValueError, IndexError):
            return None


def ran_seconds(pid: int) -> float:
    """Processor time of a process with all its threads, to the nanosecond; 0.0 when that cannot be told.

    In one system call (clock_getcpuclockid(3): a process's clock has the number `~pid << 3 | 2`), because it is asked
    at both ends of every slice.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def used_seconds(pid: int) -> tuple[float, float]:
    """Seconds of processor time used by all and by one process. Raises OSError, ValueError or IndexError."""
    with Path("/proc/stat").open() as lines:
        user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, lines.readline().split()[1:])
    # The name, in brackets, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15]))
    return (user + nice + system + irq + softirq) / _TICKS, own / _TICKS
