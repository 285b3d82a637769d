"""The servers that benchmarks measure and break, each in a session of its own; nothing of it outlives its block."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.load import status_of, wait_for
from benchmarks.peers.catalogue import Peer, Start
from gateway.settings import GatewaySettings

_STOP_SECONDS = 40
_PEER_START_SECONDS = 90
_OTHER_WORKERS_SECONDS = 3.0


class NotStarted(Exception):
    """A server to compare with does not come up here; says why in one sentence."""


@dataclass(frozen=True)
class Server:
    """A running server: its address, its first process and what it printed."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[int]:
        """The pids of its workers at this moment."""
        return children(self.process.pid)


@contextlib.contextmanager
def gateway(
    scratch: Path, *, app: str = "gateway.serving.app:create_app()", port: int | None = None, **settings: str
) -> Iterator[Server]:
    """The gateway with the files in `scratch`, ready.

    Args:
        app: what gunicorn serves; `benchmarks.variants` has others than the product.
        port: a free one unless given.
        settings: of section `[gateway]`, or with a `paths_` before them of section `[paths]`.
    """
    port = free_port() if port is None else port
    log = scratch / "gateway.log"
    named = {
        f"SENTINEL_{key if key.startswith('paths_') else f'gateway_{key}'}".upper(): value
        for key, value in settings.items()
    }
    with tempfile.TemporaryDirectory(prefix="sentinelml-bench-", dir=_memory_folder()) as metrics:
        environment = report.environment(
            scratch,
            SENTINEL_GATEWAY_PORT=str(port),
            SENTINEL_PATHS_METRICS=metrics,
            # What `python -m gateway` sets before it becomes gunicorn.
            PROMETHEUS_MULTIPROC_DIR=metrics,
            OMP_NUM_THREADS="1",
            OPENBLAS_NUM_THREADS="1",
            MKL_NUM_THREADS="1",
        )
        command = [sys.executable, "-m", "gunicorn", "--config", "python:gateway.serving.gunicorn_conf", app]
        with running(command, {**environment, **named}, log) as process:
            server = Server(port, process, log)
            wait_for(lambda: status_of(f"{server.url}/ready") == 200, 60, f"the gateway; see {log}")
            yield server


@contextlib.contextmanager
def bare_flask(scratch: Path) -> Iterator[Server]:
    """bare_app under the workers and threads that the gateway has by default."""
    port, usual = free_port(), GatewaySettings()
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", str(usual.workers), "--threads", str(usual.threads), "--keep-alive", "75"]
    environment = report.environment(scratch, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    log = scratch / "bare.log"
    with running([*command, "benchmarks.bare_app:create_app()"], environment, log) as process:
        server = Server(port, process, log)
        wait_for(lambda: status_of(f"{server.url}/bare", b"{}") == 200, 60, f"bare Flask; see {log}")
        yield server


@contextlib.contextmanager
def peer(scratch: Path, chosen: Peer, python: Path, model: Path, body: bytes) -> Iterator[Server]:
    """A server to compare with, ready.

    Args:
        python: the interpreter of its environment.
        model: the model as a joblib file.
        body: a request that it answers with 200 once it is ready.

    Raises:
        NotStarted: it ended, or did not answer in time.
    """
    port, *extra_ports = free_ports(3)
    start = Start(python, port, (extra_ports[0], extra_ports[1]), model, scratch)
    log = scratch / f"{chosen.name}.log"
    environment = report.environment(
        scratch,
        BENCH_MODEL=str(model),
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        **chosen.variables(start),
    )
    with running(chosen.command(start), environment, log) as process:
        server = Server(port, process, log)

        def answers() -> bool:
            if process.poll() is not None:
                raise NotStarted(f"it ended with exit code {process.returncode}: {_last_line(log)}")
            return status_of(server.url + chosen.dialect.one_path, body) == 200

        try:
            wait_for(answers, _PEER_START_SECONDS, chosen.title)
        except RuntimeError as error:
            raise NotStarted(f"{error}: {_last_line(log)}") from error
        # Its other worker comes up a moment later, and would get none of the connections of a load begun now.
        time.sleep(_OTHER_WORKERS_SECONDS)
        yield server


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in its own session; afterwards TERM, and KILL for what is left of its group."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, cwd=report.ROOT, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def children(pid: int) -> list[int]:
    """What the main thread of a process has started and has not ended; nothing when the process itself is gone."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def _memory_folder() -> str | None:
    """Where the gateway's metrics lie in production, too: not on the disk that is being measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
