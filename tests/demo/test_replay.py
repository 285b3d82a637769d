"""Replaying: every row and label arrives, refusals are counted with their reason, a restart loses nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from demo.client import Address, GatewayClient, NoAnswer
from demo.replay import Tally, Traffic, TrafficRow, replay
from tests.demo.servers import answer_everything, serving
from tests.tools import free_port


def rows(count: int) -> list[TrafficRow]:
    """Numbered rows; every row but the first has a label."""
    return [TrafficRow({"row": number, "gone": None}, number % 2 if number else None) for number in range(count)]


def test_every_row_and_label_arrives_once_with_nulls_and_client_ids() -> None:
    """50 rows over 4 threads: each is sent once under its own id, each label names its answer's request_id."""
    with serving(answer_everything) as (address, seen):
        tally = replay(address, rows(50), Traffic("m", label_delay_seconds=0, client_prefix="t"))
    assert (tally.sent, tally.answered, tally.labels_sent, tally.refused.total()) == (50, 50, 49, 0)
    assert sorted(seen.predictions, key=lambda sent: int(sent[0][2:])) == [
        (f"t-{number}", {"row": number, "gone": None}) for number in range(50)
    ]
    expected = [{"model_name": "m", "request_id": f"id-{number}", "label": number % 2} for number in range(1, 50)]
    assert sorted(seen.labels, key=lambda label: int(label["request_id"][3:])) == expected


def test_refusals_are_counted_by_reason_and_get_no_label() -> None:
    """A third of the rows is refused with 422: they are not answered, not repeated, and their reason is kept."""

    def picky(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body.get("row", 1) % 3 == 0:
            return 422, {"detail": "1 fault", "errors": [{"pointer": "/job", "detail": "is not a known category"}]}
        return answer_everything(path, body)

    with serving(picky) as (address, seen):
        tally = replay(address, rows(30), Traffic("m", label_delay_seconds=0))
    assert (tally.sent, tally.answered, tally.retries) == (30, 20, 0)
    assert tally.refused == {"422 /job: is not a known category": 10}
    assert len(seen.labels) == tally.labels_sent == 20


def test_unavailable_gateway_is_asked_again() -> None:
    """503 and dropped connections are repeated until an answer comes; each row is counted once."""
    attempts: dict[int, int] = {}

    def shaky(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if path == "/feedback":
            return 200, {}
        attempts[body["row"]] = attempts.get(body["row"], 0) + 1
        if body["row"] % 5 == 0 and attempts[body["row"]] == 1:
            return 503, {"detail": "cannot be recorded"}
        if body["row"] % 5 == 1 and attempts[body["row"]] == 1:
            return None
        return answer_everything(path, body)

    with serving(shaky) as (address, seen):
        tally = replay(address, rows(20), Traffic("m", label_delay_seconds=0))
    assert (tally.answered, tally.unanswered.total(), len(seen.predictions)) == (20, 0, 20)
    assert tally.retries == 8


def test_restart_of_the_gateway_loses_no_row() -> None:
    """Rows sent while nobody listens wait for the gateway to come back, and are then answered."""
    port = free_port()
    found: list[Tally] = []
    answered = threading.Event()

    def watch(tally: Tally) -> None:
        if tally.answered:
            answered.set()

    def run() -> None:
        traffic = Traffic("m", rows_per_second=100, label_delay_seconds=0)
        found.append(replay(Address("127.0.0.1", port), rows(60), traffic, on_progress=watch))

    replaying = threading.Thread(target=run)
    with serving(answer_everything, port) as (_, before):
        replaying.start()
        assert answered.wait(10)
    with serving(answer_everything, port) as (_, after):
        replaying.join(timeout=30)
    assert found
    assert found[0].answered == 60
    assert found[0].labels_sent == 59
    assert len(after.predictions) > 0
    numbers = {body["row"] for _, body in (*before.predictions, *after.predictions)}
    assert numbers == set(range(60))


def test_gateway_that_stays_away_is_never_counted_as_an_answer() -> None:
    """With nobody listening each row ends as unanswered once its patience is over."""
    address = Address("127.0.0.1", free_port())
    tally = replay(address, rows(4), Traffic("m", patience_seconds=0.2))
    assert (tally.sent, tally.answered, tally.unanswered.total(), tally.labels_sent) == (4, 0, 4, 0)
    with pytest.raises(NoAnswer, match="refused"):
        GatewayClient(address, patience_seconds=0).get("/health")


def test_rate_and_label_delay_are_kept() -> None:
    """21 rows at 100 a second take at least 0.2 s; no label comes sooner than its delay after its answer."""
    with serving(answer_everything) as (address, seen):
        replay(address, rows(21), Traffic("m", rows_per_second=100, label_delay_seconds=0.3))
    assert seen.answer_times[-1] - seen.answer_times[0] >= 0.19
    assert seen.label_times[0] - seen.answer_times[1] >= 0.28


def test_stopping_sends_nothing_more() -> None:
    """Once `stop` is set, the rows that are left stay unsent and the replay returns at once."""
    stop = threading.Event()

    def stop_soon(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body.get("row") == 5:
            stop.set()
        return answer_everything(path, body)

    with serving(stop_soon) as (address, _):
        traffic = Traffic("m", rows_per_second=50, label_delay_seconds=60)
        tally = replay(address, rows(1_000), traffic, stop=stop)
    assert 6 <= tally.sent < 20
    assert tally.labels_sent == 0
