"""A job under a scheduler of its own, both of which stand still on demand."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from benchmarks.scheduled_run import ScheduledRun
from tests.processes import is_gone

pytestmark = pytest.mark.alone

#: Says that it lives, ten times in a second, for as often as it is told.
TICKING = """
import os, sys, time
for _ in range(int(sys.argv[2])):
    with open(sys.argv[1], "a") as file:
        print(os.getpid(), file=file, flush=True)
    time.sleep(0.1)
"""


def ticking(ticks: Path, times: int) -> tuple[str, ...]:
    """The command of such a job."""
    return sys.executable, "-c", TICKING, str(ticks), str(times)


def test_it_goes_on_only_when_told_to(tmp_path: Path) -> None:
    """Neither the job nor the scheduler, which would continue it, does anything in between."""
    ticks = tmp_path / "ticks"
    with ScheduledRun(ticking(ticks, 600), tmp_path / "state", 60) as run:
        run.go_on(2.0)
        before = ticks.read_text()
        time.sleep(1.0)
        assert ticks.read_text() == before != ""
        run.go_on(1.0)
        assert len(ticks.read_text()) > len(before)
        assert not run.is_over
        assert 3.0 <= run.seconds < 30
    assert run.is_over
    assert not run.finished
    assert is_gone(int(before.split()[0]))


def test_it_says_how_it_ended(tmp_path: Path) -> None:
    """By itself, long before the time was over; and with its exit code."""
    with ScheduledRun(ticking(tmp_path / "ticks", 3), tmp_path / "state", 60) as run:
        run.go_on(50)
        assert run.finished
        assert run.seconds < 40
        run.go_on(50)
    with ScheduledRun((sys.executable, "-c", "raise SystemExit(3)"), tmp_path / "state", 60) as run:
        run.go_on(50)
        assert run.is_over
        assert not run.finished
