"""A paced job: held back while others need the processors, let go otherwise, never left stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.pacing import LOOK_SECONDS_MAX, SHARE_MIN, Pacer, ran_seconds, used_seconds
from gateway.process_group import continue_when_orphaned

pytestmark = pytest.mark.alone

SPIN = "while True: pass"


@contextlib.contextmanager
def spinning(count: int = 1) -> Iterator[list[int]]:
    """Processes that take all the processor time they get."""
    processes = [
        subprocess.Popen([sys.executable, "-c", SPIN], preexec_fn=continue_when_orphaned) for _ in range(count)
    ]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def own_seconds(pid: int) -> float:
    """Processor time of a process."""
    return used_seconds(pid)[1]


def is_stopped(pid: int) -> bool:
    """Whether it was stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_it_gets_its_part_of_what_is_free_while_others_need_the_processors() -> None:
    with spinning(1) as (job,):
        pacer = Pacer(job, 0.1, used=_used_by_others(1.0), processors=2)
        before = own_seconds(job)
        for _ in range(10):
            pacer.pass_time(0.2)
            assert not is_stopped(job)
        assert pacer.holds_back
        assert pacer.share == pytest.approx(0.1, rel=0.01)
        # A tenth of 2 s is 0.2 s; timers are late on a busy machine, so the bound is generous.
        assert 0 < own_seconds(job) - before < 0.8


@pytest.mark.parametrize(
    ("others", "share"), [(0.5, 0.15), (1.5, 0.05), (1.95, SHARE_MIN), (2.0, SHARE_MIN), (9.0, SHARE_MIN)]
)
def test_the_busier_the_machine_the_less_it_gets_but_never_nothing(others: float, share: float) -> None:
    with spinning(1) as (job,):
        pacer = Pacer(job, 0.1, used=_used_by_others(others), processors=2)
        assert pacer.share == SHARE_MIN, "before the first look nobody knows"
        began = time.monotonic()
        while pacer.share == SHARE_MIN and time.monotonic() - began < 3:
            pacer.pass_time(0.2)
        assert pacer.share == pytest.approx(share, rel=0.01)


def test_a_job_that_waits_is_looked_at_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def ran(_: int) -> float:
        nonlocal looks
        looks += 1
        return 0.0

    monkeypatch.setattr("gateway.pacing.ran_seconds", ran)
    pacer = Pacer(os.getpid(), 0.1, used=_used_by_others(2.0), processors=2)
    pacer.pass_time(0.5)
    # Two a round: 2 + 4 + 8 ms, then 16 each; without that it would be some 500.
    assert 4 <= looks <= 2 * (3 + 0.5 / LOOK_SECONDS_MAX + 1)


def test_it_is_let_go_where_there_is_room() -> None:
    with spinning(1) as (job,):
        for used, processors in ((_used_by_others(0.05), 1), (_used_by_others(2.0), 4)):
            pacer = Pacer(job, 0.1, used=used, processors=processors)
            assert pacer.holds_back
            for _ in range(6):
                pacer.pass_time(0.2)
            assert not pacer.holds_back


def test_the_whole_is_never_held_back_and_neither_is_what_cannot_be_measured() -> None:
    def unknown(_: int) -> tuple[float, float]:
        raise OSError

    assert not Pacer(os.getpid(), 1.0, used=_used_by_others(9.0)).holds_back
    assert not Pacer(os.getpid(), 0.1, used=unknown).holds_back


def test_a_job_that_has_ended_is_let_be() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        pacer = Pacer(os.getpid(), 0.1, used=_used_by_others(2.0), processors=2)
        pacer._pid = process.pid
        began = time.monotonic()
        pacer.pass_time(0.1)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_goes_on_when_the_one_that_paces_it_dies(number: signal.Signals, tmp_path: Path) -> None:
    """In the middle of a pause: nobody else would ever continue it."""
    code = f"""
import os, signal, subprocess, sys, time
from gateway.process_group import continue_when_orphaned
job = subprocess.Popen([sys.executable, "-c", {SPIN!r}], preexec_fn=continue_when_orphaned)
os.kill(job.pid, signal.SIGSTOP)
print(job.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as pacing:
        assert pacing.stdout is not None
        job = int(pacing.stdout.readline())
        try:
            _wait_until(job, stopped=True)
            pacing.send_signal(number)
            pacing.wait()
            _wait_until(job, stopped=False)
        finally:
            os.kill(job, signal.SIGKILL)


def test_processor_time_is_counted() -> None:
    with spinning(1) as (job,):
        everybody, own = used_seconds(job)
        time.sleep(1.0)
        later, own_later = used_seconds(job)
    assert later > everybody
    assert 0 < own_later - own <= later - everybody + 0.1


def _used_by_others(processors: float) -> Callable[[int], tuple[float, float]]:
    """As if others used so many processors, and the job none."""
    return lambda _: (processors * time.monotonic(), 0.0)


def _wait_until(pid: int, *, stopped: bool) -> None:
    end = time.monotonic() + 10
    while is_stopped(pid) != stopped:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_a_slice_took_is_told_exactly() -> None:
    with spinning(1) as (job,):
        time.sleep(0.5)
        os.kill(job, signal.SIGSTOP)
        _wait_until(job, stopped=True)
        ran = ran_seconds(job)
        # The kernel's other account of it is kept in ticks of ten milliseconds.
        assert ran == pytest.approx(own_seconds(job), abs=0.03)
        assert ran == ran_seconds(job)
        os.kill(job, signal.SIGCONT)
    assert ran_seconds(job) == 0.0
