"""The dashboard asks for series that exist, in queries that Prometheus can read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter.families import model_gauges
from exporter.quality_gauges import PERFORMANCE
from tests import kept, results
from tests.deploy.test_alerts import DEPLOY
from tests.exporter.site import Site
from tests.exporter.test_api_history import rich
from tests.tools import require_tool


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    """What the command prints."""
    made = subprocess.run([sys.executable, DEPLOY / "grafana.py"], capture_output=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def queries(dashboard: dict[str, Any]) -> list[str]:
    """All queries of all panels."""
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def test_every_query_can_be_read_by_prometheus(dashboard: dict[str, Any], tmp_path: Path) -> None:
    """As the expressions of rules: promtool knows the language."""
    expressions = [query.replace("$model", "m") for query in queries(dashboard)]
    rules = [{"record": f"q{number}", "expr": expression} for number, expression in enumerate(expressions)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run([require_tool("promtool"), "check", "rules", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_series_exists(dashboard: dict[str, Any], tmp_path: Path) -> None:
    """A dashboard whose names are misspelt is empty, and looks like health."""
    site = Site.at(tmp_path)
    site.serve(baseline=(results.accuracy(0.9),), fraud="1")
    site.commit(rich())
    kept.keep_days(site.paths.reports, kept.day(0))
    kept.keep_incidents(site.paths.reports, kept.incidents())
    known = {family.name for family in model_gauges(site.sources().models())}
    kinds = ("", "baseline_", "estimated_", "window_")
    known |= {name.replace("model_", f"model_{kind}", 1) for name, _ in PERFORMANCE.values() for kind in kinds}
    gateway = {"model_predictions_total", "model_inference_duration_seconds_bucket", "model_prediction_errors_total"}
    asked = {name for query in queries(dashboard) for name in re.findall(r"\bmodel_\w+(?=\{)", query)}
    assert asked - known - gateway == set()
    assert len(asked) > 30


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    """Each has its own place within 24 columns, and its own number."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
