"""Alerts and the retraining decision follow from findings by plain rules."""

from __future__ import annotations

import dataclasses
from typing import Any

from drift_engine.alerts import decide_retraining, raise_alerts
from drift_engine.results.schema import Alert, ConceptDrift, DataDrift, Performance, PredictionDrift, Severity
from gateway.registry import Metric
from tests.results import data_drift, finding

NO_ANSWERS = PredictionDrift(False, 0.002, ())
NO_LABELS = Performance("insufficient_data", "0 labelled rows of 100 needed", 0, 0.0, (), ())
UNKNOWN = ConceptDrift(None, "none", None, None, None, None, 5.0, None, "0 labelled rows of 100 needed")
HEALTHY = ConceptDrift(False, "none", "accuracy", 1.0, -1.0, 3.0, 5.0, 0.2, "accuracy fell by 1 %")


def alerts(
    data: DataDrift | None = None, performance: Performance = NO_LABELS, concept: ConceptDrift = UNKNOWN
) -> tuple[Alert, ...]:
    """The alerts of a run whose other parts raise none."""
    return raise_alerts(data or data_drift(), NO_ANSWERS, performance, concept)


def accuracy(value: float, upper: float) -> Performance:
    """A measured accuracy against a baseline of 0.9."""
    return Performance(
        "ok", None, 500, 1.0, (Metric("accuracy", value, None, upper),), (Metric("accuracy", 0.9, None, None),)
    )


def concept(severity: Severity, drop: float) -> ConceptDrift:
    """A drop that was detected."""
    return dataclasses.replace(HEALTHY, detected=True, severity=severity, drop_percent=drop, reason="accuracy fell")


def test_no_drift_raises_nothing() -> None:
    """And the decision is none, with quality unknown said so."""
    assert alerts() == ()
    decision = decide_retraining(data_drift(), NO_ANSWERS, UNKNOWN, ())
    assert decision.decision == "none"
    assert "quality is unknown" in decision.reasons[0]
    assert decide_retraining(data_drift(), NO_ANSWERS, HEALTHY, ()).decision == "none"


def test_the_share_of_drifted_columns_is_graded() -> None:
    """Over 10 % of the columns is a warning, over 20 % high."""

    def grade(drifted: int) -> Severity:
        columns = [
            finding(f"c{number}", score=0.06 if number < drifted else 0.01, severity="notice") for number in range(20)
        ]
        return next(a for a in alerts(data_drift(*columns, score=0.01)) if a.name == "drifted_columns").severity

    assert [grade(drifted) for drifted in (1, 2, 3, 4, 5)] == ["notice", "notice", "warning", "warning", "high"]


def test_an_absolute_line_counts_only_where_the_baseline_clears_it() -> None:
    """And only when the whole interval lies under it."""
    assert [alert.severity for alert in alerts(performance=accuracy(0.70, 0.75))] == ["high"]
    assert [alert.severity for alert in alerts(performance=accuracy(0.82, 0.84))] == ["warning"]
    assert alerts(performance=accuracy(0.82, 0.86)) == ()
    weak = dataclasses.replace(accuracy(0.6, 0.65), baseline=(Metric("accuracy", 0.7, None, None),))
    assert alerts(performance=weak) == ()


def test_retraining_is_recommended_on_a_critical_alert_or_a_tenth_lost() -> None:
    """Lesser alerts are watched."""
    for drift, decision in (
        (concept("critical", 8.0), "recommended"),
        (concept("warning", 12.0), "recommended"),
        (concept("warning", 7.0), "watch"),
    ):
        raised = alerts(concept=drift)
        assert decide_retraining(data_drift(), NO_ANSWERS, drift, raised).decision == decision


def test_nothing_known_is_unknown() -> None:
    """Not "none"."""
    nothing = dataclasses.replace(data_drift(), detected=None)
    answers = PredictionDrift(None, 0.002, ())
    assert decide_retraining(nothing, answers, UNKNOWN, ()).decision == "unknown"


def test_the_gravest_alert_comes_first() -> None:
    """Whatever raised it."""
    columns = [finding("a", score=0.3), finding("b")]
    raised = alerts(data_drift(*columns), concept=concept("critical", 20.0))
    order = ["none", "notice", "warning", "high", "critical"]
    grades = [order.index(alert.severity) for alert in raised]
    assert grades == sorted(grades, reverse=True)
    assert raised[0].name == "concept_drift"


def gravest(data: DataDrift, **others: Any) -> Severity:
    """Of the alerts that the inputs raise."""
    found = [alert for alert in alerts(data, **others) if alert.name in ("column_drift", "drifted_columns")]
    return found[0].severity


def many(weight: float = 0.05, score: float = 0.02) -> DataDrift:
    """5 of 20 columns drifted far, the first of which has a weight of its own; the data set's score is low."""
    columns = [finding(f"c{number}", score=0.3 if number < 5 else 0.01, weight=0.05) for number in range(20)]
    columns[0] = dataclasses.replace(columns[0], weight=weight)
    return data_drift(*columns, score=score)


def test_inputs_that_drift_without_harm_are_a_notice() -> None:
    """However far; one that weighs much, the drift score, the answers or the quality make it what it is."""
    assert gravest(many()) == "notice"
    assert gravest(many(weight=0.1)) == "high"
    assert gravest(many(score=0.11)) == "high"
    assert gravest(many(), concept=concept("warning", 7.0)) == "high"
    assert gravest(many(), performance=accuracy(0.70, 0.75)) == "high"
    answers = PredictionDrift(True, 0.002, (finding("prediction", 0.3),))
    raised = raise_alerts(many(), answers, NO_LABELS, UNKNOWN)
    assert {alert.severity for alert in raised} == {"high"}


def test_a_light_column_stays_a_notice_beside_a_heavy_one() -> None:
    """Each column is graded by its own weight."""
    raised = {alert.cause.partition(":")[0]: alert.severity for alert in alerts(many(weight=0.1))}
    assert (raised["c0"], raised["c1"]) == ("high", "notice")
