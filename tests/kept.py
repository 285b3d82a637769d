"""Kept days, reviews and incidents for tests: complete ones, any part of which can be changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drift_engine.results.actions import Begun, Ended
from drift_engine.results.days import CONFIDENCE_BINS, DayRecord, DayStore, Losses, Review, ReviewRow
from drift_engine.results.incidents import Event, Incident, Incidents, IncidentStore
from drift_engine.results.quality import Confusion, Estimate, EstimateError, LabelCounts, Quantiles, Trend
from drift_engine.results.schema import Performance
from gateway.clock import utc_text
from gateway.registry import Metric
from tests.results import NOON, accuracy

DAY_SECONDS = 86_400.0
#: The day of `NOON`.
TODAY = "2026-11-20"


def day_before(days: int) -> str:
    """The UTC date so many days before that of `NOON`."""
    return datetime.fromtimestamp(NOON - days * DAY_SECONDS, UTC).date().isoformat()


def label_counts(predictions: int = 300, labelled: int = 200, **changes: Any) -> LabelCounts:
    """Labels that came within hours: one corrected, two said twice, three of other predictions."""
    values: dict[str, Any] = {
        "since": utc_text(NOON - DAY_SECONDS),
        "predictions": predictions,
        "labelled": labelled,
        "coverage": labelled / predictions if predictions else None,
        "received": labelled + 3,
        "repeated": 2,
        "corrected": 1,
        "elsewhere": 3,
        "orphaned": 1,
        "delay_seconds": Quantiles(60.0, 3_600.0, 7_200.0, 80_000.0, 90_000.0),
        "newest_received_at": utc_text(NOON - 600),
        "newest_age_seconds": 600.0,
    }
    return LabelCounts(**values | changes)


def estimate(value: float = 0.92, **changes: Any) -> Estimate:
    """An estimate of accuracy that was two points too high where labels have come."""
    values: dict[str, Any] = {
        "method": "cbpe",
        "reason": None,
        "rows": 300,
        "metrics": (Metric("accuracy", value, value - 0.03, value + 0.03, None, "bootstrap"),),
        "trusted": True,
        "caution": "An estimate cannot see concept drift.",
        "outside_support": 0.01,
        "back_test": (EstimateError("accuracy", None, 200, value, value - 0.02, 0.02, True),),
    }
    return Estimate(**values | changes)


def trend(**changes: Any) -> Trend:
    """A week two points worse than the one before, and declining."""
    values: dict[str, Any] = {
        "metric": "accuracy",
        "value_7d": 0.91,
        "lower_7d": 0.90,
        "upper_7d": 0.92,
        "value_previous_7d": 0.93,
        "change": -0.02,
        "p_value": 0.001,
        "rows_7d": 2_000,
        "rows_previous_7d": 2_100,
        "declining_days": 4,
        "declining": True,
        "sentence": "accuracy 0.910 over 7 days, 0.930 over the 7 days before; worse on each of the newest 4 days",
    }
    return Trend(**values | changes)


def confusion() -> Confusion:
    """Two classes, 200 rows, 182 right."""
    return Confusion(("0", "1"), ((160, 10), (8, 22)))


def day(number: int = 0, **changes: Any) -> DayRecord:
    """The record of the day `number` days before that of `NOON`: 1,000 predictions, most of them labelled."""
    value = 0.93 - 0.0005 * (90 - number)
    predictions, labelled = 1_000, 800 if number else 100
    bins = [0] * CONFIDENCE_BINS
    bins[55], bins[80], bins[99] = 100, 300, 600
    values: dict[str, Any] = {
        "model_name": "fraud",
        "model_version": "1",
        "day": day_before(number),
        "complete": number > 0,
        "revision": 1,
        "scored_at": utc_text(NOON - 600),
        "predictions": predictions,
        "classes": {"0": 900, "1": 100},
        "answers": None,
        "confidence_mean": 0.9,
        "confidence_counts": tuple(bins),
        "latency_counts": {200: 900, 250: 90, 300: 10},
        "labels": label_counts(predictions, labelled),
        "losses": Losses(labelled, labelled * (1 - value), labelled * (1 - value)),
        "performance": Performance("ok", None, labelled, labelled / predictions, (accuracy(value),), (accuracy(0.93),)),
        "estimated": estimate(),
        "inputs": (),
    }
    return DayRecord(**values | changes)


def review_row(number: int = 0, **changes: Any) -> ReviewRow:
    """The answer of confidence 0.5 and a little more, the larger `number` the surer and the later."""
    values: dict[str, Any] = {
        "timestamp": utc_text(NOON - 3_600 + number),
        "request_id": f"00000000-0000-4000-8000-{number:012x}",
        "instance": 0,
        "client_id": f"order-{number}",
        "prediction": "1" if number % 2 else "0",
        "confidence": 0.5 + number / 1_000,
        "label": None,
        "features": {"amount": 12.5 + number, "job": "clerk"},
    }
    return ReviewRow(**values | changes)


def review(*rows: ReviewRow, number: int = 0, **changes: Any) -> Review:
    """The rows of the day `number` days before that of `NOON`."""
    values: dict[str, Any] = {
        "model_name": "fraud",
        "model_version": "1",
        "day": day_before(number),
        "rows_of_day": len(rows),
        "rows": rows,
    }
    return Review(**values | changes)


def incident(alert: str = "performance", **changes: Any) -> Incident:
    """One that opened at noon of the day before and lasts."""
    values: dict[str, Any] = {
        "id": f"{alert}-1",
        "alert": alert,
        "subject": "",
        "state": "open",
        "severity": "high",
        "worst": "critical",
        "cause": "accuracy is 0.780, below 0.8 (baseline 0.930)",
        "first_seen_at": utc_text(NOON - DAY_SECONDS),
        "last_seen_at": utc_text(NOON),
        "opened_at": utc_text(NOON - DAY_SECONDS + 600),
        "resolved_at": None,
        "first_run_id": "20261119T120001.000000Z-0a1b2c",
        "last_run_id": "20261120T120001.000000Z-0a1b2c",
        "windows": 12,
        "history": (
            Event(utc_text(NOON - DAY_SECONDS + 600), "opened", "critical", "accuracy is 0.700", "a"),
            Event(utc_text(NOON - 600), "eased", "high", "accuracy is 0.780", "b"),
        ),
    }
    return Incident(**values | changes)


def resolved(alert: str = "data_drift", **changes: Any) -> Incident:
    """One that was over ten days ago."""
    values: dict[str, Any] = {
        "state": "resolved",
        "severity": "warning",
        "worst": "warning",
        "cause": "12 % of the columns drifted",
        "first_seen_at": utc_text(NOON - 14 * DAY_SECONDS),
        "last_seen_at": utc_text(NOON - 11 * DAY_SECONDS),
        "resolved_at": utc_text(NOON - 10 * DAY_SECONDS),
    }
    return incident(alert, **values | changes)


def incidents(*found: Incident, **changes: Any) -> Incidents:
    """Those of one model version as of noon."""
    values: dict[str, Any] = {
        "model_name": "fraud",
        "model_version": "1",
        "last_run_id": "20261120T120001.000000Z-0a1b2c",
        "last_window_end": utc_text(NOON),
        "incidents": found,
        "opened_total": len(found),
    }
    return Incidents(**values | changes)


def action(incident_id: str = "performance-1", **changes: Any) -> tuple[Begun, Ended]:
    """A command that failed, as it began and as it ended."""
    begun = Begun(utc_text(NOON), "command", incident_id, "make", "a-run", ("accuracy fell",))
    ended: dict[str, Any] = {"outcome": "failed", "code": 2, "detail": "exit code 2", "output": "no rows"}
    return begun, Ended(at=utc_text(NOON + 60), kind="command", incident=incident_id, **ended | changes)


def keep_days(reports: Path, *records: DayRecord) -> None:
    """Write days as the drift engine does, without reviews."""
    for record in records:
        DayStore(reports).write(record, None)


def keep_review(reports: Path, reviewed: Review) -> None:
    """Write a day of so many predictions, with its review, as the drift engine does."""
    names = {"model_name": reviewed.model_name, "model_version": reviewed.model_version}
    DayStore(reports).write(day(0, day=reviewed.day, predictions=reviewed.rows_of_day, **names), reviewed)


def keep_incidents(reports: Path, found: Incidents) -> None:
    """Write incidents as the drift engine does."""
    IncidentStore(reports).write(found)
