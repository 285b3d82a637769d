"""What one run says to incidents: what it could tell of, and what it saw. Several alerts are signs of one matter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, get_args

from drift_engine.results.schema import Alert, ColumnFinding, Result, Severity

#: What each alert is a sign of. One person looks into a matter once, whichever of its signs come first.
MATTERS = {
    "column_drift": "data_drift",
    "drifted_columns": "data_drift",
    "data_drift_score": "data_drift",
    "prediction_drift": "prediction_drift",
    "concept_drift": "performance",
    "performance": "performance",
    "performance_trend": "performance",
    "estimated_performance": "estimated_performance",
}
#: Alerts that are about one column or answer, which may be an incident of its own.
_SINGLE = frozenset({"column_drift", "prediction_drift"})
_ORDER = get_args(Severity)


class Topic(NamedTuple):
    """What an incident may be about: a matter, and the one column or answer, or "" for the whole model."""

    matter: str
    subject: str


@dataclass(frozen=True)
class Observation:
    """One window.

    Attributes:
        seen: the gravest alert on each topic, of those graded warning or above: a notice calls nobody.
        told: topics of which the window could tell whether there was anything to see, those of `seen` among them.
    """

    seen: dict[Topic, Alert]
    told: frozenset[Topic]


def observe(result: Result) -> Observation:
    """What a run saw. A failed run, or one without enough data, tells nothing."""
    seen: dict[Topic, Alert] = {}
    for alert in result.alerts:
        matter = MATTERS.get(alert.name)
        if matter is None or grade(alert.severity) < grade("warning"):
            continue
        topic = Topic(matter, alert.subject if alert.name in _SINGLE else "")
        if topic not in seen or grade(alert.severity) > grade(seen[topic].severity):
            seen[topic] = alert
    return Observation(seen, frozenset(seen) | frozenset(_told(result)))


def grade(severity: Severity) -> int:
    """A severity as a number: 0 none, 1 notice, 2 warning, 3 high, 4 critical."""
    return _ORDER.index(severity)


def gravest(severities: Iterable[Severity]) -> Severity:
    """Of several; "none" of none."""
    return max(severities, key=grade, default="none")


def _told(result: Result) -> Iterable[Topic]:
    if result.outcome == "failed":
        return
    yield from _told_of("data_drift", result.data_drift.detected, result.data_drift.columns)
    yield from _told_of("prediction_drift", result.prediction_drift.detected, result.prediction_drift.findings)
    # A trend alone says that quality declines; that it is right again, only labelled rows of now can tell.
    if result.concept_drift.detected is not None:
        yield Topic("performance", "")
    if result.estimated is not None and result.estimated.trusted and result.estimated.metrics:
        yield Topic("estimated_performance", "")


def _told_of(matter: str, verdict: bool | None, findings: tuple[ColumnFinding, ...]) -> Iterable[Topic]:
    if verdict is not None:
        yield Topic(matter, "")
    yield from (Topic(matter, finding.column) for finding in findings if finding.detected is not None)
