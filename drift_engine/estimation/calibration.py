"""From a model's probabilities to those that its reference bears out.

Isotonic regression (Barlow et al., 1972; Zadrozny and Elkan, KDD 2002), one class against the rest, of the labels on
the probabilities of the reference's labelled rows. It serves only where it is nearer to the labels of rows that it
was not fitted on than the probabilities are by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from drift_engine.table import Floats

#: Rows of nearly the same score are one point of the regression: so many points lose nothing, and bound the work.
_POINTS_MAX = 1000
#: Bins of equal size that the calibration error is measured in.
_ERROR_BINS = 10


@dataclass(frozen=True)
class _Points:
    """One class's scores, ascending, with the rows and the hits (rows of the class) at each."""

    scores: Floats
    rows: NDArray[np.int64]
    hits: NDArray[np.int64]

    @classmethod
    def of(cls, scores: Floats, truth: NDArray[np.bool_]) -> _Points:
        values, place = np.unique(scores, return_inverse=True)
        if len(values) > _POINTS_MAX:
            # By rank, so that each point has about as many rows as any other.
            order = np.argsort(place, kind="stable")
            of_rank = (np.arange(len(scores)) * _POINTS_MAX) // len(scores)
            place = np.empty_like(of_rank)
            place[order] = of_rank
        rows = np.bincount(place)
        hits = np.bincount(place, weights=truth).astype(np.int64)
        return cls(np.bincount(place, weights=scores) / rows, rows, hits)

    def resampled(self, rng: np.random.Generator) -> _Points:
        """As many rows, drawn from these with replacement."""
        total = int(self.rows.sum())
        rows = rng.multinomial(total, self.rows / total)
        drawn = rows > 0
        hits = rng.binomial(rows[drawn], self.hits[drawn] / self.rows[drawn])
        return _Points(self.scores[drawn], rows[drawn], hits)

    def fitted(self) -> Floats:
        """The share of hits that never falls as the score rises, shape as `scores`."""
        found = isotonic_regression(self.hits / self.rows, weights=self.rows.astype(np.float64))
        return np.asarray(found.x, dtype=np.float64)


class IsotonicMap:
    """Calibrated probabilities by interpolation between the points that were fitted, one set of points per class.

    Of two classes only the second has points; the first is what is left.
    """

    def __init__(self, points: list[_Points]) -> None:
        self._points = points
        self._fitted = [of_class.fitted() for of_class in points]

    @classmethod
    def fit(cls, probabilities: Floats, codes: NDArray[np.int64]) -> IsotonicMap:
        """Fit on labelled rows: probabilities of shape (rows, classes), and the column of each row's true class."""
        classes = probabilities.shape[1]
        fitted = range(1, 2) if classes == 2 else range(classes)
        return cls([_Points.of(probabilities[:, code], codes == code) for code in fitted])

    def resampled(self, rng: np.random.Generator) -> IsotonicMap:
        """The map that another sample of as many reference rows would have given."""
        return IsotonicMap([points.resampled(rng) for points in self._points])

    def __call__(self, probabilities: Floats) -> Floats:
        """Calibrated probabilities, shape (rows, classes); each row sums to 1."""
        if probabilities.shape[1] == 2:
            second = self._of_class(0, probabilities[:, 1])
            return np.column_stack([1 - second, second])
        found = np.column_stack([self._of_class(code, column) for code, column in enumerate(probabilities.T)])
        total = found.sum(axis=1, keepdims=True)
        # Where no class has a share left, the model's own word is all there is.
        return np.where(total > 0, found / np.where(total > 0, total, 1.0), probabilities)

    def _of_class(self, place: int, scores: Floats) -> Floats:
        return np.interp(scores, self._points[place].scores, self._fitted[place])


@dataclass(frozen=True)
class Calibration:
    """What turns a model's probabilities into those that an estimate is made of.

    `isotonic` was fitted on all labelled rows of the reference; `serves`: it is nearer to the labels than the
    probabilities themselves, whose errors on rows that it was not fitted on are `error_before` and `error_after`.
    """

    isotonic: IsotonicMap
    serves: bool
    error_before: float
    error_after: float

    def __call__(self, probabilities: Floats) -> Floats:
        """The probabilities to be used, shape (rows, classes)."""
        return self.isotonic(probabilities) if self.serves else probabilities


def calibrate(probabilities: Floats, codes: NDArray[np.int64], seed: int) -> Calibration:
    """Fit on labelled rows of the reference: shape (rows, classes), and the column of each row's true class.

    Whether calibrating helps is asked of both halves of the rows, each time with the map that the other half gave.
    """
    halves = np.array_split(np.random.default_rng(seed).permutation(len(codes)), 2)
    before = after = 0.0
    for fitted_on, held_out in (halves, halves[::-1]):
        isotonic = IsotonicMap.fit(probabilities[fitted_on], codes[fitted_on])
        raw, truth = probabilities[held_out], codes[held_out]
        before += calibration_error(raw, raw, truth) / 2
        after += calibration_error(raw, isotonic(raw), truth) / 2
    return Calibration(IsotonicMap.fit(probabilities, codes), after < before, before, after)


def calibration_error(scores: Floats, probabilities: Floats, codes: NDArray[np.int64]) -> float:
    """Mean distance of claimed and observed shares, over bins of equal size by `scores` and over the classes.

    Args:
        scores: what the rows are sorted by, shape (rows, classes).
        probabilities: what is claimed, same shape.
        codes: the column of each row's true class.
    """
    found = []
    for code in range(1, 2) if scores.shape[1] == 2 else range(scores.shape[1]):
        gaps = (probabilities[:, code] - (codes == code))[np.argsort(scores[:, code], kind="stable")]
        found.append(sum(abs(float(part.sum())) for part in np.array_split(gaps, _ERROR_BINS)) / len(codes))
    return float(np.mean(found))
