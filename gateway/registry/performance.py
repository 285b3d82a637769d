"""How a model's quality is measured, with intervals: the one place, for the baseline and for live windows.

Point values are scikit-learn's. A figure that the rows cannot support is left out, never invented: a missing
metric reads "not enough data", while a zero would read "bad" and a one "perfect". All intervals are two-sided 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry.card import Metric
from gateway.registry.intervals import Ratio, Z, mean_interval, ratio_interval, wilson, wilson_delta
from gateway.registry.ranking import binary_auc, weighted_auc

#: With fewer true positives in the window, precision, recall and F1 of the positive class say nothing.
POSITIVES_MIN = 10
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """True and predicted classes as positions in `names`, shape (rows,) each.

    `names`: the model's classes in its order, then any other text.
    """

    labels: Counts
    predictions: Counts
    names: tuple[str, ...]

    def confusion(self) -> Counts:
        """Rows by true and by predicted class, shape (names, names)."""
        size = len(self.names)
        counts = np.bincount(self.labels * size + self.predictions, minlength=size * size)
        return counts.reshape(size, size).astype(np.int64)


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
) -> tuple[Metric, ...]:
    """Quality of classified rows, all of them labelled.

    Args:
        labels: shape (rows,), true classes as text (`columns.class_text`).
        predictions: shape (rows,), predicted classes as text.
        probabilities: shape (rows, classes), or None.
        classes: the model's classes as text, in the order of the probabilities' columns.
        positive: the positive class of a binary task; None leaves out what speaks of it.

    Returns:
        accuracy; precision, recall, f1_score with average "positive" (binary, from `POSITIVES_MIN` positives) and
        "weighted"; with probabilities also roc_auc (average "weighted" with three or more classes), log_loss and brier.
        A label outside `classes` counts as wrong; the figures from probabilities leave such rows out.
        Empty without rows.
    """
    if len(labels) == 0:
        return ()
    return coded_metrics(_coded(labels, predictions, classes), probabilities, classes, positive)


def coded_metrics(
    coded: Coded, probabilities: Floats | None, classes: Sequence[str], positive: str | None
) -> tuple[Metric, ...]:
    """`classification_metrics` of rows, at least one, whose texts are numbered already."""
    confusion = coded.confusion()
    metrics = [_wilson_metric("accuracy", int(np.trace(confusion)), len(coded.labels))]
    if positive is not None and len(classes) == 2:
        metrics += _positive_metrics(confusion, list(classes).index(positive))
    metrics += _weighted_metrics(confusion)
    if probabilities is not None:
        metrics += _probability_metrics(coded.labels, np.asarray(probabilities, dtype=np.float64), classes, positive)
    return tuple(metrics)


def regression_metrics(labels: Floats, predictions: Floats) -> tuple[Metric, ...]:
    """Quality of predicted numbers: mae, rmse, r2 and bias (mean of prediction minus label).

    Args:
        labels: shape (rows,), true values, finite.
        predictions: shape (rows,), finite.

    Returns:
        r2 is left out when all labels are equal, and every figure that overflows; bounds are None under
        `intervals.MEAN_ROWS_MIN` rows. Empty without rows.
    """
    labels, predictions = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if len(labels) == 0:
        return ()
    # Numbers near the limits of a float overflow when they are squared or summed; such a figure is left out.
    with np.errstate(all="ignore"):
        # Centred labels: a sum of squares minus a squared sum loses all digits when the mean is large.
        errors, spreads = predictions - labels, (labels - labels.mean()) ** 2
        squares = errors**2
        low, high = mean_interval(squares)
        rmse = Metric("rmse", math.sqrt(squares.mean()), _root(low), _root(high), None, _method(low, "hall"))
        metrics = [_mean_metric("mae", np.abs(errors), least=0.0), rmse, _mean_metric("bias", errors)]
        if np.ptp(labels) > 0:
            metrics.append(_r2_metric(squares, spreads))
    return tuple(metric for metric in metrics if _is_finite(metric))


def _is_finite(metric: Metric) -> bool:
    return all(math.isfinite(value) for value in (metric.value, metric.lower, metric.upper) if value is not None)


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


def _coded(labels: NDArray[Any], predictions: NDArray[Any], classes: Sequence[str]) -> Coded:
    """Number the texts: the classes first, then every other one that was seen."""
    texts = [str(text) for text in classes]
    index = {text: code for code, text in enumerate(texts)}

    def encode(values: NDArray[Any]) -> Counts:
        uniques, inverse = np.unique(np.asarray(values).astype(str), return_inverse=True)
        numbers = np.array([index.setdefault(str(text), len(index)) for text in uniques], dtype=np.int64)
        return numbers[inverse]

    return Coded(encode(labels), encode(predictions), tuple(index))


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


def _weighted_metrics(confusion: Counts) -> list[Metric]:
    """Precision, recall and F1 averaged over the classes by their true rows.

    Weighted recall is accuracy by another name, so it keeps Wilson's interval; the others have that of a share which
    scatters as they do (`intervals.wilson_delta`).
    """
    rows, hits = int(confusion.sum()), int(np.trace(confusion))
    values = weighted_values(confusion[np.newaxis].astype(np.float64))
    influences = _weighted_influences(confusion / rows)
    metrics = []
    for name in ("precision", "recall", "f1_score"):
        if name == "recall":
            metrics.append(_wilson_metric(name, hits, rows, "weighted"))
            continue
        value = float(values[name][0])
        variance = float((confusion / rows * influences[name] ** 2).sum()) / rows
        lower, upper = wilson_delta(value, variance, rows)
        metrics.append(Metric(name, value, lower, upper, "weighted", "wilson-delta"))
    return metrics


def weighted_values(tables: Floats) -> dict[str, Floats]:
    """Weighted precision, recall and F1 of tables of shape (tables, k, k), true by predicted; 0 where a class has no
    rows. Counts need not be whole."""
    hits = np.diagonal(tables, axis1=1, axis2=2)
    actual, predicted = tables.sum(axis=2), tables.sum(axis=1)
    weights = actual / actual.sum(axis=1, keepdims=True)
    by_class = {
        "precision": _share(hits, predicted),
        "recall": _share(hits, actual),
        "f1_score": _share(2 * hits, actual + predicted),
    }
    return {name: np.asarray((weights * values).sum(axis=1)) for name, values in by_class.items()}


def _weighted_influences(shares: Floats) -> dict[str, Floats]:
    """By how much one row of each cell pulls on weighted precision and F1, shape (k, k), true by predicted class.

    Args:
        shares: shape (k, k), sums to 1.

    With the true share a, the predicted share p and the hits h of a class, its part of precision is a h / p, and of F1
    2 a h / (a + p); a row of cell (i, j) pulls by the derivatives by a of i, by p of j and, where i = j, by h.
    """
    hits, actual, predicted = np.diagonal(shares), shares.sum(axis=1), shares.sum(axis=0)
    both = actual + predicted
    f1 = _share(2 * hits, both)
    pulls = {
        "precision": (
            _share(hits, predicted),
            -_share(actual * _share(hits, predicted), predicted),
            _share(actual, predicted),
        ),
        "f1_score": (f1 - _share(actual * f1, both), -_share(actual * f1, both), _share(2 * actual, both)),
    }
    found = {}
    for name, (by_actual, by_predicted, by_hits) in pulls.items():
        pull = by_actual[:, np.newaxis] + by_predicted[np.newaxis] + np.diag(by_hits)
        found[name] = pull - float((shares * pull).sum())
    return found


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def row_losses(probabilities: Floats) -> tuple[Floats, Floats]:
    """Log loss and squared error of each row if its class were that of each column; both shape (rows, classes).

    Two classes share one squared error, which is counted once (scikit-learn's convention): range 0 to 1, else 0 to 2.
    """
    tiny = np.finfo(np.float64).eps
    squares = np.maximum((probabilities**2).sum(axis=1, keepdims=True) - 2 * probabilities + 1, 0.0)
    return -np.log(np.clip(probabilities, tiny, 1 - tiny)), squares / (2 if probabilities.shape[1] == 2 else 1)


def _probability_metrics(
    labels: Counts, probabilities: Floats, classes: Sequence[str], positive: str | None
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
    losses, squares = (of_class[np.arange(len(labels)), labels] for of_class in row_losses(probabilities))
    return [
        *([auc] if auc else []),
        _mean_metric("log_loss", losses, least=0.0),
        _mean_metric("brier", squares, least=0.0),
    ]


def _r2_metric(squares: Floats, spreads: Floats) -> Metric:
    low, high = ratio_interval(squares, spreads)
    value = 1 - float(squares.mean() / spreads.mean())
    return Metric(
        "r2", value, None if high is None else 1 - high, None if low is None else 1 - low, None, _method(low, "hall")
    )


def _mean_metric(name: str, terms: Floats, least: float | None = None) -> Metric:
    """A figure that is a mean over rows, none of which is below `least`."""
    low, high = mean_interval(terms)
    if low is not None and least is not None:
        low = max(low, least)
    return Metric(name, float(terms.mean()), low, high, None, _method(low, "hall"))


def _root(bound: float | None) -> float | None:
    return None if bound is None else math.sqrt(max(bound, 0.0))


def _method(bound: float | None, name: str) -> str | None:
    return None if bound is None else name


def _wilson_metric(name: str, successes: int, rows: int, average: str | None = None) -> Metric:
    lower, upper = wilson(successes, rows)
    return Metric(name, successes / rows, lower, upper, average, "wilson")


def _rows_of(baseline: Metric) -> float:
    """How many rows a Wilson interval was made from: lower * upper = value^2 / (1 + z^2 / rows)."""
    if not baseline.lower or not baseline.upper:
        return 1e12  # no interval was kept, or none was needed: the baseline is taken as exact
    spread = baseline.value**2 / (baseline.lower * baseline.upper) - 1
    return Z * Z / spread if spread > 0 else 1e12
