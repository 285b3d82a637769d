"""Whether to retrain: none, watch, recommended or unknown, with the reasons and the figures behind them.

Recommended where labels show harm: on a critical alert, or when quality has significantly lost more than 10 % of the
baseline, in this run or in an earlier scheduled one of the last 24 hours. Other alerts are watched. Inputs that drift
without harm are no reason to retrain, however far they drift.
"""

from __future__ import annotations

from drift_engine.alerts import COMPARED, is_heavy
from drift_engine.quality import WARNING_P
from drift_engine.results.schema import ConceptDrift, Performance, Result, Retraining, RetrainingCause
from drift_engine.sentences import number, percent
from gateway.clock import parse_utc
from gateway.registry import Metric

#: Retraining is recommended when the compared figure keeps less than this part of the baseline.
KEPT_MIN = 0.90
#: How long a cause counts that an earlier run saw.
RECENT_SECONDS = 24 * 3600.0
#: Alerts on inputs and on estimates: what they say may be, labels have not shown.
_NO_HARM_SHOWN = frozenset({"column_drift", "drifted_columns", "data_drift_score", "estimated_performance"})
_COLUMNS_TOLD_MAX = 5


def decide_retraining(result: Result, recent: RetrainingCause | None = None) -> Retraining:
    """The decision that follows from a result's findings and alerts.

    Args:
        recent: the newest cause of an earlier run. Older than 24 hours before the window's end it has no say.
    """
    recent = recent if recent is not None and is_recent(recent, result.window.end) else None
    figures = _evidence(result)
    if causes := own_causes(result):
        return Retraining("recommended", causes, figures, recent)
    if recent is not None:
        told = f"seen within the last 24 hours, at {recent.at[11:19]} UTC on {recent.at[:10]}: {recent.cause}"
        return Retraining("recommended", (told,), figures, recent)
    graded = tuple(alert.cause for alert in result.alerts if alert.severity in ("warning", "high", "critical"))
    if graded:
        return Retraining("watch", graded, figures)
    verdicts = (result.data_drift.detected, result.prediction_drift.detected, result.concept_drift.detected)
    if all(verdict is None for verdict in verdicts):
        return Retraining("unknown", ("there was not enough data to tell",), figures)
    return Retraining("none", (_calm(result),), figures)


def own_causes(result: Result) -> tuple[str, ...]:
    """Why this run by itself recommends to retrain; empty where it does not."""
    grave = [a.cause for a in result.alerts if a.severity == "critical" and a.name not in _NO_HARM_SHOWN]
    if _lost(result.concept_drift):
        grave.append(f"less than {KEPT_MIN:.0%} of the baseline is left: {result.concept_drift.reason}")
    return tuple(grave)


def cause_of(result: Result) -> RetrainingCause | None:
    """What later runs are told of this one: its first cause; None where it had none."""
    causes = own_causes(result)
    return RetrainingCause(result.window.end, result.run_id, causes[0]) if causes else None


def is_recent(cause: RetrainingCause, window_end: str) -> bool:
    """Whether a cause was seen in the 24 hours to the end of a window, and not after it."""
    return 0 <= parse_utc(window_end) - parse_utc(cause.at) < RECENT_SECONDS


def _lost(concept: ConceptDrift) -> bool:
    """Whether quality has lost more than 10 % of the baseline, and that by more than chance."""
    if concept.drop_percent is None or concept.p_value is None:
        return False
    return concept.drop_percent > 100 * (1 - KEPT_MIN) and concept.p_value < WARNING_P


def _calm(result: Result) -> str:
    unknown = result.concept_drift.detected is None
    if result.data_drift.detected:
        calm = "inputs moved, and nothing else says that it does harm"
    elif unknown:
        calm = "inputs and answers raise no concern"
    else:
        calm = "inputs, answers and quality raise no concern"
    return f"{calm}; quality is unknown: {result.concept_drift.reason}" if unknown else calm


def _evidence(result: Result) -> tuple[str, ...]:
    """The figures that a person would ask for, each where it is known."""
    found = (
        _realised(result.performance),
        _drop(result.concept_drift),
        None if result.concept_drift.trend is None else result.concept_drift.trend.sentence,
        _estimated(result),
        _moved_inputs(result),
        _to_retrain_on(result),
    )
    return tuple(sentence for sentence in found if sentence)


def _realised(performance: Performance) -> str | None:
    now = next((metric for name in COMPARED if (metric := performance.metric(name)) is not None), None)
    if now is None:
        return None
    before = next((m for m in performance.baseline if (m.name, m.average) == (now.name, now.average)), None)
    known = f"; the baseline is {_figure(before)}" if before else ""
    return f"{now.name} is {_figure(now)} on {performance.labelled_rows:,} labelled rows{known}"


def _drop(concept: ConceptDrift) -> str | None:
    if concept.drop_percent is None or concept.lower is None or concept.drop_percent <= 0:
        return None
    return (
        f"quality dropped by {concept.drop_percent:.1f} % of the baseline, by at least {concept.lower:.1f} % "
        f"with 97.5 % confidence; {concept.threshold_percent:g} % is tolerated"
    )


def _estimated(result: Result) -> str | None:
    estimate = result.estimated
    now = next((m for name in COMPARED if estimate and (m := estimate.metric(name)) is not None), None)
    if estimate is None or now is None:
        return None
    doubt = "" if estimate.trusted else ", not to be trusted"
    return f"without labels {now.name} is estimated at {_figure(now)} from {estimate.rows:,} rows{doubt}"


def _moved_inputs(result: Result) -> str | None:
    data = result.data_drift
    if data.detected is None:
        return None
    moved = [finding for finding in data.columns if finding.detected]
    heavy = [finding for finding in moved if is_heavy(finding, len(data.columns))]
    counted = f"{len(moved)} of {data.columns_tested} inputs moved"
    if not heavy:
        return f"{counted}, none that weighs much in the model" if moved else counted
    told = [
        f"{finding.column} (weight {percent(finding.weight)}, {number(finding.drift_ratio or 0.0)} x allowed)"
        for finding in heavy[:_COLUMNS_TOLD_MAX]
    ]
    more = f" and {len(heavy) - len(told)} more" if len(heavy) > len(told) else ""
    return f"{counted}, {len(heavy)} that weigh much in the model: {', '.join(told)}{more}"


def _to_retrain_on(result: Result) -> str | None:
    labels = result.labels
    if labels is None:
        return f"{result.performance.labelled_rows:,} labelled rows were looked at"
    return (
        f"{labels.labelled:,} of {labels.predictions:,} predictions since {labels.since[:10]} "
        f"{labels.since[11:19]} UTC have a label to retrain on"
    )


def _figure(metric: Metric) -> str:
    if metric.lower is None or metric.upper is None:
        return number(metric.value)
    return f"{number(metric.value)} (95 % interval {number(metric.lower)} to {number(metric.upper)})"
