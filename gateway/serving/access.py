"""The access log: one JSON line a request, written by a thread of its own, far from the request."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gateway.clock import utc_text

log = logging.getLogger("gateway.access")

#: How often lines are written, and how many may wait for it; more are dropped and counted.
FLUSH_SECONDS = 0.2
WAITING_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request said of itself. `client`: the name of its token; `client_id`: its X-Request-ID, if harmless."""

    request_id: str
    method: str
    path: str
    client: str = ""
    client_id: str | None = None


class AccessLog:
    """Lines wait in memory and are appended to a file, or to standard error, a few times a second.

    What is not written when the process is killed is lost: this is no record. That is the prediction log.

    Args:
        which: "all" requests, those "refused", or "off" for none.
        path: the file; None for standard error. A file that was moved away (logrotate) is begun anew.
    """

    def __init__(self, which: str, path: Path | None) -> None:
        #: Whether answered requests are noted, too.
        self.notes_answers = which == "all"
        self._which = which
        self._path = path
        self._waiting: deque[tuple[float, Asked, int, dict[str, Any]]] = deque(maxlen=WAITING_MAX)
        self._noted = 0
        self._written = 0
        self._fd = 2
        self._inode = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write. In the worker: a thread does not survive a fork."""
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def answered(self, asked: Asked, status: int, **more: Any) -> None:
        """Note a request that got its answer, if `notes_answers`."""
        if self.notes_answers:
            self._note(asked, status, more)

    def refused(self, asked: Asked, status: int, error_type: str) -> None:
        """Note a request that was refused."""
        if self._which != "off":
            self._note(asked, status, {"error_type": error_type})

    def _note(self, asked: Asked, status: int, more: dict[str, Any]) -> None:
        # The oldest line goes when too many wait.
        self._waiting.append((time.time(), asked, status, more))
        self._noted += 1

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = []
        while self._waiting:
            lines.append(_line(*self._waiting.popleft()))
        if not lines:
            return
        self._written += len(lines)
        dropped, self._noted, self._written = self._noted - self._written - len(self._waiting), len(self._waiting), 0
        if dropped > 0:
            lines.append(msgspec.json.encode({"access_log_lines_dropped": dropped}))
        data = b"\n".join(lines) + b"\n"
        try:
            self._reopen()
            # One write: lines of several workers do not mix in a file that is opened for appending.
            os.write(self._fd, data)
        except OSError as error:
            log.error("%d lines are lost: %s: %s", len(lines), self._path or "standard error", error.strerror)

    def _reopen(self) -> None:
        if self._path is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if self._fd != 2 and self._path.stat().st_ino == self._inode:
                return
        if self._fd != 2:
            os.close(self._fd)
            self._fd = 2
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._inode = os.fstat(self._fd).st_ino


def _line(at: float, asked: Asked, status: int, more: dict[str, Any]) -> bytes:
    return msgspec.json.encode(
        {
            "timestamp": utc_text(at),
            "request_id": asked.request_id,
            "method": asked.method,
            "path": _printable(asked.path),
            "status": status,
            **({"client": asked.client} if asked.client else {}),
            **({"client_id": asked.client_id} if asked.client_id else {}),
            **more,
        }
    )


def _printable(path: str) -> str:
    """A path for a log line: no control characters, no surrogates, bounded."""
    return path[:200].encode("unicode_escape").decode("ascii")
