"""Quality on the labelled rows, and concept drift: has quality dropped from the baseline by more than chance?

One definition, used by gauges, alerts and pages alike. With the drop in percent of the baseline: critical when
the lower bound of its 95 % interval exceeds the tolerated drop; warning when the drop itself does and there is
less than a 1 % chance of seeing it without any drop. Classification compares accuracy, regression the mean
absolute error (whose rise is the drop of quality).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift_engine.results.quality import Confusion
from drift_engine.results.schema import ConceptDrift, Performance, Severity
from drift_engine.settings import DriftSettings
from drift_engine.table import Floats, NumberColumn, Table, TextColumn
from gateway.registry import Metric, ModelCard
from gateway.registry.columns import LABEL, PREDICTION, class_text, probability_columns
from gateway.registry.performance import (
    accuracy_drop,
    classification_metrics,
    confusion_counts,
    regression_metrics,
)

#: A drop is a warning only if there is less than this chance of seeing it without one.
WARNING_P = 0.01
_REPLICATES = 2000
_GROUPS_MAX = 1000


@dataclass(frozen=True)
class Quality:
    """Both answers, and the rows they speak of: positions in the live table, oldest first.

    `not_finite`: labelled rows that no error can be computed of, since the model answered infinity or NaN.
    """

    performance: Performance
    concept_drift: ConceptDrift
    rows: NDArray[np.int64]
    not_finite: int = 0


def judge_quality(card: ModelCard, reference: Table, live: Table, settings: DriftSettings) -> Quality:
    """Measure the newest labelled rows of `live`, which is in time order."""
    labelled, not_finite = labelled_rows(live), _not_finite(live)
    newest = labelled[-settings.performance_rows :]
    ratio = len(labelled) / live.rows if live.rows else None
    rows = live.take(newest)
    performance = _performance(card, rows, ratio, settings)
    if performance.outcome == "ok":
        # Numbers near the limits of a float overflow when squared or summed.
        with np.errstate(all="ignore"):
            concept_drift = _concept_drift(card, reference, rows, settings)
    else:
        concept_drift = _no_verdict(settings, str(performance.reason))
    return Quality(performance, concept_drift, newest, not_finite)


def performance_of(card: ModelCard, table: Table, settings: DriftSettings) -> Performance:
    """Quality on all labelled rows of `table`, however many: of a window, or of a day."""
    labelled = labelled_rows(table)
    ratio = len(labelled) / table.rows if table.rows else None
    return _performance(card, table.take(labelled), ratio, settings)


def measured(card: ModelCard, rows: Table) -> tuple[Metric, ...]:
    """The figures of labelled rows, as far as they are finite: numbers near the limits of a float overflow."""
    with np.errstate(all="ignore"):
        return tuple(metric for metric in _measure(card, rows) if _is_finite(metric))


def no_quality(card: ModelCard, settings: DriftSettings, reason: str) -> Quality:
    """Quality of a run that could not look."""
    return Quality(no_performance(card, reason), _no_verdict(settings, reason), np.empty(0, dtype=np.int64))


def no_performance(card: ModelCard, reason: str) -> Performance:
    """Performance of a run that could not look."""
    return Performance("failed", reason, 0, None, (), card.baseline)


def labelled_rows(table: Table) -> NDArray[np.int64]:
    """Positions of the rows that have a label and an answer to hold against it."""
    masks = []
    for name in (LABEL, PREDICTION):
        column = table.columns.get(name)
        if column is None:
            return np.empty(0, dtype=np.int64)
        masks.append(np.isfinite(column.values) if isinstance(column, NumberColumn) else column.codes >= 0)
    return np.flatnonzero(masks[0] & masks[1])


def _not_finite(table: Table) -> int:
    label, answer = table.columns.get(LABEL), table.columns.get(PREDICTION)
    if not isinstance(label, NumberColumn) or not isinstance(answer, NumberColumn):
        return 0
    return int(np.count_nonzero(np.isfinite(label.values) & ~np.isfinite(answer.values)))


def _performance(card: ModelCard, rows: Table, ratio: float | None, settings: DriftSettings) -> Performance:
    """Of labelled rows, if they are enough. `ratio`: part of the rows looked at that have a label."""
    if rows.rows < settings.labelled_rows_min:
        reason = f"{rows.rows} labelled rows of {settings.labelled_rows_min} needed"
        return Performance("insufficient_data", reason, rows.rows, ratio, (), card.baseline)
    return Performance("ok", None, rows.rows, ratio, measured(card, rows), card.baseline, _confusion(card, rows))


def _measure(card: ModelCard, rows: Table) -> tuple[Metric, ...]:
    if card.task == "regression":
        return regression_metrics(_numbers(rows, LABEL), _numbers(rows, PREDICTION))
    names = probability_columns(card)
    probabilities = np.column_stack([_numbers(rows, name) for name in names]) if names else None
    positive = None if card.positive_class is None else class_text(card.positive_class)
    classes = [class_text(label) for label in card.classes]
    return classification_metrics(_texts(rows, LABEL), _texts(rows, PREDICTION), probabilities, classes, positive)


def _confusion(card: ModelCard, rows: Table) -> Confusion | None:
    if card.task == "regression":
        return None
    classes = [class_text(label) for label in card.classes]
    names, counts = confusion_counts(_texts(rows, LABEL), _texts(rows, PREDICTION), classes)
    return Confusion(names, tuple(tuple(row) for row in counts.tolist()))


def _is_finite(metric: Metric) -> bool:
    return all(np.isfinite(value) for value in (metric.value, metric.lower, metric.upper) if value is not None)


def _concept_drift(card: ModelCard, reference: Table, rows: Table, settings: DriftSettings) -> ConceptDrift:
    if card.task == "regression":
        return _error_rise(reference, rows, settings)
    baseline = card.baseline_metric("accuracy")
    correct = int(np.count_nonzero(_texts(rows, LABEL) == _texts(rows, PREDICTION)))
    # allowed_percent=0: the p-value asks whether there is any drop at all; the bounds do not depend on it.
    drop = None if baseline is None else accuracy_drop(baseline, correct, rows.rows, allowed_percent=0.0)
    if drop is None:
        return _no_verdict(settings, "there is no baseline accuracy to compare with")
    return _graded("accuracy", drop.percent, drop.lower, drop.upper, drop.p_value, settings)


def _error_rise(reference: Table, rows: Table, settings: DriftSettings) -> ConceptDrift:
    """Bootstrap of the ratio of mean absolute errors, both sides resampled."""
    before_rows = reference.take(labelled_rows(reference))
    before = np.abs(_numbers(before_rows, PREDICTION) - _numbers(before_rows, LABEL)) if before_rows.rows else None
    if before is None or not before.mean() > 0:
        return _no_verdict(settings, "there is no baseline error to compare with")
    now = np.abs(_numbers(rows, PREDICTION) - _numbers(rows, LABEL))
    rng = np.random.default_rng(settings.seed)
    ratios = _bootstrap_means(now, rng) / _bootstrap_means(before, rng)
    percents = 100 * (ratios - 1)
    lower, upper = np.quantile(percents, (0.025, 0.975))
    # One is added on both sides: a bootstrap of 2,000 cannot claim a probability of zero.
    p_value = (1 + int(np.count_nonzero(percents <= 0))) / (1 + _REPLICATES)
    rise = 100 * (float(now.mean() / before.mean()) - 1)
    if not np.isfinite([rise, lower, upper]).all():
        return _no_verdict(settings, "the errors are too large to be compared")
    return _graded("mae", rise, float(lower), float(upper), p_value, settings)


def _bootstrap_means(values: Floats, rng: np.random.Generator) -> Floats:
    """Means of resamples, shape (_REPLICATES,). Many values are resampled by random groups of equal size."""
    if len(values) > _GROUPS_MAX:
        values = np.array([part.mean() for part in np.array_split(rng.permutation(values), _GROUPS_MAX)])
    draws = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=_REPLICATES)
    return np.maximum(draws @ values / len(values), np.finfo(np.float64).tiny)


def _graded(
    metric: str, drop: float, lower: float, upper: float, p_value: float, settings: DriftSettings
) -> ConceptDrift:
    allowed = settings.accuracy_drop_percent
    severity: Severity = "none"
    if drop > allowed and p_value < WARNING_P:
        severity = "warning"
    if lower > allowed:
        severity = "critical"
    words = f"{metric} fell by" if metric == "accuracy" else f"{metric.upper()} rose by"
    reason = (
        f"{words} {drop:.1f} % of the baseline (95 % interval {lower:.1f} to {upper:.1f}); {allowed:g} % is tolerated"
    )
    if drop <= 0:
        kept = "did not fall" if metric == "accuracy" else "did not rise"
        reason = f"{metric if metric == 'accuracy' else metric.upper()} {kept} from the baseline"
    return ConceptDrift(severity != "none", severity, metric, drop, lower, upper, allowed, p_value, reason)


def _no_verdict(settings: DriftSettings, reason: str) -> ConceptDrift:
    return ConceptDrift(None, "none", None, None, None, None, settings.accuracy_drop_percent, None, reason)


def _numbers(table: Table, name: str) -> Floats:
    column = table.columns[name]
    assert isinstance(column, NumberColumn)
    return column.values


def _texts(table: Table, name: str) -> NDArray[np.object_]:
    column = table.columns[name]
    assert isinstance(column, TextColumn)
    return column.texts()
