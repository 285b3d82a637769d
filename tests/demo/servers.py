"""A real HTTP server of a few lines, for clients whose other side must misbehave on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from demo.client import Address

Respond = Callable[[str, dict[str, Any]], "tuple[int, dict[str, Any]] | None"]


@dataclass
class Seen:
    """What a server was sent, and when (monotonic seconds)."""

    predictions: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    label_times: list[float] = field(default_factory=list)
    answer_times: list[float] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def answer_everything(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A gateway that accepts all."""
    return 200, {"request_id": f"id-{body.get('row', '')}"}


@contextmanager
def serving(respond: Respond, port: int = 0, drop_unused_after: int = 0) -> Iterator[tuple[Address, Seen]]:
    """A real HTTP server on 127.0.0.1 with keep-alive; `respond` returning None drops the connection.

    `drop_unused_after`: with that many predictions, connections on which nothing was asked yet are closed, once.
    """
    seen = Seen()
    connections: list[socket.socket] = []
    unused: set[socket.socket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with seen.lock:
                seen.connections += 1
                connections.append(self.connection)
                unused.add(self.connection)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with seen.lock:
                unused.discard(self.connection)
                answer = respond(self.path, body)
                if answer is not None and answer[0] == 200:
                    self._remember(body)
                    if len(seen.predictions) == drop_unused_after:
                        for connection in unused:
                            _drop(connection)
            if answer is None:
                _drop(self.connection)
                self.close_connection = True
                return
            data = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _remember(self, body: dict[str, Any]) -> None:
            if self.path == "/feedback":
                seen.labels.append(body)
                seen.label_times.append(time.monotonic())
            else:
                seen.predictions.append((self.headers["X-Request-ID"], body))
                seen.answer_times.append(time.monotonic())

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128
        # The dropped connections of these tests are no errors.
        handle_error = lambda self, request, client_address: None  # noqa: E731

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Address("127.0.0.1", server.server_address[1]), seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        # Kept-alive connections have threads of their own, which would go on answering.
        for connection in connections:
            _drop(connection)


def _drop(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
