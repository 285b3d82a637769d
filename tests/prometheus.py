"""A real Prometheus with the project's own scrape configuration, on a port of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.running import ROOT, request
from tests.tools import free_port, require_tool, wait_until


@dataclass(frozen=True)
class Prometheus:
    """A running server: ask it with PromQL."""

    port: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression: each {"metric": labels, "value": [time, text]}."""
        answer = request(self.port, "GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        found: list[dict[str, Any]] = json.loads(answer.body)["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        """The value of an expression with one series; None while there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None


@contextlib.contextmanager
def prometheus(folder: Path, exporter_port: int) -> Iterator[Prometheus]:
    """Prometheus with deploy/prometheus.yml and its rules, scraping the exporter at `exporter_port` every second."""
    program = require_tool("prometheus")
    folder.mkdir(parents=True)
    config = (ROOT / "deploy" / "prometheus.yml").read_text()
    for default, ours in (("127.0.0.1:9108", f"127.0.0.1:{exporter_port}"), ("15s", "1s"), ("10s", "1s")):
        config = config.replace(default, ours)
    (folder / "prometheus.yml").write_text(config)
    for rules in (ROOT / "deploy").glob("alerts.yml"):
        (folder / rules.name).write_text(rules.read_text())
    port = free_port()
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: request(port, "GET", "/-/ready").status == 200, 30, "Prometheus to be ready")
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(30)
