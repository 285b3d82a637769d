"""A real Prometheus scrapes a real exporter and answers queries."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import heartbeat, metrics_folder
from gateway.log import outcomes
from tests import kept, results
from tests.exporter.running import ROOT, exporter
from tests.exporter.site import Site
from tests.exporter.test_metrics_folder import work
from tests.gateway.log.sealed import seal_all, write_segment
from tests.results import NOON
from tests.tools import free_port, require_tool, wait_until


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """Prometheus with the project's own configuration, but for the ports and the pace; its address."""
    config = (ROOT / "deploy" / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:9108", f"127.0.0.1:{target}").replace("15s", "1s")
    (folder / "prometheus.yml").write_text(config)
    (folder / "alerts.yml").write_text((ROOT / "deploy" / "alerts.yml").read_text())
    address = f"127.0.0.1:{free_port()}"
    command = [
        require_tool("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def ask(base: str, path: str, **parameters: str) -> Any:
    """The data of an answer of Prometheus's API."""
    with urllib.request.urlopen(f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


@pytest.mark.e2e
def test_prometheus_scrapes_the_exporter_answers_queries_and_raises_the_alert(site: Site, tmp_path: Path) -> None:
    """Verdicts, times, the gateway's histograms and an alert arrive as they should."""
    site.commit(results.drifted())
    site.serve(fraud="1")
    metrics_folder.prepare(site.paths.gateway_metrics)
    work(site.paths.gateway_metrics, 7)
    heartbeat.write(site.paths.state, "gateway", NOON)
    with exporter(site) as running, prometheus(tmp_path, running.port) as base:

        def value(query: str) -> float:
            (found,) = ask(base, "query", query=query)["result"]
            return float(found["value"][1])

        wait_until(lambda: value('up{job="sentinelml"}') == 1, 30, "the first scrape")
        assert value('model_data_drift_detected{model_name="fraud", model_version="1"}') == 1
        assert value('model_feature_drift_score{feature="amount", method="psi"}') == 0.4
        assert value("model_drift_run_timestamp_seconds") == NOON + 3
        assert value("model_predictions_total") == 7
        assert value('sentinel_heartbeat_timestamp_seconds{process="gateway"}') == NOON
        assert 0.002 < value("histogram_quantile(0.5, model_inference_duration_seconds_bucket)") <= 0.005
        (target,) = ask(base, "targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")

        def firing() -> set[str]:
            return {
                alert["labels"]["alertname"] for alert in ask(base, "alerts")["alerts"] if alert["state"] == "firing"
            }

        wait_until(lambda: {"ModelDataDrift", "ModelPredictionDrift"} <= firing(), 30, "the drift alerts")


def test_the_alerts_ask_for_metrics_that_exist(site: Site) -> None:
    """A rule on a misspelt name never fires and never complains."""
    concept = dataclasses.replace(results.result().concept_drift, trend=kept.trend())
    quality = {"labels": kept.label_counts(), "estimated": kept.estimate(), "concept_drift": concept}
    site.commit(results.drifted(**quality), b"")
    kept.keep_days(site.paths.reports, kept.day())
    kept.keep_incidents(site.paths.reports, kept.incidents())
    site.serve(fraud="1")
    heartbeat.write(site.paths.state, "gateway", NOON)
    metrics_folder.prepare(site.paths.gateway_metrics)
    write_segment(site.paths.live, 1)
    seal_all(site.paths.live)
    outcomes.record(site.paths.state, "seal", NOON, succeeded=True)
    with exporter(site) as running:
        shown = set(re.findall(r"^# TYPE (\w+) ", running.get("/metrics").decode(), re.MULTILINE))
    gateway = {
        spec.name
        for spec in (
            metrics_folder.PREDICTIONS,
            metrics_folder.PREDICTION_ERRORS,
            metrics_folder.INFERENCE_SECONDS,
            metrics_folder.LOAD_FAILURES,
        )
    }
    known = shown | gateway | {f"{name}{end}" for name in gateway for end in ("_bucket", "_count")}
    rules = (ROOT / "deploy" / "alerts.yml").read_text()
    rules = re.sub(r'#.*|error_type=~"[^"]*"', "", rules)
    asked = set(re.findall(r"\b(?:model|sentinel)_\w+", rules)) - {"model_name", "model_version"}
    assert asked
    assert asked <= known
