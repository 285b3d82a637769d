"""Connections go to the worker that has fewer; one that does not take them keeps nobody waiting."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.serving.worker.crowd import (
    LEAVE_SECONDS,
    LEAVE_SECONDS_MAX,
    NOBODY,
    SLOTS,
    WAITING_SAVED_SECONDS,
    WAITING_SHARE,
    Crowd,
    Manners,
)
from tests.models import register_numbers
from tests.processes import children
from tests.running import Place, Running, gateway
from tests.tools import wait_until

HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


def two(clock: Clock) -> tuple[Manners, Manners]:
    """Two workers of one gateway."""
    crowd = Crowd()
    slots = crowd.enter(), crowd.enter()
    assert slots == (0, 1)
    first, second = (Manners(crowd, slot, clock, clock.sleep) for slot in slots if slot is not None)
    return first, second


def test_who_has_more_leaves_it_for_a_moment_and_then_takes_it(clock: Clock) -> None:
    """The other one may hang; the client must not."""
    first, second = two(clock)
    second.tell(2)
    for more, seconds in ((1, LEAVE_SECONDS), (3, 3 * LEAVE_SECONDS), (100, LEAVE_SECONDS_MAX)):
        first.tell(2 + more)
        began = clock.now
        while first.leaves_it():
            pass
        assert clock.now - began == pytest.approx(seconds, rel=0.2)
        clock.now += 2
    assert not second.leaves_it()


def test_alone_or_among_equals_nobody_waits(clock: Clock) -> None:
    """Neither for a worker that starts or stops, nor for one that has as many."""
    first, second = two(clock)
    first.tell(5)
    assert not first.leaves_it()
    second.tell(5)
    assert not first.leaves_it()
    second.tell(NOBODY)
    assert not first.leaves_it()


def test_waiting_takes_a_small_part_of_the_time(clock: Clock) -> None:
    """Clients with a connection for each request pay no more than that."""
    first, second = two(clock)
    second.tell(0)
    first.tell(8)
    began, waited = clock.now, 0.0
    for _ in range(20_000):
        at = clock.now
        first.leaves_it()
        waited += clock.now - at
        clock.now += 0.0001
    spent = clock.now - began
    assert 0 < waited <= WAITING_SHARE * (spent + WAITING_SAVED_SECONDS) + LEAVE_SECONDS_MAX


def test_slots_are_given_again_and_more_workers_do_without(clock: Clock) -> None:
    """A worker that is gone counts for nothing."""
    crowd = Crowd()
    slots = [crowd.enter() for _ in range(SLOTS)]
    assert slots == list(range(SLOTS))
    assert crowd.enter() is None
    crowd.tell(7, 12)
    assert crowd.fewest(but=0) == 12
    crowd.leave(7)
    assert crowd.fewest(but=0) == NOBODY
    assert crowd.enter() == 7


def test_a_worker_that_was_stopped_gets_the_connections_that_come_after(tmp_path: Path) -> None:
    """Thirty clients while one worker hangs, then thirty more: most of these go to the other worker.

    By chance alone it would get fewer than 21 of them in 98 of 100 runs.
    """
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_WORKERS": "2"})
    register_numbers(place.registry, place.root / "in", rows=300)
    with gateway(place) as running, ExitStack() as clients:
        busy, stopped = workers(running)
        at_first = {pid: sockets(pid) for pid in (busy, stopped)}

        def both_take_some() -> bool | None:
            ask(clients, place)
            return all(sockets(pid) > count for pid, count in at_first.items()) or None

        wait_until(both_take_some, 60, "both workers to serve")
        before = sockets(stopped)
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(30):
                ask(clients, place)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert sockets(stopped) == before
        had = sockets(busy)
        for _ in range(30):
            ask(clients, place)
            # As new clients come; what was saved up for waiting must not be what is tested.
            time.sleep(0.1)
        assert sockets(busy) - had <= 9, "the worker that has thirty already took the others as well"


def ask(clients: ExitStack, place: Place) -> None:
    """A client that asks once and stays."""
    connection = clients.enter_context(socket.create_connection(("127.0.0.1", place.gateway_port), timeout=20))
    connection.sendall(HEALTH)
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def workers(running: Running) -> tuple[int, int]:
    """Both workers' process ids, once they serve."""

    def found() -> tuple[int, int] | None:
        pids = children(running.process.pid)
        return (pids[0], pids[1]) if len(pids) == 2 and running.output().count("Booting worker") >= 2 else None

    return wait_until(found, 60, "two workers")


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    links = [path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    return sum(link.startswith("socket:") for link in links)
