"""How a model's quality is measured, with intervals: the one place, for the baseline and for live windows.

Point values are scikit-learn's. A figure that the rows cannot support is left out, never invented: a missing
metric reads "not enough data", while a zero would read "bad" and a one "perfect". All intervals are two-sided 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from gateway.registry.card import Metric
from gateway.registry.intervals import BOOTSTRAP_REPLICATES, CONFIDENCE, Ratio, Z, bootstrap_means, wilson
from gateway.registry.ranking import binary_auc, weighted_auc

#: With fewer true positives in the window, precision, recall and F1 of the positive class say nothing.
POSITIVES_MIN = 10
#: Under this many rows a bootstrap interval is too narrow to be shown.
BOOTSTRAP_ROWS_MIN = 10
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class AccuracyDrop:
    """How far accuracy fell from its baseline, in percent of the baseline; negative when it rose.

    `lower` and `upper` bound the drop with 95 % confidence; `p_value` is one-sided, for "the drop is no more than
    `allowed_percent`".
    """

    percent: float
    lower: float
    upper: float
    p_value: float
    allowed_percent: float


def classification_metrics(
    labels: NDArray[Any],
    predictions: NDArray[Any],
    probabilities: Floats | None,
    classes: Sequence[str],
    positive: str | None,
    seed: int,
) -> tuple[Metric, ...]:
    """Quality of classified rows, all of them labelled.

    Args:
        labels: shape (rows,), true classes as text (`columns.class_text`).
        predictions: shape (rows,), predicted classes as text.
        probabilities: shape (rows, classes), or None.
        classes: the model's classes as text, in the order of the probabilities' columns.
        positive: the positive class of a binary task; None leaves out what speaks of it.
        seed: of the bootstrap; the same rows and seed give the same bounds.

    Returns:
        accuracy; precision, recall, f1_score with average "positive" (binary, from `POSITIVES_MIN` positives) and
        "weighted"; with probabilities also roc_auc (average "weighted" with three or more classes), log_loss and brier.
        A label outside `classes` counts as wrong; the figures from probabilities leave such rows out.
        Empty without rows.
    """
    if len(labels) == 0:
        return ()
    codes, known = _codes(labels, predictions, classes)
    confusion = _confusion(codes[0], codes[1], known)
    rng = np.random.default_rng(seed)
    metrics = [_wilson_metric("accuracy", int(np.trace(confusion)), len(labels))]
    if positive is not None and len(classes) == 2:
        metrics += _positive_metrics(confusion, list(classes).index(positive))
    metrics += _weighted_metrics(confusion, rng)
    if probabilities is not None:
        metrics += _probability_metrics(codes[0], np.asarray(probabilities, dtype=np.float64), classes, positive, rng)
    return tuple(metrics)


def regression_metrics(labels: Floats, predictions: Floats, seed: int) -> tuple[Metric, ...]:
    """Quality of predicted numbers: mae, rmse, r2 and bias (mean of prediction minus label).

    Args:
        labels: shape (rows,), true values, finite.
        predictions: shape (rows,), finite.
        seed: of the bootstrap.

    Returns:
        r2 is left out when all labels are equal; bounds are None under `BOOTSTRAP_ROWS_MIN` rows. Empty without rows.
    """
    labels, predictions = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if len(labels) == 0:
        return ()
    # Centred labels: a sum of squares minus a squared sum loses all digits when the mean is large.
    centred, errors = labels - labels.mean(), predictions - labels
    terms = np.column_stack([np.abs(errors), errors**2, errors, centred, centred**2])
    names = ["mae", "rmse", "bias"] + (["r2"] if np.ptp(labels) > 0 else [])
    values = _regression_values(terms.mean(axis=0)[np.newaxis])
    replicates = _regression_values(bootstrap_means(terms, np.random.default_rng(seed)))
    return tuple(_bootstrap_metric(name, float(values[name][0]), replicates[name], len(labels)) for name in names)


def accuracy_drop(baseline: Metric, correct: int, rows: int, allowed_percent: float = 5.0) -> AccuracyDrop | None:
    """Compare `correct` of `rows` with a baseline accuracy, counting the uncertainty of both.

    Both are proportions of the same kind, so their ratio is bounded and tested by the score method
    (`intervals.Ratio`): the lower bound exceeds `allowed_percent` exactly when the p-value is under 2.5 %, and with
    a huge baseline the interval becomes Wilson's. The baseline's rows are recovered from its Wilson bounds.

    Args:
        baseline: an accuracy with its Wilson bounds; without bounds it is taken as exact.
        correct: right answers of the window.
        rows: labelled rows of the window.
        allowed_percent: the drop, in percent of the baseline, that p_value is about.

    Returns:
        None without rows, or when the baseline was never right: there is nothing to fall from.
    """
    if rows <= 0 or baseline.value <= 0:
        return None
    base_rows = _rows_of(baseline)
    observed = Ratio(correct, rows, baseline.value * base_rows, base_rows)

    def drop(ratio: float) -> float:
        return 100.0 * (1.0 - ratio)

    low, high = observed.interval()
    return AccuracyDrop(
        percent=drop(correct / rows / baseline.value),
        lower=drop(high),
        upper=drop(low),
        p_value=NormalDist().cdf(observed.z(1.0 - allowed_percent / 100.0)),
        allowed_percent=allowed_percent,
    )


def _codes(
    labels: NDArray[Any], predictions: NDArray[Any], classes: Sequence[str]
) -> tuple[tuple[Counts, Counts], int]:
    """Labels and predictions as indices into `classes` followed by every other text seen, and how many there are."""
    texts = [str(text) for text in classes]
    index = {text: code for code, text in enumerate(texts)}

    def encode(values: NDArray[Any]) -> Counts:
        uniques, inverse = np.unique(np.asarray(values).astype(str), return_inverse=True)
        numbers = np.array([index.setdefault(str(text), len(index)) for text in uniques], dtype=np.int64)
        return numbers[inverse]

    codes = encode(labels), encode(predictions)
    return codes, len(index)


def _confusion(labels: Counts, predictions: Counts, size: int) -> Counts:
    """Shape (size, size): rows are true classes, columns predicted ones."""
    return np.bincount(labels * size + predictions, minlength=size * size).reshape(size, size).astype(np.int64)


def _positive_metrics(confusion: Counts, positive: int) -> list[Metric]:
    """Precision, recall and F1 of one class. F1 grows with J = TP/(TP+FP+FN), so J's Wilson bounds carry over."""
    hits = int(confusion[positive, positive])
    actual, predicted = int(confusion[positive].sum()), int(confusion[:, positive].sum())
    if actual < POSITIVES_MIN:
        return []
    metrics = [_wilson_metric("precision", hits, predicted, "positive")] if predicted else []
    metrics.append(_wilson_metric("recall", hits, actual, "positive"))
    union = actual + predicted - hits
    lower, upper = (2 * bound / (1 + bound) for bound in wilson(hits, union))
    metrics.append(Metric("f1_score", 2 * hits / (actual + predicted), lower, upper, "positive", "wilson"))
    return metrics


def _weighted_metrics(confusion: Counts, rng: np.random.Generator) -> list[Metric]:
    """Precision, recall and F1 averaged over the classes by their true rows.

    Weighted recall is accuracy by another name, so it keeps Wilson's interval; the others resample the table.
    """
    rows = int(confusion.sum())
    values = _weighted_values(confusion[np.newaxis].astype(np.float64))
    hits = int(np.trace(confusion))
    recall = _wilson_metric("recall", hits, rows, "weighted")
    if hits == rows:
        # Nothing to resample: every replicate is perfect too. To first order all three fall alike with an error.
        return [Metric(name, 1.0, recall.lower, recall.upper, "weighted", "wilson") for name in values]
    replicates = _weighted_values(_resampled_tables(confusion, rng))
    return [
        _bootstrap_metric("precision", float(values["precision"][0]), replicates["precision"], rows, "weighted"),
        recall,
        _bootstrap_metric("f1_score", float(values["f1_score"][0]), replicates["f1_score"], rows, "weighted"),
    ]


def _weighted_values(tables: Floats) -> dict[str, Floats]:
    """Weighted precision, recall and F1 of tables of shape (replicates, k, k); 0 where a class has no rows."""
    hits = np.diagonal(tables, axis1=1, axis2=2)
    actual, predicted = tables.sum(axis=2), tables.sum(axis=1)
    weights = actual / actual.sum(axis=1, keepdims=True)

    def share(part: Floats, whole: Floats) -> Floats:
        return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

    by_class = {
        "precision": share(hits, predicted),
        "recall": share(hits, actual),
        "f1_score": share(2 * hits, actual + predicted),
    }
    return {name: np.asarray((weights * values).sum(axis=1)) for name, values in by_class.items()}


def _resampled_tables(confusion: Counts, rng: np.random.Generator) -> Floats:
    """Draw `BOOTSTRAP_REPLICATES` tables of as many rows, from the filled cells alone; shape (replicates, k, k)."""
    rows, filled = int(confusion.sum()), confusion > 0
    used = np.flatnonzero(filled.any(axis=0) | filled.any(axis=1))
    table = confusion[np.ix_(used, used)]
    cells = np.flatnonzero(table)
    tables = np.zeros((BOOTSTRAP_REPLICATES, table.size))
    tables[:, cells] = rng.multinomial(rows, table.ravel()[cells] / rows, size=BOOTSTRAP_REPLICATES)
    return tables.reshape(BOOTSTRAP_REPLICATES, *table.shape)


def _probability_metrics(
    labels: Counts, probabilities: Floats, classes: Sequence[str], positive: str | None, rng: np.random.Generator
) -> list[Metric]:
    """ROC AUC, log loss and Brier score of the rows whose label is one of the model's classes."""
    answerable = labels < len(classes)
    labels, probabilities = labels[answerable], probabilities[answerable]
    if len(labels) == 0 or not np.isfinite(probabilities).all():
        return []
    if len(classes) == 2:
        second = 1 if positive is None else list(classes).index(positive)
        auc = binary_auc(labels == second, probabilities[:, second])
    else:
        auc = weighted_auc(labels, probabilities)
    truth = np.zeros_like(probabilities)
    truth[np.arange(len(labels)), labels] = 1.0
    tiny = np.finfo(np.float64).eps
    losses = -xlogy(truth, np.clip(probabilities, tiny, 1 - tiny)).sum(axis=1)
    # Two classes share one squared error, which is counted once (scikit-learn's convention): range 0 to 1.
    squares = ((truth - probabilities) ** 2).sum(axis=1) / (2 if len(classes) == 2 else 1)
    replicates = bootstrap_means(np.column_stack([losses, squares]), rng)
    return [
        *([auc] if auc else []),
        _bootstrap_metric("log_loss", float(losses.mean()), replicates[:, 0], len(labels)),
        _bootstrap_metric("brier", float(squares.mean()), replicates[:, 1], len(labels)),
    ]


def _regression_values(means: Floats) -> dict[str, Floats]:
    """Metrics from mean |error|, error^2, error, centred label, its square; shape (replicates, 5)."""
    absolute, squared, error, label, label_squared = means.T
    variance = label_squared - label**2
    explained = np.divide(squared, variance, out=np.full_like(squared, np.nan), where=variance > 0)
    return {"mae": absolute, "rmse": np.sqrt(squared), "bias": error, "r2": 1 - explained}


def _wilson_metric(name: str, successes: int, rows: int, average: str | None = None) -> Metric:
    lower, upper = wilson(successes, rows)
    return Metric(name, successes / rows, lower, upper, average, "wilson")


def _bootstrap_metric(name: str, value: float, replicates: Floats, rows: int, average: str | None = None) -> Metric:
    """A figure with the percentile interval of its finite replicates."""
    replicates = replicates[np.isfinite(replicates)]
    if rows < BOOTSTRAP_ROWS_MIN or len(replicates) == 0:
        return Metric(name, value, None, None, average, None)
    lower, upper = np.quantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Metric(name, value, min(float(lower), value), max(float(upper), value), average, "bootstrap")


def _rows_of(baseline: Metric) -> float:
    """How many rows a Wilson interval was made from: lower * upper = value^2 / (1 + z^2 / rows)."""
    if not baseline.lower or not baseline.upper:
        return 1e12  # no interval was kept, or none was needed: the baseline is taken as exact
    spread = baseline.value**2 / (baseline.lower * baseline.upper) - 1
    return Z * Z / spread if spread > 0 else 1e12
