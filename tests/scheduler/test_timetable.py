"""When jobs fall due, on clocks that jump."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import schedule

from scheduler import Job, Timetable


class Clocks:
    """A wall clock that can be set and a monotonic one that cannot; `schedule` is shown the same wall clock."""

    def __init__(self) -> None:
        self.now = datetime.fromisoformat("2026-10-25T02:30:00")
        self.uptime = 1000.0

    def wall(self) -> datetime:
        """The time on the wall, local and naive as `schedule` wants it."""
        return self.now

    def monotonic(self) -> float:
        """Seconds that really passed."""
        return self.uptime

    def pass_time(self, seconds: float) -> None:
        """Both clocks go on."""
        self.now += timedelta(seconds=seconds)
        self.uptime += seconds

    def set_wall(self, seconds: float) -> None:
        """Only the wall clock changes."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Clocks at 02:30 on the night in which summer time ends in much of Europe."""
    under_test = Clocks()

    class Shown(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return under_test.now

    monkeypatch.setattr(schedule, "datetime", SimpleNamespace(datetime=Shown, timedelta=timedelta))
    return under_test


def timetable(clocks: Clocks, *jobs: Job, first: float = 0.0) -> Timetable:
    """A timetable whose jobs fall due `first` seconds from now."""
    return Timetable(jobs, lambda job: first, clocks.wall, clocks.monotonic)


DRIFT = Job("drift", (), 300.0)
HOURLY = Job("hourly", (), 3600.0)


def test_a_job_is_due_at_once_and_then_every_interval(clocks: Clocks) -> None:
    """The plain case."""
    under_test = timetable(clocks, DRIFT)
    assert under_test.due() == ["drift"]
    assert under_test.due() == []
    clocks.pass_time(299)
    assert under_test.due() == []
    clocks.pass_time(1)
    assert under_test.due() == ["drift"]
    assert under_test.next_due("drift") == (clocks.now + timedelta(seconds=300)).timestamp()


def test_fractions_of_a_second_count(clocks: Clocks) -> None:
    """An interval need not be a whole number of seconds."""
    under_test = timetable(clocks, Job("drift", (), 1.5))
    assert under_test.due() == ["drift"]
    clocks.pass_time(1.4)
    assert under_test.due() == []
    clocks.pass_time(0.1)
    assert under_test.due() == ["drift"]


def test_missed_runs_are_made_up_for_once(clocks: Clocks) -> None:
    """After a run that took longer than many intervals, there is one run, not one per interval."""
    under_test = timetable(clocks, DRIFT)
    under_test.due()
    clocks.pass_time(5000)
    assert under_test.due() == ["drift"]
    assert under_test.due() == []


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -86400.0, 31_536_000.0])
def test_a_clock_that_is_set_neither_stalls_nor_hurries_a_job(clocks: Clocks, jump: float) -> None:
    """An hour back (or the end of summer time), an hour ahead, a day, a year: 300 s stay 300 s."""
    under_test = timetable(clocks, DRIFT)
    under_test.due()
    clocks.pass_time(100)
    assert under_test.due() == []
    clocks.set_wall(jump)
    assert under_test.due() == []
    clocks.pass_time(199)
    assert under_test.due() == []
    clocks.pass_time(1)
    assert under_test.due() == ["drift"]


def test_a_clock_that_is_set_while_a_job_runs_is_noticed_afterwards(clocks: Clocks) -> None:
    """Nobody looks at the clocks during a run; the jump still counts when the run is over."""
    under_test = timetable(clocks, DRIFT)
    under_test.due()
    clocks.set_wall(-7200)
    clocks.pass_time(300)
    assert under_test.due() == ["drift"]


def test_jobs_due_together_all_come_once(clocks: Clocks) -> None:
    """No job is lost because another one was due too."""
    under_test = timetable(clocks, DRIFT, HOURLY)
    assert sorted(under_test.due()) == ["drift", "hourly"]
    clocks.pass_time(3600)
    assert sorted(under_test.due()) == ["drift", "hourly"]


def test_the_first_run_can_be_put_off(clocks: Clocks) -> None:
    """A restarted scheduler waits for the rest of the interval."""
    under_test = timetable(clocks, DRIFT, first=120.0)
    assert under_test.due() == []
    clocks.pass_time(120)
    assert under_test.due() == ["drift"]
