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
#: After so many seconds, at most, it is looked at again while it waits for something.
LOOK_SECONDS_MAX = 0.016
#: How often it is decided anew who needs the processors, in seconds.
DECISION_SECONDS = 1.0
#: Others that use less than this, in processors, are nobody; and so many must be free for it to be in no one's way.
NOBODY, ROOM = 0.1, 1.75
#: What it gets, in processors, when nothing is free: it is to end some day.
SHARE_MIN = 0.01
_TICKS = os.sysconf("SC_CLK_TCK")


class Pacer:
    """Lets one process have part of what others leave free of the processors; all it gets, where nobody needs them.

    Idle priority is not enough (docs/decisions/008): the kernel is late to notice that a thread waits behind another
    while elsewhere the job runs. So the job is stopped most of the time: what it takes from a request is a slice.
    And it takes a part of what is free, not of a processor: waiting grows as 1 / (what is free), so that part, and no
    other figure, says by how much the job lengthens it.

    Args:
        pid: a child that called `continue_when_orphaned`, not reaped before the last call here.
        part: of what is free, 0 to 1; at 1 it is never stopped.
        used: seconds of processor time that all and that the process itself have used so far. Raises OSError
            when that cannot be told; then it is not held back.
        processors: how many there are.
    """

    def __init__(
        self,
        pid: int,
        part: float,
        used: Callable[[int], tuple[float, float]] | None = None,
        processors: int | None = None,
    ) -> None:
        self._pid = pid
        self._part = part
        self._used = used or used_seconds
        self._processors = processors or os.cpu_count() or 1
        self._looked_at = time.monotonic()
        self._before = self._look()
        # Until the first look is over nobody knows: the careful way.
        self.holds_back = part < 1 and self._before is not None
        self.share = SHARE_MIN

    def pass_time(self, seconds: float) -> None:
        """Return after about that time, with the process running."""
        self._decide()
        end, look = time.monotonic() + seconds, SLICE_SECONDS
        while self.holds_back and time.monotonic() < end:
            before = ran_seconds(self._pid)
            time.sleep(look)
            # What it did not get, since others had the processors, is not taken from it a second time.
            ran = ran_seconds(self._pid) - before
            if ran > SLICE_SECONDS / 4:
                self._pause(ran * (1 - self.share) / self.share)
                look = SLICE_SECONDS
            else:
                # It waits for something: looking costs processor time, too.
                look = min(2 * look, LOOK_SECONDS_MAX)
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
        if self._part >= 1 or now - self._looked_at < DECISION_SECONDS:
            return
        seconds, self._looked_at = now - self._looked_at, now
        before, self._before = self._before, self._look()
        if before is None or self._before is None:
            self.holds_back = False
            return
        everybody, own = (later - earlier for later, earlier in zip(self._before, before, strict=True))
        others = (everybody - own) / seconds
        free = self._processors - others
        self.holds_back = others > NOBODY and free < ROOM
        self.share = max(SHARE_MIN, self._part * free)

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
    """Seconds of processor time used by all and by one process. Raises OSError, ValueError or IndexError.

    What a hypervisor gave to other machines is used, too: it is not free.
    """
    with Path("/proc/stat").open() as lines:
        user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, lines.readline().split()[1:])
    # The name, in brackets, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15]))
    return (user + nice + system + irq + softirq + steal) / _TICKS, own / _TICKS
