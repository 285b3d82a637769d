"""A real exporter process for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.exporter.site import Site
from tests.tools import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunningExporter:
    """Where it listens, and its process."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> bytes:
        """The body of a page."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return bytes(answer.read())


def environment(site: Site, port: int, **more: str) -> dict[str, str]:
    """The environment of an exporter of `site`."""
    paths = site.paths
    return os.environ | {
        "SENTINEL_PATHS_DATA": str(paths.data),
        "SENTINEL_PATHS_MODELS": str(paths.models),
        "SENTINEL_PATHS_REPORTS": str(paths.reports),
        "SENTINEL_PATHS_METRICS": str(paths.metrics),
        "SENTINEL_EXPORTER_PORT": str(port),
        **more,
    }


@contextmanager
def exporter(
    site: Site, command: tuple[str, ...] = ("-m", "exporter"), *, complaint: str = "", **more: str
) -> Iterator[RunningExporter]:
    """An exporter of `site`, answering; on SIGTERM it must end with 0, having said no more than `complaint`."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment(site, port, **more), stderr=subprocess.PIPE, text=True
    )
    running = RunningExporter(port, process)
    try:
        wait_until(lambda: running.get("/health"), 20, "the exporter to answer")
        yield running
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert complaint in errors if complaint else errors == ""
    finally:
        process.kill()
        process.communicate()
