"""A producer begins to send texts for a number: the gateway refuses, and the next drift run says what and how much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.browser import browser
from tests.models import COLUMNS, number_table, register_numbers
from tests.running import Place, exporter, gateway, request

pytestmark = pytest.mark.e2e

ANSWERED, REFUSED = 60, 90


def test_a_type_that_changed_at_the_producer_is_a_finding(tmp_path: Path) -> None:
    """In the terminal, the report, the metrics and the result, which is reproduced; the logs are intact."""
    place = Place(tmp_path)
    register_numbers(place.registry, tmp_path / "in")
    table = number_table(ANSWERED + REFUSED, seed=7)[COLUMNS]
    with gateway(place) as running:
        for number, row in enumerate(table.to_dict("records")):
            late = number >= ANSWERED
            body = row | {"x3": f"{row['x3']:.2f}".replace(".", ",")} if late else row
            assert request(place.gateway_port, "POST", "/predict", body).status == (422 if late else 200)
        assert running.stop() == 0
    run = place.run("-m", "drift_engine", "run")
    said = "90 requests refused: its value was of a wrong type; 90 of 150 rows asked for (60 %) got no answer for that"
    assert f"data quality, high: refused in x3: {said}" in " ".join(run.stdout.split()), run.stdout + run.stderr
    result = next(place.paths.reports.glob("*/*/*/result.json"))
    (finding,) = [item for item in json.loads(result.read_text())["data_quality"]["findings"] if item["column"] == "x3"]
    assert (finding["kind"], finding["count"], finding["share"]) == ("refused", REFUSED, 0.6)
    assert all("," in example for example in finding["examples"])
    for command in (
        ("drift_engine", "reproduce", result.parent.name),
        ("gateway.log", "seal"),
        ("gateway.log", "verify"),
    ):
        done = place.run("-m", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    with exporter(place), browser(tmp_path / "profile") as chromium:
        metrics = request(place.exporter_port, "GET", "/metrics").body.decode()
        labels = '{kind="refused",model_name="numbers",model_version="1"}'
        assert f"model_data_quality_severity{labels} 3.0" in metrics
        base = f"http://127.0.0.1:{place.exporter_port}"
        page = chromium.open(f"{base}/reports/numbers/1/{result.parent.name}/report.html")
        assert said in page.text
        page.screenshot(tmp_path / "report.png")
