"""Scheduled runs look at their interval, the last hour and the last day; the verdict is that of any of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from drift_engine.console import one_line
from drift_engine.results.schema import Result, Window
from drift_engine.results.store import encode_result
from drift_engine.run import Committed
from drift_engine.scales import onset_share, scales_of
from drift_engine.settings import MONTH_SECONDS, DriftSettings
from gateway.clock import utc_text
from tests.drift_engine.scenario import NOW, Scenario, rows

DAY = 86_400


def interval(seconds: float = 300.0) -> Window:
    """The window of a scheduled run that ends now."""
    return Window(utc_text(NOW - seconds), utc_text(NOW), "scheduled")


def scenario(tmp_path: Path) -> Scenario:
    """A model with a reference of 3,000 rows."""
    return Scenario(tmp_path).reference(rows(3000, 1))


def day(made: Scenario, **changes: Any) -> None:
    """6,000 rows over the 24 hours before now: 250 an hour, 21 in 5 minutes."""
    made.log(rows(6000, 2, **changes), start=NOW - DAY + 1, seconds=DAY - 2)


def judged(result: Result) -> dict[str, bool | None]:
    """What each scale says of the inputs."""
    return {name: scale["data_drift"] for name, scale in result.scales.items()}


def dearer(count: int, factor: float, seed: int) -> dict[str, list[Any]]:
    """Rows whose amount is larger; the answers are as before."""
    found = rows(count, seed)
    return found | {"amount": [factor * amount for amount in found["amount"]]}


def seen_by(committed: Committed) -> set[str]:
    """The scales that name `amount`."""
    return {name for name, scale in committed.result.scales.items() if "amount" in scale["drifted"]}


def test_every_scale_is_judged_and_counted(tmp_path: Path) -> None:
    """Without drift: 20 rows of an interval are too few, and the longer scales still give a verdict."""
    made = scenario(tmp_path)
    day(made)
    result = made.run(interval()).result
    assert result.outcome == "ok"
    assert judged(result) == {"interval": None, "hour": False, "day": False}
    counts = {name: scale["rows"] for name, scale in result.scales.items()}
    assert counts == {"interval": pytest.approx(20, abs=2), "hour": pytest.approx(250, abs=2), "day": 6000}
    assert result.scales["day"]["start"] == utc_text(NOW - DAY)
    assert {scale["end"] for scale in result.scales.values()} == {utc_text(NOW)}
    assert result.rows.read == counts["interval"]
    assert result.data_drift.detected is False


def test_a_small_shift_is_seen_in_a_day(tmp_path: Path) -> None:
    """The finding names the scale, and so do the console, the alerts and the report."""
    made = scenario(tmp_path)
    made.log(dearer(6000, 1.22, 2), start=NOW - DAY + 1, seconds=DAY - 2)
    committed = made.run(interval())
    result = committed.result
    assert seen_by(committed) == {"day"}
    finding = result.data_drift.columns[0]
    assert (finding.column, finding.scale, finding.rows) == ("amount", "day", 6000)
    assert result.data_drift.detected is True
    assert "1 of 5 columns moved in the last 24 hours (amount)" in one_line(committed)
    page = committed.report.read_text()
    assert "Time scales" in page
    assert "<b>in the last 24 hours</b>" in page


def test_a_large_shift_is_seen_at_once(tmp_path: Path) -> None:
    """300 rows of five minutes drown in the day before them, and not in their own interval."""
    made = scenario(tmp_path)
    day(made)
    made.log(dearer(300, 4.0, 3), start=NOW - 299, seconds=290)
    committed = made.run(interval())
    assert "interval" in seen_by(committed)
    assert committed.result.data_drift.columns[0].scale in ("interval", "hour")


def test_the_verdict_is_that_of_any_scale(tmp_path: Path) -> None:
    """Column by column: drifted exactly when a scale says so, with that scale's figures."""
    made = scenario(tmp_path)
    day(made, country=["it"] * 3000 + ["de"] * 3000)
    result = made.run(interval()).result
    named = {name for scale in result.scales.values() for name in scale["drifted"]}
    findings = (*result.data_drift.columns, *result.prediction_drift.findings)
    assert {finding.column for finding in findings if finding.detected} == named == {"country"}
    for finding in findings:
        assert (finding.column in result.scales[finding.scale]["drifted"]) == bool(finding.detected)


def test_the_same_inputs_give_the_same_scales(tmp_path: Path) -> None:
    """And all else in the result but what says when the run was."""
    made = scenario(tmp_path)
    day(made)
    results = [made.run(interval()).result for _ in range(2)]
    alike = [dataclasses.replace(found, run_id="", supersedes=None, duration_seconds=0.0) for found in results]
    assert encode_result(alike[0]) == encode_result(alike[1])


def test_an_ad_hoc_run_has_one_scale(tmp_path: Path) -> None:
    """Its window, with the whole budget of such a run."""
    made = scenario(tmp_path)
    day(made)
    result = made.run().result
    assert list(result.scales) == ["window"]
    assert result.scales["window"]["false_alarm_rate"] == 0.01
    assert {finding.scale for finding in result.data_drift.columns} == {"window"}


def test_too_few_rows_on_every_scale_is_not_enough_data(tmp_path: Path) -> None:
    """The reason counts the rows of the longest."""
    made = scenario(tmp_path)
    made.log(rows(30, 2), start=NOW - DAY + 1, seconds=DAY - 2)
    result = made.run(interval()).result
    assert (result.outcome, result.reason) == ("insufficient_data", "30 rows of 50 needed")
    assert judged(result) == {"interval": None, "hour": None, "day": None}


@pytest.mark.parametrize(
    ("seconds", "names"), [(300, ["interval", "hour", "day"]), (7200, ["interval", "day"]), (DAY, ["interval"])]
)
def test_a_scale_that_the_window_covers_is_left_out(seconds: float, names: list[str]) -> None:
    """After the scheduler was away its window is long itself."""
    assert [scale.name for scale in scales_of(interval(seconds), DriftSettings())] == names


@pytest.mark.parametrize(("seconds", "allowed"), [(60.0, 1.0), (300.0, 1.0), (300.0, 0.1), (3600.0, 4.0)])
def test_the_scales_share_the_monthly_budget(seconds: float, allowed: float) -> None:
    """False alarms that begin, summed over scales and runs, come to what was allowed."""
    settings = DriftSettings(interval_seconds=seconds, false_alarms_per_month=allowed, alpha=0.5)
    runs = MONTH_SECONDS / seconds
    lengths = {"interval": 1.0, "hour": 3600 / seconds, "day": DAY / seconds}
    scales = scales_of(interval(min(seconds, 3599)), settings)
    assert sum(scale.alpha * onset_share(lengths[scale.name]) for scale in scales) * runs == pytest.approx(allowed)
