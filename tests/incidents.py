"""Runs of a scheduler for tests of incidents: one window after another, with the alerts that each saw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from drift_engine.incidents.fold import fold
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.results import Result
from drift_engine.results.incidents import Incidents
from drift_engine.results.schema import Alert, ConceptDrift, PredictionDrift, Severity, Window
from drift_engine.results.store import run_time
from gateway.clock import utc_text
from tests.results import NOON, data_drift, finding, insufficient, result

STEP = 300.0
COLUMNS = tuple(f"c{number:02}" for number in range(24))
ANSWERS = ("prediction", "confidence", "probability of a", "probability of b")
#: Quality that was judged and has not dropped.
HEALTHY = ConceptDrift(False, "none", "accuracy", 1.0, -1.0, 3.0, 5.0, 0.2, "accuracy fell by 1.0 % of the baseline")


def column(name: str = "c00", severity: Severity = "warning", note: str = "") -> Alert:
    """An alert on an input."""
    return Alert("column_drift", severity, f"{name}: median 1 -> 2{note}", name)


def columns(count: int, severity: Severity = "warning") -> list[Alert]:
    """Alerts on several inputs, and the one that so many raise together."""
    found = [column(name, severity) for name in COLUMNS[:count]]
    return [*found, Alert("drifted_columns", "high", f"{count} of {len(COLUMNS)} columns drifted")]


def answer(name: str = "prediction", severity: Severity = "warning") -> Alert:
    """An alert on an answer."""
    return Alert("prediction_drift", severity, f'{name}: "1" 4 % -> 9 %', name)


def quality(severity: Severity = "warning") -> Alert:
    """An alert on quality."""
    return Alert("concept_drift", severity, "accuracy fell by 20.1 % of the baseline")


def run(number: int, *alerts: Alert, **changes: Any) -> Result:
    """The scheduled run of the window of that number; everything could be told."""
    start = NOON + number * STEP
    values: dict[str, Any] = {
        "run_id": f"{run_time(start + STEP + 11)}-{number % 2**24:06x}",
        "window": Window(utc_text(start), utc_text(start + STEP), "scheduled"),
        "data_drift": data_drift(*(finding(name) for name in COLUMNS)),
        "prediction_drift": PredictionDrift(False, 0.01, tuple(finding(name) for name in ANSWERS)),
        "concept_drift": HEALTHY,
        "alerts": tuple(alerts),
        "started_at": utc_text(start + STEP + 11),
        "finished_at": utc_text(start + STEP + 12),
    }
    return result(**values | changes)


def blind(number: int) -> Result:
    """The run of a window with too few rows for a verdict."""
    of = run(number)
    return insufficient(run_id=of.run_id, window=of.window, started_at=of.started_at, finished_at=of.finished_at)


def folded(results: Iterable[Result], rules: IncidentSettings | None = None) -> Incidents:
    """What several runs come to."""
    state: Incidents | None = None
    for item in results:
        state = fold(state, item, rules or IncidentSettings())
    assert state is not None
    return state


def sequence(alerts: Sequence[Sequence[Alert]], first: int = 0) -> list[Result]:
    """One run after another, with these alerts each."""
    return [run(first + number, *found) for number, found in enumerate(alerts)]
