"""What a person should know, and whether to retrain: rules over findings that are already made."""

from __future__ import annotations

from drift_engine.results.schema import (
    Alert,
    ConceptDrift,
    DataDrift,
    Performance,
    PredictionDrift,
    Retraining,
    Severity,
)
from drift_engine.sentences import percent

#: Share of drifted columns above which it is a warning, and high.
COLUMNS_WARNING, COLUMNS_HIGH = 0.10, 0.20
#: Lines under which a figure is an alert, (warning, high), where the baseline itself is above them.
ABSOLUTE_LINES = {"accuracy": (0.85, 0.80), "precision": (0.75, None), "recall": (0.75, None), "f1_score": (0.75, None)}
#: Retraining is recommended when the compared figure keeps less than this part of the baseline.
KEPT_MIN = 0.90

_ORDER: tuple[Severity, ...] = ("none", "notice", "warning", "high", "critical")


def raise_alerts(
    data: DataDrift, answers: PredictionDrift, performance: Performance, concept: ConceptDrift
) -> tuple[Alert, ...]:
    """All alerts, gravest first; of equal ones the stronger finding first."""
    found = [
        *_data_alerts(data),
        *_answer_alerts(answers),
        *_performance_alerts(performance),
        *_concept_alerts(concept),
    ]
    return tuple(sorted(found, key=lambda alert: -_ORDER.index(alert.severity)))


def decide_retraining(
    data: DataDrift, answers: PredictionDrift, concept: ConceptDrift, alerts: tuple[Alert, ...]
) -> Retraining:
    """Recommended on a critical alert or when quality keeps less than 90 % of the baseline; watch on lesser ones.

    Quality that has dropped by more than 10 % of the baseline counts only when the drop is significant.
    """
    critical = [alert.cause for alert in alerts if alert.severity == "critical"]
    lost = concept.detected and concept.drop_percent is not None and concept.drop_percent > 100 * (1 - KEPT_MIN)
    if critical or lost:
        return Retraining("recommended", tuple(critical) or (concept.reason,))
    graded = [alert.cause for alert in alerts if alert.severity in ("warning", "high")]
    if graded:
        return Retraining("watch", tuple(graded))
    if data.detected is None and answers.detected is None and concept.detected is None:
        return Retraining("unknown", ("there was not enough data to tell",))
    if concept.detected is None:
        return Retraining("none", (f"inputs and answers raise no concern; quality is unknown: {concept.reason}",))
    return Retraining("none", ("inputs, answers and quality raise no concern",))


def _data_alerts(data: DataDrift) -> list[Alert]:
    if not data.detected or data.score is None or data.drifted_ratio is None:
        return _column_notice(data)
    alerts = []
    if data.score > data.threshold:
        cause = f"the data set's drift score is {data.score:.2f}, above {data.threshold:g}"
        alerts.append(Alert("data_drift_score", "warning", cause))
    moved = f"{data.columns_drifted} of {data.columns_tested} columns drifted ({percent(data.drifted_ratio)})"
    severity: Severity = "notice"
    if data.drifted_ratio > COLUMNS_HIGH:
        severity = "high"
    elif data.drifted_ratio > COLUMNS_WARNING:
        severity = "warning"
    alerts.append(Alert("drifted_columns", severity, moved))
    alerts += [
        Alert("column_drift", finding.severity, f"{finding.column}: {finding.sentence}")
        for finding in data.columns
        if finding.severity in ("warning", "high")
    ]
    return alerts


def _column_notice(data: DataDrift) -> list[Alert]:
    """Columns may drift by missing or novel values alone, when no shape could be scored."""
    return [
        Alert("column_drift", finding.severity, f"{finding.column}: {finding.sentence}")
        for finding in data.columns
        if finding.detected
    ]


def _answer_alerts(answers: PredictionDrift) -> list[Alert]:
    return [
        Alert("prediction_drift", finding.severity, f"{finding.column}: {finding.sentence}")
        for finding in answers.findings
        if finding.detected
    ]


def _performance_alerts(performance: Performance) -> list[Alert]:
    alerts = []
    for metric in performance.metrics:
        # Weighted figures exist for every task; those of the positive class are often low by nature.
        lines = ABSOLUTE_LINES.get(metric.name) if metric.average in (None, "weighted") else None
        baseline = next((m for m in performance.baseline if (m.name, m.average) == (metric.name, metric.average)), None)
        if lines is None or baseline is None or metric.upper is None:
            continue
        # The whole interval lies under the line: a bad draw of a healthy model is no alert.
        for line, severity in ((lines[1], "high"), (lines[0], "warning")):
            if line is not None and baseline.value >= line > metric.upper:
                cause = f"{metric.name} is {metric.value:.3f}, below {line:g} (baseline {baseline.value:.3f})"
                alerts.append(Alert("performance", "high" if severity == "high" else "warning", cause))
                break
    return alerts


def _concept_alerts(concept: ConceptDrift) -> list[Alert]:
    return [Alert("concept_drift", concept.severity, concept.reason)] if concept.detected else []
