"""`python -m drift_engine act` with real servers as webhooks: asked once, and told nothing that is not theirs."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from drift_engine.results.actions import ActionLog
from tests.drift_engine.actions.place import NAME, SECRET, Place


@dataclass
class Hook:
    """A webhook: what it was sent, and what it answers."""

    url: str
    status: int
    received: list[tuple[dict[str, str], bytes]]


@contextlib.contextmanager
def hook(status: int = 204, location: str | None = None) -> Iterator[Hook]:
    """A real server on a free port."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((dict(self.headers), body))
            self.send_response(status)
            if location is not None:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Hook(f"http://127.0.0.1:{server.server_port}/retrain/{SECRET}?key={SECRET}", status, received)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_gets_the_decision_as_json(place: Place, tmp_path: Path) -> None:
    """With reasons, evidence and the report's path, and the token of the file. No record or output shows a secret."""
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    with hook() as server:
        done = place.act(webhook=server.url, webhook_token_file=str(token))
        again = place.act(webhook=server.url, webhook_token_file=str(token))
    assert (done.returncode, again.returncode) == (0, 0)
    ((headers, body),) = server.received
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["Content-Type"] == "application/json"
    told = json.loads(body)
    assert (told["model_name"], told["model_version"], told["decision"]) == (NAME, "1", "recommended")
    assert told["incident_id"].startswith("performance-")
    assert (told["reasons"], told["evidence"]) == (["accuracy fell by 20.1 %"], ["1,000 rows are labelled"])
    assert Path(told["report"]).read_bytes() == b"<html>"
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.code) == ("ok", 204)
    assert SECRET not in ActionLog(place.reports).path(NAME, "1").read_text() + done.stdout + done.stderr


def test_a_webhook_that_refuses_is_recorded_and_not_asked_again(place: Place) -> None:
    """500 is an answer; a redirect is not followed, for it would take the token elsewhere."""
    with hook(500) as server:
        assert place.act(webhook=server.url).returncode == 1
        assert place.act(webhook=server.url).returncode == 0
    assert len(server.received) == 1
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.code, action.ended.detail) == ("failed", 500, "HTTP status 500")


def test_a_redirect_is_not_followed(place: Place) -> None:
    """The other server is never asked."""
    with hook() as other, hook(307, other.url) as server:
        assert place.act(webhook=server.url).returncode == 1
    assert (len(server.received), len(other.received)) == (1, 0)


def test_a_webhook_that_never_answers_has_an_end(place: Place) -> None:
    """Whether it is silent, or sends one byte after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        def drip() -> None:
            connection, _ = listener.accept()
            stack.enter_context(connection)
            with contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.2)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        done = place.act(webhook=f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_seconds="1")
        assert time.monotonic() - began < 20
    thread.join(5)
    assert done.returncode == 1
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.detail) == ("timeout", "no answer within 1 s")


def test_a_webhook_that_nobody_listens_on_shows_no_url(place: Place) -> None:
    """Its path may be a secret."""
    done = place.act(webhook=f"http://127.0.0.1:9/{SECRET}")
    assert done.returncode == 1
    (action,) = place.actions
    assert action.ended is not None
    assert action.ended.detail == "no answer: Connection refused"
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("content", ["", "two words\n", "snowm\N{SNOWMAN}n"])
def test_a_token_file_that_holds_no_token_sends_nothing(place: Place, tmp_path: Path, content: str) -> None:
    """Rather not told than told without the token."""
    token = tmp_path / "token"
    token.write_text(content)
    with hook() as server:
        assert place.act(webhook=server.url, webhook_token_file=str(token)).returncode == 1
    assert server.received == []
    (action,) = place.actions
    assert action.ended is not None
    assert action.ended.detail == "the token file cannot be used"
