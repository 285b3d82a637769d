"""Shadow mode: another version scores what was answered, and nobody who asks can tell."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.log import predictions
from gateway.log.reader import scan
from gateway.registry import ModelCard
from gateway.serving.shadow import feed as shadow_module
from gateway.serving.shadow.feed import ROWS_MAX, ShadowFeed
from tests.logs import parse, prediction_rows
from tests.models import number_table, register_linear, register_mixed, register_numbers
from tests.odd_models import Deadly, Failing, Slow
from tests.processes import children, is_gone
from tests.running import Place, Running, gateway, request
from tests.tools import wait_until

from .test_versions import changes, follows, total

ROW = {f"x{index}": 0.5 for index in range(5)}
DROPPED, SCORED = "model_shadow_dropped_total", "model_shadow_predictions_total"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """`numbers` 1, which serves; one worker, so that its shadow is the only one. Nothing runs."""
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_WORKERS": "1"})
    register_numbers(place.registry, place.root / "in", rows=300)
    return place


@contextmanager
def shadowed(place: Place, kind: Any = None) -> Iterator[Running]:
    """A gateway in which version 2, of a `kind`, shadows."""
    register_linear(place.registry, place.root / "in", **({"kind": kind} if kind else {}))
    changes(place).shadow("numbers", "2")
    with gateway(place) as running:
        yield running


def shadow_rows(place: Place, name: str = "numbers") -> list[dict[str, Any]]:
    """The rows that version 2 wrote as a shadow."""
    card = place.registry.card(name, "2")
    columns = predictions.columns(card)
    return [
        row
        for path in predictions.shadow_segments(place.paths.live, name, "2")
        for row in parse(_scan(path, card), columns)
    ]


def _scan(path: Path, card: ModelCard) -> Any:
    found = scan(path, predictions.columns(card))
    assert not found.damage
    return found


def shadow_processes(running: Running) -> list[int]:
    """The processes that the gateway's workers started."""
    return [child for worker in children(running.process.pid) for child in children(worker)]


def ask(place: Place, count: int) -> list[float]:
    """Seconds that each of `count` single predictions took, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", place.gateway_port, timeout=30)
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("POST", "/predict", json.dumps(ROW), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        taken.append(time.perf_counter() - begun)
        assert (response.status, answer["model_version"]) == (200, "1")
    connection.close()
    return taken


def test_a_shadow_scores_what_was_answered_and_writes_to_files_of_its_own(place: Place) -> None:
    """The same requests, in the lane and in batches, under the same ids; readers of the prediction log see none."""
    table = number_table(300, seed=5).drop(columns="y")
    rows: list[dict[str, float]] = table.to_dict(orient="records")
    with shadowed(place) as running:
        follows(place, shadow="2")
        for row in rows[:20]:
            answer = request(place.gateway_port, "POST", "/predict", row, {"X-Request-ID": "mine"})
            assert (answer.status, answer.json["model_version"]) == (200, "1")
        # More than are handed over at once.
        assert request(place.gateway_port, "POST", "/predict", {"instances": rows}).status == 200
        explicit = request(place.gateway_port, "POST", "/models/numbers/versions/2/predict", rows[0])
        assert request(place.gateway_port, "POST", "/predict", {"x0": 1}).status == 422
        wait_until(lambda: total(place, SCORED, model_version="2") == 320, 30, "the shadow to have scored all")
        (process,) = shadow_processes(running)
        assert running.stop(signal.SIGTERM) == 0
        assert is_gone(process)
    answered = prediction_rows(place.paths.live, place.registry.card("numbers", "1"))
    shadow = shadow_rows(place)
    identity = ("request_id", "instance", "client_id", *rows[0])
    assert [[row[key] for key in identity] for row in shadow] == [[row[key] for key in identity] for row in answered]
    assert [row["confidence"] for row in shadow] != [row["confidence"] for row in answered]
    # What it was asked itself, it answered: that is in the prediction log, and in no shadow's.
    (own,) = prediction_rows(place.paths.live, place.registry.card("numbers", "2"))
    assert own["request_id"] == explicit.json["request_id"]
    scored = next(row for row in shadow if [row[name] for name in rows[0]] == list(rows[0].values()))
    assert (scored["prediction"], scored["confidence"]) == (own["prediction"], own["confidence"])
    assert total(place, DROPPED) == 0
    assert total(place, "model_predictions_total", model_version="2") == 1


def test_a_shadow_gets_texts_and_missing_values_as_they_were_sent(tmp_path: Path) -> None:
    """The same pipeline shadows itself: the same answers to the same rows, as DataFrames."""
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_WORKERS": "1"})
    for _ in range(2):
        register_mixed(place.registry, place.root / "in")
    changes(place).shadow("mixed", "2")
    rows = [
        {"amount": 1.5, "visits": 3, "job": 'a, "b"', "known": True},
        {"amount": None, "visits": 12, "job": None, "known": False},
    ]
    with gateway(place):
        assert request(place.gateway_port, "POST", "/predict", rows[0]).status == 200
        assert request(place.gateway_port, "POST", "/predict", {"instances": rows}).status == 200
        wait_until(lambda: total(place, SCORED) == 3, 30, "the shadow to have scored all")
    answered = prediction_rows(place.paths.live, place.registry.card("mixed", "1"))
    alike = [name for name in answered[0] if name not in ("seq", "timestamp", "latency_ms", "crc32")]
    shadow = shadow_rows(place, "mixed")
    assert [[row[name] for name in alike] for row in shadow] == [[row[name] for name in alike] for row in answered]


def test_shadow_logs_are_sealed_and_verified_like_the_others(place: Place) -> None:
    """They are segments: closed with their writer, in the chain, and a changed byte is found."""
    with shadowed(place):
        ask(place, 10)
        wait_until(lambda: total(place, SCORED) == 10, 30, "the shadow to have scored all")
    (path,) = predictions.shadow_segments(place.paths.live, "numbers", "2")
    assert place.run("-m", "gateway.log", "seal").returncode == 0
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.name in (place.paths.live / "manifests.jsonl").read_text()
    assert place.run("-m", "gateway.log", "verify").returncode == 0
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content.replace(b",0.5,", b",0.6,", 1))
    found = place.run("-m", "gateway.log", "verify")
    assert found.returncode == 1
    assert path.name in found.stdout + found.stderr


def test_a_drift_run_of_a_version_that_only_shadowed_finds_no_rows(place: Place) -> None:
    """Answers that nobody was told are not live data."""
    with shadowed(place):
        ask(place, 10)
        wait_until(lambda: total(place, SCORED) == 10, 30, "the shadow to have scored all")
    done = place.run("-m", "drift_engine", "run", "--name", "numbers", "--version", "2", "--window", "1h")
    latest = json.loads((place.paths.reports / "numbers" / "2" / "latest.json").read_text())
    result = json.loads((place.paths.reports / "numbers" / "2" / latest["run_id"] / "result.json").read_text())
    assert result["outcome"] == "insufficient_data", done.stderr
    assert result["rows"]["read"] == 0


def test_a_shadow_that_takes_a_second_per_row_slows_no_answer(place: Place) -> None:
    """None of two hundred answers waits for the shadow's second; it is a few rows into them by then."""
    with shadowed(place, Slow):
        ask(place, 20)
        wait_until(lambda: total(place, SCORED) >= 1, 30, "the shadow to be at work")
        slowest = max(ask(place, 200))
        scored = total(place, SCORED)
    assert scored < 60
    assert slowest < 1


def test_a_row_that_the_shadow_cannot_score_is_counted_and_no_other(place: Place) -> None:
    """Its clients have their answers; the gateway's output says once what went wrong."""
    with shadowed(place, Failing) as running:
        for x0 in (0.5, -0.5, 0.25, -0.25, 0.125):
            assert request(place.gateway_port, "POST", "/predict", {**ROW, "x0": x0}).status == 200
        wait_until(lambda: total(place, SCORED) + total(place, DROPPED) == 5, 30, "the shadow to have seen all")
        assert total(place, DROPPED, reason="model_failed", model_version="2") == 2
        assert running.output().count("failed on a row: ValueError: no negative numbers, please") == 1
    assert [row["x0"] for row in shadow_rows(place)] == [0.5, 0.25, 0.125]


def test_a_shadow_that_kills_its_process_kills_nothing_else(place: Place) -> None:
    """Rows are counted as dropped while there is no process; answers go on."""
    with shadowed(place, Deadly) as running:
        assert len(ask(place, 5)) == 5
        wait_until(
            lambda: ask(place, 1) and total(place, DROPPED, reason="process_ended") > 0, 30, "the gateway to notice"
        )
        assert "the shadow process ended" in running.output()
        assert request(place.gateway_port, "GET", "/ready").status == 200


def test_a_killed_worker_takes_its_shadow_along(place: Place) -> None:
    """However it dies: the pipe's end goes with it. The next worker starts another one."""
    with shadowed(place) as running:
        ask(place, 1)
        wait_until(lambda: total(place, SCORED) == 1, 30, "the shadow to work")
        (worker,) = children(running.process.pid)
        (process,) = shadow_processes(running)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: is_gone(process), 20, "the shadow process to end")
        wait_until(lambda: ask(place, 1), 20, "another worker")
        wait_until(lambda: total(place, SCORED) == 2, 30, "its shadow to work")


class Stuck:
    """What `ShadowFeed` needs of the models and of a prediction, without either."""

    def __init__(self) -> None:
        card = SimpleNamespace(name="numbers", version="2")
        self.serving = SimpleNamespace(shadows={"numbers": SimpleNamespace(card=card)})

    @staticmethod
    def prediction(rows: int) -> Any:
        """An answered batch."""
        served = SimpleNamespace(card=SimpleNamespace(name="numbers", version="1"))
        return SimpleNamespace(served=served, rows=[(0.5,) * 30] * rows, request_id="r", client_id=None)


def test_a_process_that_never_reads_costs_a_bounded_queue_and_no_time() -> None:
    """Offers return at once, what does not fit is dropped, and the end is not waited for either."""
    feed: Any = ShadowFeed(Stuck(), [sys.executable, "-c", "import time; time.sleep(600)"])  # type: ignore[arg-type]
    slowest = 0.0
    for _ in range(100):
        begun = time.perf_counter()
        feed.offer(Stuck.prediction(1000))
        slowest = max(slowest, time.perf_counter() - begun)
    assert slowest < 0.1
    assert feed._rows_waiting <= ROWS_MAX
    wait_until(lambda: feed._process is not None, 10, "the process to start")
    process = feed._process
    begun = time.perf_counter()
    feed.close()
    assert time.perf_counter() - begun < 10
    assert process.poll() is not None
    assert not any(thread.name == "shadow-feed" for thread in threading.enumerate())


def test_a_process_that_is_needed_no_more_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds a model in memory; when nobody shadows, and nothing has come for a while, it goes."""
    monkeypatch.setattr(shadow_module, "IDLE_SECONDS", 0.2)
    models = Stuck()
    feed: Any = ShadowFeed(models, [sys.executable, "-c", "import sys; sys.stdin.read()"])  # type: ignore[arg-type]
    feed.offer(Stuck.prediction(1))
    process = wait_until(lambda: feed._process, 10, "the process to start")
    models.serving.shadows.clear()
    assert wait_until(lambda: process.poll() is not None, 10, "the process to end")
    feed.close()


def test_a_process_that_cannot_be_started_is_not_tried_for_every_row() -> None:
    """A missing program is a fault of the installation; the rows are dropped, the feed lives."""
    feed: Any = ShadowFeed(Stuck(), ["/nonexistent/program"])  # type: ignore[arg-type]
    for _ in range(20):
        feed.offer(Stuck.prediction(1))
    wait_until(lambda: feed._rows_waiting == 0, 10, "the queue to be empty")
    feed.close()


def test_without_a_shadow_there_is_no_process_and_no_thread(place: Place) -> None:
    """It is started by the first row for it."""
    with gateway(place) as running:
        ask(place, 5)
        assert shadow_processes(running) == []
