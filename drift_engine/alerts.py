"""What a person should know: rules over findings that are already made.

A person is called (severity `warning` and above) only where harm is likely: the model's answers moved, quality
dropped, the inputs moved so far that the drift score is above its line, or a column moved that weighs much in the
model. Other drift of inputs is a notice, however large: a column that the model hardly uses may do as it likes.
"""

from __future__ import annotations

from math import hypot

from drift_engine.results.quality import Estimate
from drift_engine.results.schema import (
    Alert,
    ColumnFinding,
    ConceptDrift,
    DataDrift,
    Performance,
    PredictionDrift,
    Severity,
)
from drift_engine.sentences import number, percent
from gateway.registry import Metric

#: Share of drifted columns above which it is a warning, and high.
COLUMNS_WARNING, COLUMNS_HIGH = 0.10, 0.20
#: A column weighs much from so many times the equal share of the columns on, or from this share of the whole on.
HEAVY_TIMES, HEAVY_SHARE = 2.0, 0.2
#: Lines under which a figure is an alert, (warning, high), where the baseline itself is above them.
ABSOLUTE_LINES = {"accuracy": (0.85, 0.80), "precision": (0.75, None), "recall": (0.75, None), "f1_score": (0.75, None)}
#: Figures that quality is compared by, of classifiers and of regression (whose rise is a drop of quality).
COMPARED = ("accuracy", "mae")

_ORDER: tuple[Severity, ...] = ("none", "notice", "warning", "high", "critical")


def raise_alerts(
    data: DataDrift,
    answers: PredictionDrift,
    performance: Performance,
    concept: ConceptDrift,
    estimated: Estimate | None = None,
) -> tuple[Alert, ...]:
    """All alerts, gravest first; of equal ones the stronger finding first."""
    harm = [
        *_answer_alerts(answers),
        *_performance_alerts(performance),
        *_concept_alerts(concept),
        *_estimated_alerts(estimated, performance.baseline, concept.threshold_percent),
    ]
    found = [*_data_alerts(data, harmful=bool(harm)), *harm]
    return tuple(sorted(found, key=lambda alert: -_ORDER.index(alert.severity)))


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
        Alert(
            "column_drift",
            finding.severity if harmful or finding.column in heavy else "notice",
            _cause(finding),
            finding.column,
        )
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
        Alert("prediction_drift", finding.severity, _cause(finding), finding.column)
        for finding in answers.findings
        if finding.detected
    ]


def _performance_alerts(performance: Performance) -> list[Alert]:
    alerts = []
    for metric in performance.metrics:
        # Weighted figures exist for every task; those of the positive class are often low by nature.
        lines = ABSOLUTE_LINES.get(metric.name) if metric.average in (None, "weighted") else None
        baseline = _same_figure(metric, performance.baseline)
        if lines is None or baseline is None or metric.upper is None:
            continue
        # The whole interval lies under the line: a bad draw of a healthy model is no alert.
        for line, severity in ((lines[1], "high"), (lines[0], "warning")):
            if line is not None and baseline.value >= line > metric.upper:
                cause = f"{metric.name} is {metric.value:.3f}, below {line:g} (baseline {baseline.value:.3f})"
                alerts.append(Alert("performance", "high" if severity == "high" else "warning", cause, metric.name))
                break
    return alerts


def _same_figure(metric: Metric, among: tuple[Metric, ...]) -> Metric | None:
    return next((m for m in among if (m.name, m.average) == (metric.name, metric.average)), None)


def _concept_alerts(concept: ConceptDrift) -> list[Alert]:
    alerts = [Alert("concept_drift", concept.severity, concept.reason)] if concept.detected else []
    if concept.trend is not None and concept.trend.declining:
        alerts.append(Alert("performance_trend", "warning", concept.trend.sentence, concept.trend.metric))
    return alerts


def _estimated_alerts(estimated: Estimate | None, baseline: tuple[Metric, ...], allowed: float) -> list[Alert]:
    """One grade below what the same drop is where labels show it: an estimate may be wrong.

    High where the lower bound of the drop exceeds what is allowed, a notice where the drop itself does, beyond
    chance. An estimate that the reference does not support raises none.

    Args:
        allowed: drop in percent of the baseline that is tolerated.
    """
    if estimated is None or not estimated.trusted:
        return []
    now = next((metric for name in COMPARED if (metric := estimated.metric(name)) is not None), None)
    before = None if now is None else _same_figure(now, baseline)
    if now is None or before is None or not before.value > 0:
        return []
    drop, lower = estimated_drop(before, now)
    if not (drop > allowed and lower > 0):
        return []
    cause = (
        f"without labels {now.name} is estimated at {number(now.value)} (baseline {number(before.value)}), "
        f"{drop:.1f} % worse, at least {lower:.1f} %; {allowed:g} % is tolerated"
    )
    return [Alert("estimated_performance", "high" if lower > allowed else "notice", cause, now.name)]


def estimated_drop(baseline: Metric, now: Metric) -> tuple[float, float]:
    """The drop of quality from a baseline above 0, in percent of it, and its lower bound.

    The bound is that of a difference of two independent figures of which intervals are known (Zou and Donner 2008,
    doi:10.1002/sim.3095). A figure without bounds counts as exact.
    """
    sign = -1.0 if now.name == "mae" else 1.0
    # How far each may be off in the direction that makes the drop smaller.
    off = (
        (baseline.value - _or(baseline.lower, baseline.value), _or(now.upper, now.value) - now.value)
        if sign > 0
        else (_or(baseline.upper, baseline.value) - baseline.value, now.value - _or(now.lower, now.value))
    )
    drop = sign * (baseline.value - now.value)
    return 100 * drop / baseline.value, 100 * (drop - hypot(*off)) / baseline.value


def _or(bound: float | None, value: float) -> float:
    return value if bound is None else bound
