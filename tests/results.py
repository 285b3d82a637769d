"""Run results for tests: a complete one, any part of which can be changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from drift_engine.results import Result, ResultStore
from drift_engine.results.schema import (
    Check,
    ColumnFinding,
    ConceptDrift,
    DataDrift,
    DataQuality,
    Performance,
    PredictionDrift,
    Retraining,
    Rows,
    Window,
)
from drift_engine.results.store import encode_result
from gateway.clock import parse_utc, utc_text
from gateway.registry import Metric

#: 2026-11-20T12:00:00Z
NOON = 1_795_176_000.0


def finding(column: str = "amount", score: float = 0.01, threshold: float = 0.05, **changes: Any) -> ColumnFinding:
    """One column's finding; it drifted exactly if `score` is above `threshold`."""
    detected = score > threshold
    ratio = score / threshold
    values: dict[str, Any] = {
        "column": column,
        "type": "number",
        "rows": 300,
        "missing": 0,
        "weight": 0.5,
        "checks": (Check("shape", "psi", score, threshold, ratio, detected),),
        "drift_ratio": ratio,
        "detected": detected,
        "severity": "high" if detected else "none",
        "kind": "shift" if detected else "",
        "sentence": f"PSI {score:g}, allowed {threshold:g}.",
    }
    return ColumnFinding(**values | changes)


def data_drift(*findings: ColumnFinding, **changes: Any) -> DataDrift:
    """The inputs' verdict that follows from `findings` (by default two columns that did not move)."""
    columns = findings or (finding("amount"), finding("age"))
    drifted = sum(bool(column.detected) for column in columns)
    values: dict[str, Any] = {
        "detected": drifted > 0,
        "method": "psi",
        "score": 0.31 if drifted else 0.004,
        "threshold": 0.1,
        "false_alarm_rate": 0.01,
        "columns_tested": len(columns),
        "columns_drifted": drifted,
        "drifted_ratio": drifted / len(columns),
        "columns": columns,
    }
    return DataDrift(**values | changes)


def accuracy(value: float, average: str | None = None) -> Metric:
    """An accuracy with an interval of two points each way."""
    return Metric("accuracy", value, value - 0.02, value + 0.02, average, "wilson")


def result(**changes: Any) -> Result:
    """A run on 300 rows that ended at noon, found no drift and had 200 labels. `changes` replace its fields."""
    values: dict[str, Any] = {
        "run_id": "20261120T120001.000000Z-0a1b2c",
        "model_name": "fraud",
        "model_version": "1",
        "outcome": "ok",
        "reason": None,
        "window": Window(utc_text(NOON - 300), utc_text(NOON), "scheduled"),
        "rows": Rows(read=300, dropped={}, corrupt=0, reference=5000),
        "data_drift": data_drift(),
        "prediction_drift": PredictionDrift(False, 0.01, ()),
        "performance": Performance("ok", None, 200, 2 / 3, (accuracy(0.91),), (accuracy(0.93),)),
        "concept_drift": ConceptDrift(
            False, "none", "accuracy", 2.15, -0.5, 4.8, 5.0, 0.2, "accuracy 0.910, baseline 0.930"
        ),
        "alerts": (),
        "retraining": Retraining("none", ()),
        "inputs": (),
        "reference_sha256": "0" * 64,
        "config": {},
        "libraries": {},
        "seed": 1,
        "started_at": utc_text(NOON + 1),
        "finished_at": utc_text(NOON + 3),
        "duration_seconds": 2.0,
        "data_quality": DataQuality(),
    }
    return Result(**values | changes)


def drifted(**changes: Any) -> Result:
    """Like `result`, with one of two columns moved and retraining recommended."""
    values: dict[str, Any] = {
        "data_drift": data_drift(finding("amount", 0.4), finding("age")),
        "prediction_drift": PredictionDrift(True, 0.01, ()),
        "retraining": Retraining("recommended", ("amount moved",)),
    }
    return result(**values | changes)


def insufficient(**changes: Any) -> Result:
    """A run that found 12 rows: no verdict on anything."""
    values: dict[str, Any] = {
        "outcome": "insufficient_data",
        "reason": "12 rows of the 50 needed",
        "rows": Rows(read=12, dropped={}, corrupt=0, reference=5000),
        "data_drift": data_drift(
            detected=None, score=None, columns_tested=0, columns_drifted=0, drifted_ratio=None, columns=()
        ),
        "prediction_drift": PredictionDrift(None, 0.01, ()),
        "performance": Performance("insufficient_data", "no labels", 0, 0.0, (), (accuracy(0.93),)),
        "concept_drift": ConceptDrift(None, "none", None, None, None, None, 5.0, None, "no labels yet"),
        "retraining": Retraining("unknown", ()),
    }
    return result(**values | changes)


def failed(**changes: Any) -> Result:
    """A run that could not read its reference."""
    values: dict[str, Any] = {"outcome": "failed", "reason": "the reference is damaged", "data_quality": None}
    return insufficient(**values | changes)


def later(run: Result, seconds: float, number: int = 2) -> Result:
    """The same run again, `seconds` later."""

    def shifted(text: str) -> str:
        return utc_text(parse_utc(text) + seconds)

    return dataclasses.replace(
        run,
        run_id=f"{shifted(run.started_at).replace('-', '').replace(':', '')}-{number:06x}",
        window=Window(shifted(run.window.start), shifted(run.window.end), run.window.kind),
        started_at=shifted(run.started_at),
        finished_at=shifted(run.finished_at),
    )


def commit(reports: Path, run: Result, html: bytes = b"<!doctype html><title>report</title>") -> Path:
    """Commit `run` as the drift engine does, at its own finishing time."""
    return ResultStore(reports).commit(run, html, parse_utc(run.finished_at))


def encode(run: Result) -> bytes:
    """The bytes of a result, for tests that damage them."""
    return encode_result(run)
