"""Faults that come over a running gateway: real processes, a disk that is slow, a clock that is set."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.oracle import Clients, judge
from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.live_log import read_live
from drift_engine.table import TextColumn
from gateway.clock import parse_utc, utc_text
from gateway.log import predictions
from gateway.log.manifest import segment_files
from gateway.log.reader import scan
from gateway.log.segment import is_being_written, parse_name
from gateway.registry import ModelCard
from tests.faults.gateways import CLOCK_SWITCH, SYNC_SWITCH
from tests.gateway.log.sealed import seal_all, sealed_entries, verified
from tests.logs import label_rows, prediction_rows
from tests.models import register_numbers
from tests.running import Answer, Place, request, started, wait_for
from tests.tools import wait_until

SLOW_SECONDS = 2.0
#: What a request may take on a busy machine beside the waiting that is tested.
LATE_SECONDS = 3.0
HOUR = 3600.0
ROW = {f"x{index}": 0.5 for index in range(5)}


@dataclass(frozen=True)
class Faulty:
    """A gateway of `tests.faults.gateways` that is serving, and the switch of its fault."""

    place: Place
    card: ModelCard
    switch: Path

    @property
    def live(self) -> Path:
        """Where its logs are."""
        return self.place.paths.live

    def set(self, fault: str) -> None:
        """Switch the fault on, off (with "") or over, for all workers at once."""
        new = self.switch.with_suffix(".new")
        new.write_text(fault)
        new.replace(self.switch)

    def predict(self, **features: float) -> Answer:
        """One prediction."""
        return request(self.place.gateway_port, "POST", "/predict", {**ROW, **features})

    def sync_is_under_way(self) -> bool:
        """Whether a worker waits in a slow fdatasync."""
        return any(self.switch.parent.glob(f"{self.switch.name}.[0-9]*"))


@contextmanager
def faulty_gateway(tmp_path: Path, app: str, variable: str, **settings: str) -> Iterator[Faulty]:
    """Serve `app`, its fault switched off."""
    switch = tmp_path / "switch"
    own = {variable: str(switch), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"), "OMP_NUM_THREADS": "1"}
    named = {f"SENTINEL_GATEWAY_{name.upper()}": value for name, value in settings.items()}
    place = Place(tmp_path, settings={**own, **named})
    card = register_numbers(place.registry, tmp_path / "in", rows=300)
    command = ("-m", "gunicorn", "--config", "python:gateway.serving.gunicorn_conf", f"tests.faults.gateways:{app}()")
    with started(place, *command) as running:
        wait_for(running, place.gateway_port, "/ready")
        yield Faulty(place, card, switch)


def timed(faulty: Faulty) -> tuple[int, float]:
    """The status of one prediction, and how many seconds it took."""
    begun = time.monotonic()
    return faulty.predict().status, time.monotonic() - begun


def test_a_slow_sync_makes_answers_as_slow_and_loses_none(tmp_path: Path) -> None:
    """Each answer waits for its own sync, behind at most one that was under way; then all is as before."""
    with (
        faulty_gateway(tmp_path, "slow_sync", SYNC_SWITCH, workers="1", threads="8") as faulty,
        Clients(faulty.place.gateway_port, faulty.card, 4, seed=6) as clients,
    ):
        wait_until(lambda: clients.answered() > 20, 60, "answers")
        faulty.set(str(SLOW_SECONDS))
        wait_until(faulty.sync_is_under_way, 30, "a slow sync")
        before = clients.answered()
        for _ in range(3):
            status, seconds = timed(faulty)
            assert status == 200
            assert SLOW_SECONDS <= seconds < 2 * SLOW_SECONDS + LATE_SECONDS
        assert clients.answered() > before
        faulty.set("")
        wait_until(lambda: timed(faulty)[1] < SLOW_SECONDS, 30, "a quick answer")
    found = judge(clients.all, faulty.live, faulty.card)
    # The timed rows are not the clients': logged, and sent by somebody else.
    assert (found.lost, found.different, found.duplicates, found.torn_lines) == (0, 0, 0, 0), found
    assert sum(client.refused for client in clients.all) == 0


def test_past_the_timeout_a_row_is_refused_and_not_written_later(tmp_path: Path) -> None:
    """While one row is being synced, for longer than anyone waits, all are refused; only that one row appears."""
    settings = {"workers": "1", "threads": "8", "append_timeout_seconds": "1"}
    with faulty_gateway(tmp_path, "slow_sync", SYNC_SWITCH, **settings) as faulty:
        answered = [faulty.predict(x0=0.0)]
        faulty.set("4")
        leader: list[Answer] = []
        leading = threading.Thread(target=lambda: leader.append(faulty.predict(x0=1.0)))
        leading.start()
        wait_until(faulty.sync_is_under_way, 30, "a slow sync")
        begun = time.monotonic()
        refused: list[Answer] = []
        waiting = [
            threading.Thread(target=lambda x0=x0: refused.append(faulty.predict(x0=x0)))  # type: ignore[misc]
            for x0 in (2.0, 3.0, 4.0)
        ]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()
        assert faulty.sync_is_under_way(), "they did not wait for it"
        assert 1 <= time.monotonic() - begun < 4
        leading.join()
        refused += leader
        faulty.set("")
        wait_until(lambda: not faulty.sync_is_under_way(), 30, "the end of the slow sync")
        answered.append(faulty.predict(x0=5.0))
    assert [answer.status for answer in refused] == [503] * 4
    assert all("did not confirm within 1 s" in answer.json["detail"] for answer in refused)
    assert [answer.status for answer in answered] == [200] * 2
    rows = prediction_rows(faulty.live, faulty.card)
    assert [(row["request_id"], row["x0"]) for row in rows] == [
        (answer.json["request_id"], x0)
        for answer, x0 in zip((answered[0], *leader, answered[1]), (0.0, 1.0, 5.0), strict=True)
    ]


def test_refusals_by_a_slow_sync_under_load_keep_the_promise(tmp_path: Path) -> None:
    """Answered or refused, for as long as the disk is slower than the patience: the oracle holds."""
    settings = {"workers": "2", "threads": "4", "append_timeout_seconds": "1"}
    with (
        faulty_gateway(tmp_path, "slow_sync", SYNC_SWITCH, **settings) as faulty,
        Clients(faulty.place.gateway_port, faulty.card, 6, seed=7) as clients,
    ):
        wait_until(lambda: clients.answered() > 20, 60, "answers")
        faulty.set(str(SLOW_SECONDS))
        wait_until(lambda: sum(client.refused for client in clients.all) >= 10, 60, "refusals")
        before = clients.answered()
        faulty.set("")
        wait_until(lambda: clients.answered() > before + 50, 60, "answers again")
    found = judge(clients.all, faulty.live, faulty.card)
    assert found.holds, found


def is_idle(live: Path) -> bool:
    """Whether no segment is being written."""
    for path in segment_files(live):
        with open(path, "rb") as stream:
            if is_being_written(stream.fileno()):
                return False
    return True


@dataclass(frozen=True)
class Said:
    """What the gateway told a client while its clock showed one time."""

    predictions: list[dict[str, Any]]
    labels: list[dict[str, Any]]


def say(faulty: Faulty, count: int = 8) -> Said:
    """Predictions, each with its label."""
    told = Said([], [])
    for _ in range(count):
        answer = faulty.predict()
        assert answer.status == 200
        told.predictions.append(answer.json)
        label = {"request_id": answer.json["request_id"], "label": 1}
        labelled = request(faulty.place.gateway_port, "POST", "/feedback", label)
        assert labelled.status == 200
        told.labels.append(labelled.json)
    return told


def times(told: Said) -> list[float]:
    """When its predictions were answered, by the gateway's clock."""
    return [parse_utc(answer["timestamp"]) for answer in told.predictions]


def test_a_clock_that_is_set_breaks_nothing(tmp_path: Path) -> None:
    """An hour back, an hour ahead, standing still: in the middle of a segment and between two. Afterwards no name
    has collided, every line and sequence is right, and each row is found at its own time, sealed or not."""
    settings = {"workers": "2", "threads": "4", "segment_age_seconds": "1"}
    now = time.time()
    clocks = ["+0", f"-{HOUR:g}", "+0", f"+{HOUR:g}", f"={now:f}", f"={now:f}"]
    with faulty_gateway(tmp_path, "set_clock", CLOCK_SWITCH, **settings) as faulty:
        said = []
        # First while segments are open, so that one file has rows of several times; then between two.
        for number, clock in enumerate(clocks * 2):
            if number >= len(clocks):
                wait_until(lambda: is_idle(faulty.live), 30, "the segments to be closed")
            faulty.set(clock)
            said.append(say(faulty))
    for index, told in enumerate(said):
        offset = (0, -HOUR, 0, HOUR, 0, 0)[index % len(clocks)]
        assert all(abs(moment - now - offset) < HOUR / 4 for moment in times(told))
    # Of one second, by the clock: only their random bits keep these names apart.
    created = [parse_name(path).segment_id.split("-")[1] for path in segment_files(faulty.live)]
    assert created.count(utc_text(now)[:19].replace("-", "").replace(":", "") + "Z") >= 4
    check_logs(faulty, said)
    check_windows(faulty, said, now)


def check_logs(faulty: Faulty, said: list[Said]) -> None:
    """The logs have what was said, once; lines, sequences and the chain are right before and after sealing."""
    live, card = faulty.live, faulty.card
    answered, received = moments(said)
    logged, labelled = prediction_rows(live, card), label_rows(live, card)
    assert (len(logged), len(labelled)) == (len(answered), len(received))
    assert {row["request_id"]: row["timestamp"] for row in logged} == answered
    assert {row["request_id"]: row["received_at"] for row in labelled} == received
    assert verified(live).findings == ()
    assert not seal_all(live).failures
    assert verified(live).findings == ()
    assert sum(entry.rows for entry in sealed_entries(live)) == len(answered) + len(received)


def check_windows(faulty: Faulty, said: list[Said], now: float) -> None:
    """The reader finds each row at its own time, and a drift run those of its window, with their labels."""
    live, card = faulty.live, faulty.card
    answered, _ = moments(said)
    for moment in set(answered.values()):
        assert found_at(live, card, moment) == sum(other == moment for other in answered.values())
    cache = ColumnCache(faulty.place.paths.state / "columns")
    for hours in ((-2, -0.5), (-0.5, 0.5), (0.5, 2), (-2, 2)):
        start, end = (utc_text(now + hour * HOUR) for hour in hours)
        expected = sum(start <= moment < end for moment in answered.values())
        for _ in ("from the segments", "from their copies"):
            window = read_live(live, card, cache=cache, span_start=start, window_start=start, end=end)
            assert (window.table.rows, window.corrupt, window.dropped) == (expected, 0, {})
            label = window.table.columns["label"]
            assert isinstance(label, TextColumn)
            assert label.texts().tolist() == ["1"] * expected


def moments(said: list[Said]) -> tuple[dict[str, str], dict[str, str]]:
    """When each request was answered, and when its label was received, as the clients were told."""
    return (
        {answer["request_id"]: answer["timestamp"] for told in said for answer in told.predictions},
        {label["request_id"]: label["received_at"] for told in said for label in told.labels},
    )


def found_at(live: Path, card: ModelCard, moment: str) -> int:
    """How many rows the reader finds at exactly that time."""
    columns = predictions.columns(card)
    end = utc_text(parse_utc(moment) + 1e-6)
    return sum(
        scan(path, columns, start=moment, end=end).rows for path in predictions.segments(live, card.name, card.version)
    )
