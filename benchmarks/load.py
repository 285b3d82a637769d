"""Load on an HTTP server of this machine: wrk where it is installed, a client of our own where not."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_WRK_SCRIPT = """
local bodies = {}
for line in io.lines(os.getenv("BENCH_BODIES")) do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local at = 0
request = function()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"seconds": %f, "requests": %d, "refused": %d, "broken": %d, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.duration / 1e6, summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Load:
    """What a load found. `answered`: 2xx answers that reached the client; latencies are over all answers."""

    client: str
    connections: int
    seconds: float
    answered: int
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return self.answered / self.seconds


def put_load(url: str, bodies: Sequence[bytes], connections: int, seconds: int, scratch: Path) -> Load:
    """POST the bodies in turn over `connections` kept-alive connections for `seconds`."""
    wrk = shutil.which("wrk")
    if wrk is not None:
        return _with_wrk(wrk, url, bodies, connections, seconds, scratch)
    return _with_own_client(url, bodies, connections, seconds)


def collect_answers(url: str, bodies: Sequence[bytes], connections: int) -> list[dict[str, Any]]:
    """POST every body once and return every 2xx answer: for checking them one by one, not for speed."""
    host, path = _split(url)
    local, opened = threading.local(), list[http.client.HTTPConnection]()

    def ask(body: bytes) -> dict[str, Any] | None:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(host, timeout=30)
            opened.append(local.connection)
        status, data = _post(local.connection, path, body)
        return json.loads(data) if 200 <= status < 300 else None

    with ThreadPoolExecutor(connections) as pool:
        answers = [answer for answer in pool.map(ask, bodies) if answer is not None]
    for connection in opened:
        connection.close()
    return answers


def _with_wrk(wrk: str, url: str, bodies: Sequence[bytes], connections: int, seconds: int, scratch: Path) -> Load:
    script, body_file = scratch / "post.lua", scratch / "bodies.jsonl"
    script.write_text(_WRK_SCRIPT)
    body_file.write_bytes(b"\n".join(bodies) + b"\n")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url]
    done = subprocess.run(
        command,
        env={**os.environ, "BENCH_BODIES": str(body_file)},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))[7:])
    return Load(
        client="wrk",
        connections=connections,
        seconds=found["seconds"],
        answered=found["requests"] - found["refused"],
        refused=found["refused"],
        broken=found["broken"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
    )


@dataclass(frozen=True)
class _Share:
    """What one process of our own client found: latencies in seconds of all answers, and what went wrong."""

    latencies: list[float]
    refused: int
    broken: int


def _with_own_client(url: str, bodies: Sequence[bytes], connections: int, seconds: int) -> Load:
    """A process per four connections (one Python process alone would be the bottleneck), starting together."""
    shares = [min(4, connections - first) for first in range(0, connections, 4)]
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(len(shares)), context.SimpleQueue()
    processes = [
        context.Process(target=_ask_for, args=(url, list(bodies), share, seconds, start, results)) for share in shares
    ]
    for process in processes:
        process.start()
    found: list[_Share] = [results.get() for _ in processes]
    for process in processes:
        process.join()
    latencies = np.concatenate([share.latencies for share in found])
    refused, broken = sum(share.refused for share in found), sum(share.broken for share in found)
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3 if len(latencies) else (float("nan"),) * 2
    return Load(
        client="own client",
        connections=connections,
        seconds=seconds,
        answered=len(latencies) - refused,
        refused=refused,
        broken=broken,
        p50_ms=float(p50),
        p99_ms=float(p99),
    )


def _ask_for(url: str, bodies: list[bytes], threads: int, seconds: int, start: Any, results: Any) -> None:
    """The work of one process: `threads` connections that ask until the time is over."""
    host, path = _split(url)
    start.wait()
    deadline = time.monotonic() + seconds

    def ask(offset: int) -> _Share:
        connection = http.client.HTTPConnection(host, timeout=10)
        latencies, refused, broken, at = [], 0, 0, offset
        while (begun := time.monotonic()) < deadline:
            at = (at + 1) % len(bodies)
            try:
                status, _ = _post(connection, path, bodies[at])
            except (OSError, http.client.HTTPException):
                connection.close()
                broken += 1
                continue
            latencies.append(time.monotonic() - begun)
            refused += not 200 <= status < 300
        connection.close()
        return _Share(latencies, refused, broken)

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(ask, range(threads)))
    latencies = [latency for part in parts for latency in part.latencies]
    results.put(_Share(latencies, sum(part.refused for part in parts), sum(part.broken for part in parts)))


def wait_for(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until `ready`; RuntimeError after `seconds`. A refused connection means "not yet"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    raise RuntimeError(f"waited {seconds:g} s for {what}")


def status_of(url: str, body: bytes | None = None) -> int:
    """The status of one GET, or of one POST of `body`."""
    host, path = _split(url)
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        if body is not None:
            return _post(connection, path, body)[0]
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read()


def _split(url: str) -> tuple[str, str]:
    host, _, path = url.removeprefix("http://").partition("/")
    return host, "/" + path
