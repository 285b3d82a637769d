"""`deploy/run_local.py` with the real processes."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.run_local import Child
from gateway import heartbeat
from tests.exporter.site import Site
from tests.processes import children, is_gone
from tests.tools import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty installation."""
    return Site.at(tmp_path)


@dataclass(frozen=True)
class Running:
    """A supervisor with its children, and where they listen."""

    process: subprocess.Popen[str]
    gateway: str
    exporter: str
    output: Path

    def children(self) -> dict[str, int]:
        """Process ids of the children by name."""
        found = {}
        for pid in children(self.process.pid):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            for name in ("gateway", "exporter", "scheduler"):
                if name in command:
                    found[name] = pid
        return found


def environment(site: Site, gateway: int, exporter: int) -> dict[str, str]:
    """The environment of an installation of its own."""
    paths = site.paths
    return os.environ | {
        "SENTINEL_PATHS_DATA": str(paths.data),
        "SENTINEL_PATHS_MODELS": str(paths.models),
        "SENTINEL_PATHS_REPORTS": str(paths.reports),
        "SENTINEL_PATHS_METRICS": str(paths.metrics),
        "SENTINEL_GATEWAY_PORT": str(gateway),
        "SENTINEL_EXPORTER_PORT": str(exporter),
        "SENTINEL_GATEWAY_WORKERS": "1",
    }


@contextmanager
def run_local(site: Site, tmp_path: Path, terminal: int | None = None) -> Iterator[Running]:
    """The supervisor, stopped at the end at the latest, with everything it started; it writes to `terminal` if any."""
    gateway, exporter = free_port(), free_port()
    output = tmp_path / "output"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "deploy/run_local.py", "--interval", "1h"],
            cwd=ROOT, env=environment(site, gateway, exporter), text=True,
            stdout=stream if terminal is None else terminal, stderr=stream if terminal is None else terminal,
        )  # fmt: skip
    running = Running(process, f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{exporter}", output)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def answers(url: str) -> bool:
    """Whether something answers there with 200."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)


@pytest.mark.e2e
def test_all_three_start_survive_a_kill_and_stop_on_ctrl_c(site: Site, tmp_path: Path) -> None:
    """A killed process comes back and the others never left; SIGINT stops everything, with exit code 0."""
    with run_local(site, tmp_path) as running:
        wait_until(lambda: answers(f"{running.gateway}/health"), 30, "the gateway")
        wait_until(lambda: answers(f"{running.exporter}/health"), 30, "the exporter")
        wait_until(lambda: "scheduler" in heartbeat.read_all(site.paths.state), 30, "the scheduler")
        wait_until(lambda: len(running.children()) == 3, 10, "three children")
        before = running.children()
        os.kill(before["exporter"], signal.SIGKILL)
        wait_until(
            lambda: running.children().get("exporter", before["exporter"]) != before["exporter"], 20, "a new one"
        )
        wait_until(lambda: answers(f"{running.exporter}/health"), 20, "the new exporter to answer")
        after = running.children()
        assert {name: after[name] for name in ("gateway", "scheduler")} == {
            name: before[name] for name in ("gateway", "scheduler")
        }
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(45) == 0
        assert all(is_gone(pid) for pid in after.values())
    said = running.output.read_text()
    assert "exporter ended with exit code -9; starts again in 1 s" in said
    assert said.rstrip().endswith("run: stopped")


def wait_for_all(running: Running, site: Site) -> dict[str, int]:
    """Wait until all three work; their process ids, and those of the gateway's workers."""
    wait_until(lambda: answers(f"{running.gateway}/health"), 30, "the gateway")
    wait_until(lambda: answers(f"{running.exporter}/health"), 30, "the exporter")
    wait_until(lambda: "scheduler" in heartbeat.read_all(site.paths.state), 30, "the scheduler")
    found = running.children()
    assert len(found) == 3
    return found | {f"worker {pid}": pid for pid in children(found["gateway"])}


@pytest.mark.e2e
def test_a_killed_supervisor_leaves_no_orphans(site: Site, tmp_path: Path) -> None:
    """The kernel tells the children, which stop in good order: the ports and the lock are free again."""
    with run_local(site, tmp_path) as running:
        pids = wait_for_all(running, site)
        running.process.kill()
        running.process.wait(10)
        wait_until(lambda: all(is_gone(pid) for pid in pids.values()), 45, "all processes to go")
    assert "scheduler" not in heartbeat.read_all(site.paths.state)


@pytest.mark.e2e
def test_a_closed_terminal_stops_everything(site: Site, tmp_path: Path) -> None:
    """SIGHUP is an orderly stop, although nothing can be written any more: exit code 0, no child left."""
    ours, theirs = pty.openpty()
    with run_local(site, tmp_path, theirs) as running:
        pids = wait_for_all(running, site)
        os.close(theirs)
        os.close(ours)
        running.process.send_signal(signal.SIGHUP)
        assert running.process.wait(45) == 0
        assert all(is_gone(pid) for pid in pids.values())


def test_a_second_start_says_that_the_port_is_taken(site: Site) -> None:
    """One plain sentence that names the remedy, exit code 1, and nothing is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = subprocess.run(
            [sys.executable, "deploy/run_local.py"],
            cwd=ROOT, env=environment(site, taken.getsockname()[1], free_port()),
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert refused.returncode == 1
    assert "Does SentinelML run already?" in refused.stderr
    assert "SENTINEL_GATEWAY_PORT" in refused.stderr
    assert not site.paths.state.exists()


@pytest.mark.parametrize("wrong", [("--interval", "soon"), ("--nonsense",)])
def test_wrong_arguments_start_nothing(wrong: tuple[str, ...]) -> None:
    """Exit code 2 with the usage."""
    command = [sys.executable, "deploy/run_local.py", *wrong]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 2
    assert "usage" in refused.stderr


def test_a_child_that_dies_at_once_is_started_less_and_less_often() -> None:
    """1, 2, 4, 8, 16, 30, 30 seconds: no spinning, and no giving up. One that had settled begins again at 1."""
    child = Child("false", (sys.executable, "-c", "raise SystemExit(3)"))
    now, pauses = 0.0, []
    for _ in range(7):
        start_and_die(child, now)
        child.tend(now)
        pauses.append(child.start_at - now)
        child.tend(child.start_at - 0.01)
        assert not is_started(child)
        now = child.start_at
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    start_and_die(child, now)
    child.tend(now + 61)
    assert child.start_at == now + 61 + 1


def is_started(child: Child) -> bool:
    """Whether it has a process."""
    return child.process is not None


def start_and_die(child: Child, now: float) -> None:
    """Start the child, which is due, and wait for its death."""
    child.tend(now)
    assert child.process is not None
    child.process.wait(20)


def test_a_child_that_runs_is_left_alone() -> None:
    """Tending a healthy process does nothing."""
    child = Child("sleep", (sys.executable, "-c", "import time; time.sleep(60)"))
    child.tend(time.monotonic())
    process = child.process
    assert process is not None
    try:
        child.tend(time.monotonic())
        assert child.process is process
    finally:
        process.kill()
        process.wait()
