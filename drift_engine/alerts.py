"""What a person should know, and whether to retrain: rules over findings that are already made.

A person is called (severity `warning` and above) only where harm is likely: the model's answers moved, quality
dropped, the inputs moved so far that the drift score is above its line, or a column moved that weighs much in the
model. Other drift of inputs is a notice, however large: a column that the model hardly uses may do as it likes.
"""

from __future__ import annotations

from drift_engine.results.schema import (
    Alert,
    ColumnFinding,
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
#: A column weighs much from so many times the equal share of the columns on, or from this share of the whole on.
HEAVY_TIMES, HEAVY_SHARE = 2.0, 0.2
#: Lines under which a figure is an alert, (warning, high), where the baseline itself is above them.
ABSOLUTE_LINES = {"accuracy": (0.85, 0.80), "precision": (0.75, None), "recall": (0.75, None), "f1_score": (0.75, None)}
#: Retraining is recommended when the compared figure keeps less than this part of the baseline.
KEPT_MIN = 0.90

_ORDER: tuple[Severity, ...] = ("none", "notice", "warning", "high", "critical")


def raise_alerts(
    data: DataDrift, answers: PredictionDrift, performance: Performance, concept: ConceptDrift
) -> tuple[Alert, ...]:
    """All alerts, gravest first; of equal ones the stronger finding first."""
    harm = [*_answer_alerts(answers), *_performance_alerts(performance), *_concept_alerts(concept)]
    found = [*_data_alerts(data, harmful=bool(harm)), *harm]
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
        calm, known = "inputs and answers raise no concern", f"; quality is unknown: {concept.reason}"
    else:
        calm, known = "inputs, answers and quality raise no concern", ""
    if data.detected:
        calm = "inputs moved, and nothing else says that it does harm"
    return Retraining("none", (calm + known,))


def is_heavy(finding: ColumnFinding, columns: int) -> bool:
    """Whether an input, one of so many, weighs much in the model."""
    return finding.weight >= HEAVY_SHARE or finding.weight * columns >= HEAVY_TIMES


def _data_alerts(data: DataDrift, *, harmful: bool) -> list[Alert]:
    """Alerts of the inputs; `harmful`: the answers or the quality raise some too."""
    if not data.detected:
        return []
    alerts = []
    if data.score is not None and data.score > data.threshold:
        cause = f"the data set's drift score is {data.score:.2f}, above {data.threshold:g}"
        alerts.append(Alert("data_drift_score", "warning", cause))
        harmful = True
    if data.joint is not None and data.joint.detected:
        alerts.append(
            Alert("joint_drift", "warning" if harmful else "notice", f"the inputs together: {data.joint.sentence}")
        )
    moved = [finding for finding in data.columns if finding.detected]
    if not moved:
        return alerts
    heavy = {finding.column for finding in moved if is_heavy(finding, len(data.columns))}
    # Columns may drift by missing or novel values alone, when no shape could be scored: then there is no share.
    if data.score is not None and data.drifted_ratio is not None:
        cause = f"{data.columns_drifted} of {data.columns_tested} columns drifted ({percent(data.drifted_ratio)})"
        severity = _share_severity(data.drifted_ratio) if harmful or heavy else "notice"
        alerts.append(Alert("drifted_columns", severity, cause))
    alerts += [
        Alert("column_drift", finding.severity if harmful or finding.column in heavy else "notice", _cause(finding))
        for finding in moved
        if finding.severity != "notice" or data.score is None
    ]
    return alerts


def _share_severity(ratio: float) -> Severity:
    if ratio > COLUMNS_HIGH:
        return "high"
    return "warning" if ratio > COLUMNS_WARNING else "notice"


def _cause(finding: ColumnFinding) -> str:
    seen = f", {finding.seen}" if finding.seen else ""
    return f"{finding.column}{seen}: {finding.sentence}"


def _answer_alerts(answers: PredictionDrift) -> list[Alert]:
    return [
        Alert("prediction_drift", finding.severity, _cause(finding)) for finding in answers.findings if finding.detected
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
