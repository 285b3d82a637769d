"""One kept-alive HTTP connection to the gateway that outlives restarts of it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: Pauses between attempts grow from the first to the last of these, in seconds.
BACK_OFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Address:
    """Where the gateway listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer whose body was JSON; `retries` counts the attempts before it."""

    status: int
    body: dict[str, Any]
    retries: int = 0


class NoAnswer(Exception):
    """Nobody answered in time; the text says what happened last."""


class GatewayClient:
    """A connection for one thread.

    Args:
        patience_seconds: how long one request is tried again after lost connections and 503 answers.
        stop: once set, nothing is tried again.
    """

    def __init__(
        self,
        address: Address,
        *,
        patience_seconds: float = 60.0,
        timeout_seconds: float = 30.0,
        stop: threading.Event | None = None,
    ) -> None:
        self._address = address
        self._patience_seconds = patience_seconds
        self._timeout_seconds = timeout_seconds
        self._stop = stop or threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Answer:
        """GET once, with retries. Raises NoAnswer."""
        return self._persist(lambda: self._exchange("GET", path, None, {}))

    def post(self, path: str, document: Mapping[str, Any], request_id: str | None = None) -> Answer:
        """POST a JSON object; `request_id` goes out as X-Request-ID. Raises NoAnswer.

        A connection that breaks before its answer came leaves open whether the gateway recorded the request; it
        is sent again, so the log may hold such a row twice. Only the answered one is counted or labelled.
        """
        headers = {"Content-Type": "application/json"}
        if request_id is not None:
            headers["X-Request-ID"] = request_id
        body = json.dumps(document, allow_nan=False).encode()
        return self._persist(lambda: self._exchange("POST", path, body, headers))

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _persist(self, attempt: Callable[[], tuple[int, dict[str, Any]]]) -> Answer:
        deadline = time.monotonic() + self._patience_seconds
        retries = 0
        while True:
            try:
                status, body = attempt()
                if status != 503:
                    return Answer(status, body, retries)
                problem = f"503 {body.get('detail', '')}".strip()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            pause = BACK_OFF_SECONDS[min(retries, len(BACK_OFF_SECONDS) - 1)]
            if time.monotonic() + pause > deadline or self._stop.wait(pause):
                raise NoAnswer(problem)
            retries += 1

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                self._address.host, self._address.port, timeout=self._timeout_seconds
            )
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, _document(response.read())


def _document(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; a proxy's HTML page and the like become an empty one."""
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
