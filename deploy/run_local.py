"""`python deploy/run_local.py`: gateway, scheduler and exporter on this machine, until Ctrl-C or SIGTERM.

A process that dies is started again, after 1 s, then 2, 4 ... at most 30. All of them write to this terminal.
Closing the terminal (SIGHUP) stops them as SIGTERM does, and they do not outlive a supervisor that is killed.
Exit codes: 0 stopped as asked, 1 an address is taken, 2 unusable settings or arguments.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from exporter.address import why_not_free  # noqa: E402
from exporter.settings import ExporterSettings  # noqa: E402
from gateway.settings import GatewaySettings, InvalidSettings, load  # noqa: E402
from scheduler import SchedulerSettings, parse_interval  # noqa: E402

POLL_SECONDS = 0.2
FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS = 1.0, 30.0
#: A process that lived this long was well; its next death is a new one.
SETTLED_SECONDS = 60.0
#: Beyond what the gateway may take to finish its requests.
STOP_MARGIN_SECONDS = 10.0
#: When to say why the gateway is not ready yet, if it is not.
PATIENCE_SECONDS = 20.0

_PR_SET_PDEATHSIG = 1
#: Loaded here, because between fork and exec nothing should be.
_LIBC = ctypes.CDLL(None)


@dataclass
class Child:
    """One process to keep alive; `process` is None between a death and the next start at `start_at` (monotonic)."""

    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    started_at: float = 0.0
    delay: float = FIRST_DELAY_SECONDS

    def tend(self, now: float) -> None:
        """Start it if it is time to, notice its death if it died."""
        if self.process is None:
            if now >= self.start_at:
                # In a session of its own: Ctrl-C reaches this supervisor alone, which stops all in good order.
                self.process = subprocess.Popen(
                    self.command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True,
                    # What runs between fork and exec may deadlock where other threads hold locks; there are none here.
                    preexec_fn=partial(_end_with, os.getpid()),
                )  # fmt: skip
                self.started_at = now
        elif self.process.poll() is not None:
            if now - self.started_at >= SETTLED_SECONDS:
                self.delay = FIRST_DELAY_SECONDS
            _say(f"{self.name} ended with exit code {self.process.returncode}; starts again in {self.delay:g} s")
            self.process = None
            self.start_at = now + self.delay
            self.delay = min(2 * self.delay, LAST_DELAY_SECONDS)


def main(arguments: list[str] | None = None) -> int:
    """Run all three until told to stop."""
    options = _parser().parse_args(arguments)
    try:
        gateway, exporter, _ = load(GatewaySettings, ExporterSettings, SchedulerSettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    for name, host, port in (("gateway", gateway.host, gateway.port), ("exporter", exporter.host, exporter.port)):
        fault = why_not_free(host, port)
        if fault is not None:
            variable = f"SENTINEL_{name.upper()}_PORT"
            print(f"{name}: {fault}. Does SentinelML run already? {variable}=... chooses another.", file=sys.stderr)
            return 1
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    # Under nohup the signal is ignored, and stays so.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: _hang_up(stopping))
    children = _children(options.interval)
    try:
        _keep_alive(children, stopping, gateway, exporter)
    finally:
        _stop(children, gateway.drain_seconds + STOP_MARGIN_SECONDS)
    _say("stopped")
    return 0


def _end_with(supervisor: int) -> None:
    """In the child: have the kernel send it TERM when the supervisor dies, even of KILL. Stays so after exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:
        os._exit(1)  # it died before the kernel was told


def _hang_up(stopping: threading.Event) -> None:
    """Stop; and write to nowhere from now on, because writing to a closed terminal is an error."""
    stopping.set()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        # A device, then, and not a file; `isatty` denies it of a closed terminal.
        if stat.S_ISCHR(os.fstat(fd).st_mode):
            os.dup2(nowhere, fd)
    os.close(nowhere)


def _keep_alive(
    children: Iterable[Child], stopping: threading.Event, gateway: GatewaySettings, exporter: ExporterSettings
) -> None:
    """Tend the children until `stopping`; say once where everything is, as soon as it is there."""
    begun = time.monotonic()
    announced = complained = False
    while not stopping.is_set():
        now = time.monotonic()
        for child in children:
            child.tend(now)
        if not announced:
            fault = _why_not_ready(gateway, exporter)
            announced = fault is None
            if announced:
                _announce(gateway, exporter)
            elif not complained and now - begun > PATIENCE_SECONDS:
                _say(f"not ready yet: {fault}")
                complained = True
        stopping.wait(POLL_SECONDS)


def _children(interval: float | None) -> tuple[Child, ...]:
    more = () if interval is None else ("--interval", f"{interval:g}")
    return (
        Child("gateway", (sys.executable, "-m", "gateway")),
        Child("exporter", (sys.executable, "-m", "exporter")),
        Child("scheduler", (sys.executable, "scheduler.py", *more)),
    )


def _stop(children: Iterable[Child], patience_seconds: float) -> None:
    """TERM to all, KILL to the sessions of those that are still there after the deadline."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + patience_seconds
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _why_not_ready(gateway: GatewaySettings, exporter: ExporterSettings) -> str | None:
    """Why there is nothing to announce yet; None when the gateway serves and the exporter answers."""
    for name, url in (("gateway", f"{_url(gateway)}/ready"), ("exporter", f"{_url(exporter)}/health")):
        try:
            with urllib.request.urlopen(url, timeout=2):
                pass
        except urllib.error.HTTPError as error:
            # Behind tokens it keeps its state to itself: that it says so is all there is to know from here.
            if error.code != HTTPStatus.UNAUTHORIZED:
                return f"{name}: {_reasons(error)}"
        except OSError as error:
            return f"{name} does not answer: {error}"
    return None


def _reasons(error: urllib.error.HTTPError) -> str:
    """What a 503 of `/ready` says, or its status."""
    try:
        body = json.loads(error.read())
        return "; ".join(body["reasons"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"
    finally:
        error.close()


def _announce(gateway: GatewaySettings, exporter: ExporterSettings) -> None:
    places = {
        "Predictions": f"{_url(gateway)}/predict",
        "Models": f"{_url(gateway)}/models",
        "Drift reports": f"{_url(exporter)}/",
        "Metrics": f"{_url(exporter)}/metrics",
    }
    lines = [f"  {name + ':':<15}{url}" for name, url in places.items()]
    print("\n".join(["", "SentinelML runs. Ctrl-C stops it.", *lines, ""]), flush=True)


def _url(settings: GatewaySettings | ExporterSettings) -> str:
    # Listening on every address does not mean that every address can be visited.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy/run_local.py", description="Runs gateway, scheduler and exporter until Ctrl-C."
    )
    parser.add_argument("--interval", type=parse_interval, metavar="5m", help="time between drift runs")
    return parser


def _say(text: str) -> None:
    print(f"run: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
