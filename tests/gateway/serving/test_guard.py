"""A gateway behind tokens: shut by default, limited by name, with a log of who asked."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.logs import prediction_rows
from tests.models import register_numbers
from tests.running import Answer, Place, Running, gateway, request, started, wait_for
from tests.tools import wait_until

ROW = {f"x{index}": 0.5 for index in range(5)}
WEB, BATCH = "web-token-0123456789", "batch-token-0123456789"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Running]]:
    """A gateway of one worker that knows two clients and writes down every request."""
    root = tmp_path_factory.mktemp("guarded")
    (root / "tokens").write_text(f"web {WEB}\nbatch {BATCH}\n")
    settings = {
        "SENTINEL_GATEWAY_WORKERS": "1",
        "SENTINEL_GATEWAY_TOKENS_FILE": str(root / "tokens"),
        "SENTINEL_GATEWAY_REQUESTS_PER_SECOND_MAX": "50",
        "SENTINEL_GATEWAY_ACCESS_LOG": "all",
        "SENTINEL_GATEWAY_ACCESS_LOG_FILE": str(root / "logs" / "access.jsonl"),
    }
    place = Place(root, settings=settings)
    register_numbers(place.registry, root / "in", rows=300)
    with started(place, "-m", "gateway") as running:
        wait_for(running, place.gateway_port, "/health")
        yield place, running


def ask(place: Place, method: str, path: str, body: Any = None, token: str | None = WEB, **headers: str) -> Answer:
    """A request with a token, or without one."""
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    return request(place.gateway_port, method, path, body, {**sent, **headers})


def access_lines(place: Place, request_id: str) -> list[dict[str, Any]]:
    """What the access log says of a request, once it says anything."""
    path = place.root / "logs" / "access.jsonl"
    found: list[dict[str, Any]] = []

    def look() -> bool:
        lines = path.read_text().splitlines() if path.exists() else []
        found[:] = [line for line in map(json.loads, lines) if line.get("request_id") == request_id]
        return bool(found)

    wait_until(look, 10, f"request {request_id} in the access log")
    return found


def routes(place: Place) -> list[tuple[str, str]]:
    """Every method and path that the application knows, with something in place of its variables."""
    script = (
        "from gateway.serving.app import create_app\n"
        "for rule in create_app().url_map.iter_rules():\n"
        "    for method in rule.methods: print(method, rule.rule)"
    )
    done = place.run("-c", script)
    assert done.returncode == 0, done.stderr
    pairs = [line.split() for line in done.stdout.splitlines()]
    return [(method, re.sub("<[^>]*name>", "numbers", re.sub("<[^>]*version>", "1", path))) for method, path in pairs]


def test_every_route_but_life_is_shut(guarded: tuple[Place, Running]) -> None:
    """Walked over the URL map, and beyond it: 401 with a challenge, before anything else is said."""
    place, _ = guarded
    known = routes(place)
    assert ("POST", "/predict") in known
    for method, path in [*known, ("GET", "/nothing/here"), ("DELETE", "/predict"), ("GET", "/v9")]:
        for token in (None, "wrong-token-0123456789", WEB[:-1]):
            answer = ask(place, method, path, ROW if method == "POST" else None, token)
            if path in ("/health", "/v2/health/live"):
                assert answer.status == (405 if method not in ("GET", "HEAD", "OPTIONS") else 200)
                continue
            assert answer.status == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer, Basic realm="), (method, path)
    assert ask(place, "GET", "/models").status == 200


def test_the_lane_is_shut_too(guarded: tuple[Place, Running]) -> None:
    """The plainest prediction without a token is refused and not recorded; with one it is answered."""
    place, _ = guarded
    card = place.registry.resolve()
    before = len(prediction_rows(place.paths.live, card))
    assert ask(place, "POST", "/predict", ROW, token=None).status == 401
    assert ask(place, "POST", "/predict", ROW, token="wrong-token-0123456789").status == 401
    assert len(prediction_rows(place.paths.live, card)) == before
    assert ask(place, "POST", "/predict", ROW).status == 200


def test_a_browser_gets_in_with_a_token_as_its_password(guarded: tuple[Place, Running]) -> None:
    """By the lane and by Flask; the interactive documentation is a page, and needs that."""
    place, _ = guarded
    password = {"Authorization": "Basic " + base64.b64encode(f"anybody:{WEB}".encode()).decode()}
    assert request(place.gateway_port, "GET", "/docs", None, password).status == 200
    assert request(place.gateway_port, "POST", "/predict", ROW, password).status == 200
    assert request(place.gateway_port, "POST", "/predict", {"instances": [ROW]}, password).status == 200


def test_the_access_log_says_who_asked_what_and_never_the_token(guarded: tuple[Place, Running]) -> None:
    """Answered by the lane, answered by Flask, refused: one line each."""
    place, running = guarded
    lane = ask(place, "POST", "/predict", ROW, **{"X-Request-ID": "order-1"})
    flask = ask(place, "POST", "/predict", {"instances": [ROW, ROW]}, BATCH)
    refused = ask(place, "POST", "/predict", {})
    stranger = ask(place, "GET", "/%7f%0a%C3%28{}", token=None)
    (line,) = access_lines(place, lane.json["request_id"])
    assert line["latency_ms"] > 0
    assert {name: line[name] for name in line if name not in ("timestamp", "request_id", "latency_ms")} == {
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "client": "web",
        "client_id": "order-1",
        "model_name": "numbers",
        "model_version": "1",
        "rows": 1,
    }
    (line,) = access_lines(place, flask.json["request_id"])
    assert (line["client"], line["rows"], line["status"]) == ("batch", 2, 200)
    (line,) = access_lines(place, refused.json["request_id"])
    assert (line["client"], line["status"], line["error_type"]) == ("web", 422, "invalid")
    (line,) = access_lines(place, stranger.json["request_id"])
    assert (line["status"], line["path"].isprintable(), "client" in line) == (401, True, False)
    written = (place.root / "logs" / "access.jsonl").read_text() + running.output()
    assert WEB not in written
    assert BATCH not in written


def test_the_access_log_goes_on_where_it_was_moved_away(guarded: tuple[Place, Running]) -> None:
    """As logrotate does it: the next line begins a new file."""
    place, _ = guarded
    path = place.root / "logs" / "access.jsonl"
    first = ask(place, "POST", "/predict", ROW).json["request_id"]
    access_lines(place, first)
    path.rename(path.with_suffix(".1"))
    second = ask(place, "POST", "/predict", ROW).json["request_id"]
    access_lines(place, second)
    assert first in path.with_suffix(".1").read_text()
    assert first not in path.read_text()


def test_a_name_that_asks_too_often_is_told_so_and_others_are_served(guarded: tuple[Place, Running]) -> None:
    """429 with Retry-After once the burst is gone; nothing of it is recorded."""
    place, _ = guarded
    card = place.registry.resolve()
    before = len(prediction_rows(place.paths.live, card))
    answers = []

    def hammer() -> None:
        for _ in range(60):
            answers.append(ask(place, "POST", "/predict", ROW))

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: any(answer.status == 429 for answer in answers), 30, "a refusal")
    assert ask(place, "GET", "/models", token=BATCH).status == 200
    for thread in threads:
        thread.join()
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {200, 429}
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.headers["retry-after"] == "1"
    assert len(prediction_rows(place.paths.live, card)) - before == statuses.count(200)


def test_more_requests_than_may_be_under_way_are_refused(tmp_path: Path) -> None:
    """503 at once, life excepted; and all are answered again afterwards."""
    settings = {
        "SENTINEL_GATEWAY_WORKERS": "1",
        "SENTINEL_GATEWAY_THREADS": "1",
        "SENTINEL_GATEWAY_IN_FLIGHT_MAX": "2",
    }
    place = Place(tmp_path, settings=settings)
    register_numbers(place.registry, tmp_path / "in", rows=300)
    batch = {"instances": [ROW] * 5000}
    with gateway(place):
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: statuses.append(request(place.gateway_port, "POST", "/predict", batch).status)
            )
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: 503 in statuses, 30, "a refusal")
        assert request(place.gateway_port, "GET", "/health").status == 200
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 503}
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 200


@pytest.mark.parametrize("content", [None, "", "web short"])
def test_a_gateway_does_not_start_with_unusable_tokens(tmp_path: Path, content: str | None) -> None:
    """Exit code 2 and the reason."""
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    done = Place(tmp_path, settings={"SENTINEL_GATEWAY_TOKENS_FILE": str(path)}).run("-m", "gateway")
    assert done.returncode == 2
    assert str(path) in done.stderr
