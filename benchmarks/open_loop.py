"""Load at a constant rate, whatever the server does: an answer's time runs from when its request was due.

A client that waits for an answer before it asks again measures a server that stalls with few requests, and the
stall nearly vanishes from the percentiles (coordinated omission). Here a request that is due while every connection
is busy waits in line, and its waiting counts.

What this cannot do: it is one Python thread that shares the cores with what it measures. `Answered.late_p99_ms` says
how late it was itself in sending what was due and had a free connection. That is part of every latency, so only
what is well above it is the server's.
"""

from __future__ import annotations

import argparse
import collections
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import report

CONNECTIONS = 64
_ANSWER_SECONDS = 10.0
_READ_BYTES = 65536


@dataclass(frozen=True)
class Answered:
    """What became of the requests of one load. Latencies are of all answers, from the moment each was due.

    Attributes:
        asked: the requests that were due; `answered`: 2xx answers; `refused`: other answers; `lost`: no answer.
        late_p99_ms: how late this client sent what it could have sent.
    """

    rate: float
    seconds: float
    asked: int
    answered: int
    refused: int
    lost: int
    p50_ms: float
    p99_ms: float
    late_p99_ms: float


class ConstantLoad:
    """POSTs bodies in turn to 127.0.0.1, `rate` of them per second, from a process of its own that it starts.

    Args:
        seconds: how long, unless it is stopped before.
        scratch: a folder for the bodies, and for what is kept.
    """

    def __init__(
        self, port: int, path: str, bodies: Sequence[bytes], *, rate: float, seconds: float, scratch: Path
    ) -> None:
        file, self._kept = scratch / "open_loop.jsonl", scratch / "open_loop.npy"
        file.write_bytes(b"\n".join(bodies) + b"\n")
        options = [str(port), path, str(file), str(rate), str(seconds), str(self._kept)]
        command = [sys.executable, "-m", "benchmarks.open_loop", *options]
        self._process = subprocess.Popen(command, cwd=report.ROOT, stdout=subprocess.PIPE)
        self._seconds = seconds

    def __enter__(self) -> ConstantLoad:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def stop(self) -> Answered:
        """Ask no more; wait for the answers under way. RuntimeError when the client failed."""
        self._process.terminate()
        return self._result(0.0)

    def finish(self) -> Answered:
        """Wait until it is over. RuntimeError when the client failed."""
        return self._result(self._seconds)

    def latencies(self) -> NDArray[np.float64]:
        """Of each answer, once it is over: when it was due (`time.monotonic()`) and its latency in seconds; (n, 2)."""
        return np.asarray(np.load(self._kept), dtype=np.float64)

    def _result(self, seconds: float) -> Answered:
        printed, _ = self._process.communicate(timeout=seconds + _ANSWER_SECONDS + 30)
        if self._process.returncode:
            raise RuntimeError(f"the load generator ended with exit code {self._process.returncode}")
        return Answered(**json.loads(printed))


def main(arguments: Sequence[str] | None = None) -> int:
    """The process itself: put the load, print what became of it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_loop", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("bodies", type=Path, help="a file with one body per line")
    parser.add_argument("rate", type=float, help="requests per second")
    parser.add_argument("seconds", type=float)
    parser.add_argument("kept", type=Path, help="a file for each answer's due time and latency, as numpy writes it")
    options = parser.parse_args(arguments)
    requests = [_request(options.path, body) for body in options.bodies.read_bytes().splitlines()]
    client = _Client(options.port, requests)
    signal.signal(signal.SIGTERM, lambda *_: client.stop())
    answered = client.run(options.rate, options.seconds)
    np.save(options.kept, client.latencies)
    print(json.dumps(asdict(answered)))
    return 0


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def percentiles_ms(seconds: NDArray[np.float64]) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds; NaN of nothing."""
    if not len(seconds):
        return float("nan"), float("nan")
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return float(p50), float(p99)


class _Client:
    """One thread, one outstanding request a connection."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._poll = select.epoll()
        self._idle: list[socket.socket] = []
        self._busy: dict[int, _Exchange] = {}
        self._latencies: list[tuple[float, float]] = []
        self._lateness: list[float] = []
        self._refused = self._lost = 0
        self._stopped = False

    @property
    def latencies(self) -> NDArray[np.float64]:
        """Of each answer: when it was due (`time.monotonic()`) and its latency in seconds; (n, 2)."""
        return np.array(self._latencies, dtype=np.float64).reshape(-1, 2)

    def stop(self) -> None:
        """Ask no more. May be called from a signal handler."""
        self._stopped = True

    def run(self, rate: float, seconds: float) -> Answered:
        """Ask for `seconds` or until stopped, then wait a little for the last answers."""
        self._idle = [self._connect() for _ in range(CONNECTIONS)]
        waiting: collections.deque[float] = collections.deque()
        asked = sent = 0
        began = time.monotonic()
        over = began + seconds
        while (now := time.monotonic()) < over and not self._stopped:
            # Everything that is due by now, in one go: a client that woke late must catch up, not slow down.
            while (due := began + asked / rate) <= now:
                waiting.append(due)
                asked += 1
                if self._idle:
                    self._lateness.append(now - due)
            sent = self._send_waiting(waiting, sent)
            self._receive(due - time.monotonic())
        lasted, deadline = time.monotonic() - began, time.monotonic() + _ANSWER_SECONDS
        while (waiting or self._busy) and (now := time.monotonic()) < deadline:
            sent = self._send_waiting(waiting, sent)
            self._receive(deadline - now)
        self._lost += len(waiting) + len(self._busy)
        return self._answered(rate, lasted, asked)

    def _send_waiting(self, waiting: collections.deque[float], sent: int) -> int:
        """Send what waits, as far as there are connections; returns how many were sent in all."""
        while waiting and self._idle:
            self._send(waiting.popleft(), self._requests[sent % len(self._requests)])
            sent += 1
        return sent

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=_ANSWER_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Once for all its requests: what this process uses of the processors is missing to what it measures.
        self._poll.register(sock, select.EPOLLIN)
        return sock

    def _send(self, due: float, request: bytes) -> None:
        sock = self._idle.pop()
        self._busy[sock.fileno()] = _Exchange(sock, due)
        try:
            sock.sendall(request)
        except OSError:
            self._lose(sock.fileno())

    def _receive(self, timeout_seconds: float) -> None:
        # epoll's own timeout is in whole milliseconds, longer than the pause between two requests.
        select.select([self._poll], [], [], max(0.0, timeout_seconds))
        for fd, _ in self._poll.poll(0):
            exchange = self._busy.get(fd)
            if exchange is None:
                self._renew(fd)
                continue
            try:
                is_whole = exchange.read()
            except OSError:
                self._lose(fd)
                continue
            if is_whole:
                self._latencies.append((exchange.due, time.monotonic() - exchange.due))
                self._refused += not exchange.is_success
                self._idle.append(self._released(fd))

    def _renew(self, fd: int) -> None:
        """The server has closed a connection that was idle for long; nothing was asked on it."""
        sock = next(idle for idle in self._idle if idle.fileno() == fd)
        self._idle.remove(sock)
        sock.close()
        self._idle.append(self._connect())

    def _lose(self, fd: int) -> None:
        self._lost += 1
        self._released(fd).close()
        self._idle.append(self._connect())

    def _released(self, fd: int) -> socket.socket:
        return self._busy.pop(fd).sock

    def _answered(self, rate: float, seconds: float, asked: int) -> Answered:
        p50, p99 = percentiles_ms(self.latencies[:, 1])
        return Answered(
            rate=rate,
            seconds=seconds,
            asked=asked,
            answered=len(self._latencies) - self._refused,
            refused=self._refused,
            lost=self._lost,
            p50_ms=p50,
            p99_ms=p99,
            late_p99_ms=float(np.percentile(self._lateness, 99) * 1e3) if self._lateness else 0.0,
        )


class _Exchange:
    """A request under way and what has come of its answer, which has a Content-Length."""

    __slots__ = ("_data", "_wanted", "due", "sock")

    def __init__(self, sock: socket.socket, due: float) -> None:
        self.sock = sock
        self.due = due
        self._data = b""
        self._wanted = 0

    def read(self) -> bool:
        """Take what is there; whether the answer is whole now. Raises OSError when it will never be."""
        piece = self.sock.recv(_READ_BYTES)
        if not piece:
            raise ConnectionResetError("closed before the answer was whole")
        self._data += piece
        if not self._wanted and (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
            self._wanted = end + 4 + int(length)
        return 0 < self._wanted <= len(self._data)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self._data[9:10] == b"2"


if __name__ == "__main__":
    sys.exit(main())
