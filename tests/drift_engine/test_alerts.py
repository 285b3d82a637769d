"""Alerts follow from findings by plain rules."""

from __future__ import annotations

import dataclasses
from typing import Any

from drift_engine.alerts import estimated_drop, raise_alerts
from drift_engine.results.quality import Estimate, Trend
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
    """Whether or not quality is known."""
    assert alerts() == ()
    assert alerts(concept=HEALTHY) == ()


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


def test_every_alert_says_what_it_is_about() -> None:
    """Its column, answer or figure, however its cause is worded; "" is the whole model."""
    answers = PredictionDrift(True, 0.002, (finding("confidence", 0.3),))
    raised = raise_alerts(many(weight=0.5, score=0.2), answers, accuracy(0.70, 0.75), concept("critical", 20.0))
    assert {(alert.name, alert.subject) for alert in raised} >= {
        ("column_drift", "c0"),
        ("column_drift", "c4"),
        ("prediction_drift", "confidence"),
        ("performance", "accuracy"),
        ("concept_drift", ""),
        ("drifted_columns", ""),
        ("data_drift_score", ""),
    }


def estimate(value: float, half: float = 0.01, *, trusted: bool = True, name: str = "accuracy") -> Estimate:
    """An estimated figure with its interval."""
    figure = Metric(name, value, value - half, value + half)
    return Estimate("cbpe", None, 3000, (figure,), trusted, "blind to concept drift", 0.0)


def estimated(now: Estimate | None, name: str = "accuracy") -> list[Severity]:
    """Grades of the alerts that an estimate raises beside a baseline of 0.9, known to a point."""
    nothing = dataclasses.replace(NO_LABELS, baseline=(Metric(name, 0.9, 0.89, 0.91),))
    raised = raise_alerts(data_drift(), NO_ANSWERS, nothing, UNKNOWN, now)
    assert all(alert.name == "estimated_performance" and "%" in alert.cause for alert in raised)
    return [alert.severity for alert in raised]


def test_an_estimate_is_graded_below_what_labels_would_be() -> None:
    """High where a realised drop were critical, a notice where it were a warning; nothing within chance."""
    assert estimated(estimate(0.70)) == ["high"]
    assert estimated(estimate(0.85)) == ["notice"]
    assert estimated(estimate(0.86)) == []
    assert estimated(estimate(0.85, half=0.06)) == []
    assert estimated(estimate(0.95)) == []
    assert estimated(None) == []


def test_an_estimate_that_cannot_be_trusted_raises_nothing() -> None:
    """However low it is; nor does one without a baseline to compare with."""
    assert estimated(estimate(0.2, trusted=False)) == []
    assert estimated(estimate(0.2), name="recall") == []


def test_an_estimated_error_that_rises_is_a_drop() -> None:
    """Of regression the mean absolute error is compared."""
    assert estimated(estimate(1.2, name="mae"), name="mae") == ["high"]
    assert estimated(estimate(0.5, name="mae"), name="mae") == []


def test_the_drop_of_an_estimate_counts_the_uncertainty_of_both() -> None:
    """By the square root of the sum of squares of the two half widths, in percent of the baseline."""
    drop, lower = estimated_drop(Metric("accuracy", 0.9, 0.87, 0.93), Metric("accuracy", 0.8, 0.76, 0.84))
    assert abs(drop - 100 * 0.1 / 0.9) < 1e-9
    assert abs(lower - 100 * 0.05 / 0.9) < 1e-9
    exact, same = estimated_drop(Metric("mae", 1.0, None, None), Metric("mae", 1.5, None, None))
    assert exact == same == 50.0


def test_a_declining_trend_is_a_warning() -> None:
    """Only where it is known to decline."""

    def raised(declining: bool | None) -> list[tuple[str, Severity]]:
        trend = Trend("accuracy", 0.8, None, None, 0.9, -0.1, 0.001, 900, 900, 4, declining, "declined for 4 days")
        return [(alert.name, alert.severity) for alert in alerts(concept=dataclasses.replace(HEALTHY, trend=trend))]

    assert raised(True) == [("performance_trend", "warning")]
    assert raised(False) == raised(None) == []


def test_an_estimated_drop_makes_drift_of_inputs_matter() -> None:
    """It is one of the signs of harm that a person is called for."""
    nothing = dataclasses.replace(NO_LABELS, baseline=(Metric("accuracy", 0.9, 0.89, 0.91),))
    raised = raise_alerts(many(), NO_ANSWERS, nothing, UNKNOWN, estimate(0.70))
    assert {alert.severity for alert in raised if alert.name == "column_drift"} == {"high"}
