"""The figures of a classifier on rows whose true classes are known by probability only.

Every figure is the realised one with each row counted under each class by that class's probability; with a 1 for the
true class it is the realised one itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift_engine.table import Floats
from gateway.registry.performance import POSITIVES_MIN, row_losses, weighted_values

#: A figure's name and its average.
Key = tuple[str, str | None]


@dataclass(frozen=True)
class _Ranking:
    """Rows grouped by equal score, lowest first: the group of each row, and how many groups there are."""

    group: NDArray[np.int64]
    groups: int

    @classmethod
    def of(cls, scores: Floats) -> _Ranking:
        values, group = np.unique(scores, return_inverse=True)
        return cls(group, len(values))

    def area(self, positive: Floats, negative: Floats) -> float:
        """The area under the ROC curve, each row counted `positive` and `negative` times; NaN without one side."""
        above = np.bincount(self.group, weights=positive, minlength=self.groups)
        below = np.bincount(self.group, weights=negative, minlength=self.groups)
        pairs = above.sum() * below.sum()
        return float(above @ (np.cumsum(below) - below / 2) / pairs) if pairs > 0 else np.nan


class Answered:
    """Answers of a classifier: predicted classes and probabilities, prepared for figures under any truth.

    Args:
        predicted: the column of each row's predicted class, shape (rows,).
        probabilities: as the model gave them, shape (rows, classes).
        positive: the column of the positive class; None leaves out what speaks of it.
    """

    def __init__(self, predicted: NDArray[np.int64], probabilities: Floats, positive: int | None) -> None:
        self.rows, self._classes = probabilities.shape
        self.probabilities = probabilities
        self._predicted = predicted
        self._positive = positive
        self._chosen = np.eye(self._classes)[predicted]
        self._losses, self._squares = row_losses(probabilities)
        ranked = [1 if positive is None else positive] if self._classes == 2 else list(range(self._classes))
        self._rankings = [(code, _Ranking.of(probabilities[:, code])) for code in ranked]

    def take(self, rows: NDArray[np.int64]) -> Answered:
        """The rows at these positions."""
        return Answered(self._predicted[rows], self.probabilities[rows], self._positive)

    def figures(self, truth: Floats) -> dict[Key, float]:
        """Every figure under a truth of shape (rows, classes), whose rows sum to 1; NaN where one is undefined.

        Precision, recall and F1 of the positive class are undefined under `POSITIVES_MIN` expected positives, as the
        realised ones are.
        """
        table = truth.T @ self._chosen
        found: dict[Key, float] = {("accuracy", None): float(np.trace(table)) / self.rows}
        if self._positive is not None:
            found |= _of_positive(table, self._positive)
        weighted = weighted_values(table[np.newaxis])
        found |= {(name, "weighted"): float(values[0]) for name, values in weighted.items()}
        found[("roc_auc", None if self._classes == 2 else "weighted")] = self._area(truth)
        found["log_loss", None] = float((truth * self._losses).sum()) / self.rows
        found["brier", None] = float((truth * self._squares).sum()) / self.rows
        return found

    def _area(self, truth: Floats) -> float:
        areas = [ranking.area(truth[:, code], 1 - truth[:, code]) for code, ranking in self._rankings]
        if self._classes == 2:
            return areas[0]
        weights = truth.sum(axis=0)
        known = np.isfinite(areas)
        return float(np.average(np.array(areas)[known], weights=weights[known])) if weights[known].sum() > 0 else np.nan


def _of_positive(table: Floats, positive: int) -> dict[Key, float]:
    hits, actual, predicted = table[positive, positive], table[positive].sum(), table[:, positive].sum()
    enough = actual >= POSITIVES_MIN
    return {
        ("precision", "positive"): float(hits / predicted) if enough and predicted > 0 else np.nan,
        ("recall", "positive"): float(hits / actual) if enough else np.nan,
        ("f1_score", "positive"): float(2 * hits / (actual + predicted)) if enough else np.nan,
    }
