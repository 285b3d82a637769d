"""The area under the ROC curve, with DeLong's interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import rankdata

from gateway.registry.card import Metric
from gateway.registry.intervals import CONFIDENCE, Z, wilson

Floats = NDArray[np.float64]


def binary_auc(truth: NDArray[np.bool_], scores: Floats) -> Metric | None:
    """ROC AUC with DeLong's variance (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988).

    Args:
        truth: shape (rows,), True for the positive class.
        scores: shape (rows,), higher for the positive class.

    Returns:
        None when either class is absent.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if positives == 0 or negatives == 0:
        return None
    value, of_positives, of_negatives = _placements(truth, scores)
    variance, quantile = math.nan, Z
    if positives > 1 and negatives > 1:
        parts = of_positives.var(ddof=1) / positives, of_negatives.var(ddof=1) / negatives
        variance = float(sum(parts))
        quantile = _welch_quantile(parts, (positives, negatives))
    return _auc_metric(value, variance, min(positives, negatives), None, quantile)


def weighted_auc(labels: NDArray[np.int64], probabilities: Floats) -> Metric | None:
    """One-vs-rest AUC of several classes, weighted by the classes' rows; None when fewer than two are present.

    Args:
        labels: shape (rows,), the column of the true class.
        probabilities: shape (rows, classes).

    Its variance is that of the rows' summed influences: DeLong's placements per class, weighted, and each
    row's pull on the weights themselves. For two classes without weights this is DeLong's variance.
    """
    rows = len(labels)
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return None
    value, influence = 0.0, np.zeros(rows)
    for code in present:
        truth, share = labels == code, counts[code] / rows
        area, of_positives, of_negatives = _placements(truth, probabilities[:, code])
        value += float(share * area)
        # A row of the class pulls by (its placement - area) on the area and by (area) on the class's weight.
        influence[truth] += of_positives
        influence[~truth] += share / (1 - share) * (of_negatives - area)
    variance = float(influence.var(ddof=1) / rows)
    return _auc_metric(value, variance, int(min(counts[present].min(), rows - counts[present].max())), "weighted")


def _placements(truth: NDArray[np.bool_], scores: Floats) -> tuple[float, Floats, Floats]:
    """AUC, the share of negatives below each positive, the share of positives above each negative; ties are half."""
    ranks = rankdata(scores)
    positive_scores, negative_scores = scores[truth], scores[~truth]
    positives, negatives = len(positive_scores), len(negative_scores)
    of_positives = (ranks[truth] - rankdata(positive_scores)) / negatives
    of_negatives = 1.0 - (ranks[~truth] - rankdata(negative_scores)) / positives
    return float(of_positives.mean()), of_positives, of_negatives


def _welch_quantile(parts: tuple[float, float], rows: tuple[int, int]) -> float:
    """Student's quantile for a variance of two parts, each known from so many rows (Welch and Satterthwaite).

    With ten positives their part is hardly known, and a normal quantile held the truth in 88 % of windows.
    """
    spread = sum(part**2 / (count - 1) for part, count in zip(parts, rows, strict=True))
    return float(stdtrit(sum(parts) ** 2 / spread, 0.5 + CONFIDENCE / 2)) if spread > 0 else Z


def _auc_metric(value: float, variance: float, pairs: int, average: str | None, quantile: float = Z) -> Metric:
    """Bounds on the logit scale, where they cannot leave (0, 1).

    A perfect (or perfectly wrong) ranking has no variance to show. `pairs` disjoint pairs of a positive and a
    negative are independent trials, each won with probability AUC: Wilson on those is wide, and true.
    """
    if 0 < value < 1 and variance > 0:
        logit, half = math.log(value / (1 - value)), quantile * math.sqrt(variance) / (value * (1 - value))
        lower, upper = (_logistic(logit + side * half) for side in (-1, 1))
        return Metric("roc_auc", value, lower, upper, average, "delong")
    lower, upper = wilson(value * pairs, pairs)
    return Metric("roc_auc", value, lower, upper, average, "wilson")


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
