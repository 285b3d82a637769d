"""Starting the real processes in a folder of their own, and stopping them whatever happens."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.registry import Registry
from gateway.settings import Paths
from tests.tools import free_port, wait_until

ROOT = Path(__file__).resolve().parents[1]
STOP_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Answer:
    """An HTTP response: status, headers by lower-case name, and the body as bytes."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Place:
    """A folder with data, models and reports of its own, and ports that nobody else uses."""

    root: Path
    gateway_port: int = field(default_factory=free_port)
    exporter_port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        """Where the processes share their files."""
        return Paths(
            data=self.root / "data",
            models=self.root / "models",
            reports=self.root / "reports",
            metrics=self.root / "metrics",
        )

    @property
    def registry(self) -> Registry:
        """The place's model registry."""
        return Registry(self.paths.models, self.paths.reference)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of this place."""
        paths = self.paths
        own = {
            "SENTINEL_PATHS_DATA": str(paths.data),
            "SENTINEL_PATHS_MODELS": str(paths.models),
            "SENTINEL_PATHS_REPORTS": str(paths.reports),
            "SENTINEL_PATHS_METRICS": str(paths.gateway_metrics),
            "SENTINEL_GATEWAY_PORT": str(self.gateway_port),
            "SENTINEL_EXPORTER_PORT": str(self.exporter_port),
            "SENTINEL_GATEWAY_RELOAD_SECONDS": "0.1",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **own, **self.settings}

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a Python command of the project to its end, e.g. `run("-m", "drift_engine", "run")`."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@dataclass(frozen=True)
class Running:
    """A started process with the file that holds its output."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What the process printed so far."""
        return self.log.read_text(errors="replace")

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Ask the process to end and return its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(STOP_TIMEOUT_SECONDS)


@contextlib.contextmanager
def started(place: Place, *arguments: str) -> Iterator[Running]:
    """A Python command of the project in a session of its own; nothing of it is alive after the block."""
    log = place.root / f"{arguments[-1].replace('/', '-')}-{free_port()}.log"
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def gateway(place: Place) -> Iterator[Running]:
    """The gateway, ready to predict."""
    with started(place, "-m", "gateway") as running:
        wait_for(running, place.gateway_port, "/ready")
        yield running


@contextlib.contextmanager
def exporter(place: Place) -> Iterator[Running]:
    """The exporter, ready to be scraped."""
    with started(place, "-m", "exporter") as running:
        wait_for(running, place.exporter_port, "/health")
        yield running


def wait_for(running: Running, port: int, path: str, timeout_seconds: float = 60) -> None:
    """Wait until `path` answers 200; fail with the process's output when it ends or takes too long."""

    def is_up() -> bool:
        if running.process.poll() is not None:
            raise SystemExit(f"ended with {running.process.returncode}:\n{running.output()}")
        return request(port, "GET", path).status == 200

    wait_until(is_up, timeout_seconds, f"{path} on port {port}; output so far:\n{running.output()}")


def request(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    timeout: float = 30,
) -> Answer:
    """One HTTP request to 127.0.0.1 on a connection of its own. `body`: bytes as they are, else sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        received = {name.lower(): ", ".join(response.headers.get_all(name) or ()) for name in response.headers}
        return Answer(response.status, received, response.read())
    finally:
        connection.close()


def gateway_metrics(place: Place) -> dict[str, float]:
    """What the gateway has counted: the sum over all labels of each sample, read by a process as the exporter does."""
    script = (
        "import collections, json, pathlib, sys\n"
        "from gateway.metrics_folder import collect\n"
        "sums = collections.Counter()\n"
        "for family in collect(pathlib.Path(sys.argv[1])):\n"
        "    for sample in family.samples: sums[sample.name] += sample.value\n"
        "print(json.dumps(sums))"
    )
    done = place.run("-c", script, str(place.paths.gateway_metrics))
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found
