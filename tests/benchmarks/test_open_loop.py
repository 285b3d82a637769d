"""The load generator whose rate does not depend on the server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.open_loop import CONNECTIONS, ConstantLoad, percentiles_ms
from tests.demo.servers import answer_everything, serving

pytestmark = pytest.mark.alone

BODIES = [b'{"row": 1}', b'{"row": 2}']


def test_every_request_that_was_due_is_asked_and_counted(tmp_path: Path) -> None:
    """100 a second for one second are 100 requests, each answered, each seen by the server."""
    with (
        serving(answer_everything) as (address, seen),
        ConstantLoad(address.port, "/predict", BODIES, rate=100, seconds=1, scratch=tmp_path) as load,
    ):
        began = time.monotonic()
        found = load.finish()
    assert found.asked == found.answered == len(seen.predictions) == 100
    assert (found.refused, found.lost) == (0, 0)
    assert 0 < found.p50_ms <= found.p99_ms
    due, latency = load.latencies().T
    assert len(due) == 100
    assert began < due.min() < due.max() < time.monotonic()
    assert due.max() - due.min() == pytest.approx(0.99)
    assert (found.p50_ms, found.p99_ms) == percentiles_ms(latency)


def test_a_stall_counts_for_every_request_that_was_due_meanwhile(tmp_path: Path) -> None:
    """A server that stands still for half of a second, once: a quarter of two seconds' requests waited for it."""
    began: list[float] = []

    def stall_once(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        began.append(time.monotonic())
        if len(began) == 50:
            time.sleep(0.5)
        return answer_everything(path, body)

    # `serving` answers one request at a time, so that one that sleeps holds up all others.
    with (
        serving(stall_once) as (address, _),
        ConstantLoad(address.port, "/predict", BODIES, rate=100, seconds=2, scratch=tmp_path) as load,
    ):
        found = load.finish()
    assert found.asked == found.answered == 200
    # One slow request in 200 would not show in a p99 that a waiting client measures.
    assert found.p99_ms > 300
    assert found.p50_ms < 300


def test_refusals_and_broken_connections_are_no_answers(tmp_path: Path) -> None:
    """Of three kinds of requests one is answered, one refused, one dropped."""
    answers: dict[int, tuple[int, dict[str, Any]] | None] = {1: (200, {}), 2: (422, {}), 3: None}
    with (
        serving(lambda path, body: answers[body["row"]]) as (address, _),
        ConstantLoad(address.port, "/predict", [*BODIES, b'{"row": 3}'], rate=60, seconds=1, scratch=tmp_path) as load,
    ):
        found = load.finish()
    assert (found.answered, found.refused, found.lost) == (20, 20, 20)


def test_idle_connections_that_the_server_closes_lose_nothing(tmp_path: Path) -> None:
    """Of many connections a slow load uses few; the server closes the others, and the load opens new ones."""
    with (
        serving(answer_everything, drop_unused_after=20) as (address, seen),
        ConstantLoad(address.port, "/predict", BODIES, rate=40, seconds=1, scratch=tmp_path) as load,
    ):
        found = load.finish()
    assert found.asked == found.answered == 40
    assert found.lost == 0
    assert seen.connections > CONNECTIONS


def test_a_load_can_be_stopped_before_its_time(tmp_path: Path) -> None:
    """What lasts as long as something else is stopped; the answers under way still count."""
    with (
        serving(answer_everything) as (address, seen),
        ConstantLoad(address.port, "/predict", BODIES, rate=100, seconds=600, scratch=tmp_path) as load,
    ):
        while len(seen.predictions) < 20:
            time.sleep(0.01)
        found = load.stop()
    assert found.seconds < 60
    assert found.asked == found.answered == len(seen.predictions) >= 20
