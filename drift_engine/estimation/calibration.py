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
_POINTS_MAX = 500
#: A curve needs so many rows; with fewer, all rows of the class share one.
_CURVE_ROWS_MIN = 20
#: Bins of equal size that the calibration error is measured in.
_ERROR_BINS = 10


@dataclass(frozen=True)
class Claims:
    """What a model says of rows: probabilities, shape (rows, classes), and the columns of the predicted classes."""

    probabilities: Floats
    predicted: NDArray[np.int64]

    @property
    def judged_classes(self) -> range:
        """The classes that say everything: of two the second, whose probability the first's follows from."""
        classes = self.probabilities.shape[1]
        return range(1, 2) if classes == 2 else range(classes)

    def take(self, rows: NDArray[np.int64]) -> Claims:
        """The rows at these positions."""
        return Claims(self.probabilities[rows], self.predicted[rows])


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
        """About as many rows, each of these as often as Poisson says: the bootstrap without its long draw."""
        hits, misses = rng.poisson(self.hits), rng.poisson(self.rows - self.hits)
        rows = hits + misses
        drawn = rows > 0
        return _Points(self.scores[drawn], rows[drawn], hits[drawn]) if drawn.any() else self

    def fitted(self) -> Floats:
        """The share of hits that never falls as the score rises, shape as `scores`."""
        found = isotonic_regression(self.hits / self.rows, weights=self.rows.astype(np.float64))
        return np.asarray(found.x, dtype=np.float64)


@dataclass(frozen=True)
class _Curve:
    """One class's calibrated probability by its claimed one, between points, which ascend."""

    points: _Points
    fitted: Floats

    @classmethod
    def of(cls, points: _Points) -> _Curve:
        return cls(points, points.fitted())


class IsotonicMap:
    """Calibrated probabilities by interpolation between the points that were fitted.

    Each class has a curve for the rows that are predicted to be of it, and one for the others: isotonic regression
    keeps the sum over all rows that it is fitted on, and so the expected confusion counts of the reference are the true
    ones. One curve over both would promise more of the first and fewer of the others than there are. Of two classes
    only the second has curves; the first is what is left.
    """

    def __init__(self, curves: list[tuple[_Curve, _Curve]]) -> None:
        self._curves = curves

    @classmethod
    def fit(cls, rows: Claims, codes: NDArray[np.int64]) -> IsotonicMap:
        """Fit on labelled rows. `codes`: the column of each row's true class, shape (rows,)."""
        return cls([_curves(rows, codes, code) for code in rows.judged_classes])

    def resampled(self, rng: np.random.Generator) -> IsotonicMap:
        """The map that another sample of as many reference rows would have given."""
        return IsotonicMap(
            [
                (_Curve.of(other.points.resampled(rng)), _Curve.of(own.points.resampled(rng)))
                for other, own in self._curves
            ]
        )

    def __call__(self, rows: Claims) -> Floats:
        """Calibrated probabilities, shape (rows, classes); each row sums to 1."""
        columns = [self._of_class(place, rows, code) for place, code in enumerate(rows.judged_classes)]
        if len(columns) == 1:
            return np.column_stack([1 - columns[0], columns[0]])
        found = np.column_stack(columns)
        total = found.sum(axis=1, keepdims=True)
        # Where no class has a share left, the model's own word is all there is.
        return np.where(total > 0, found / np.where(total > 0, total, 1.0), rows.probabilities)

    def _of_class(self, place: int, rows: Claims, code: int) -> Floats:
        scores, own = rows.probabilities[:, code], rows.predicted == code
        found = np.empty(len(scores))
        for curve, chosen in zip(self._curves[place], (~own, own), strict=True):
            found[chosen] = np.interp(scores[chosen], curve.points.scores, curve.fitted)
        return found


def _curves(rows: Claims, codes: NDArray[np.int64], code: int) -> tuple[_Curve, _Curve]:
    scores, truth, own = rows.probabilities[:, code], codes == code, rows.predicted == code
    parts = [~own, own]
    if min(np.count_nonzero(part) for part in parts) < _CURVE_ROWS_MIN:
        parts = [np.ones(len(own), dtype=bool)] * 2
    first, second = (_Curve.of(_Points.of(scores[part], truth[part])) for part in parts)
    return first, second


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

    def __call__(self, rows: Claims) -> Floats:
        """The probabilities to be used, shape (rows, classes)."""
        return self.isotonic(rows) if self.serves else rows.probabilities


def calibrate(rows: Claims, codes: NDArray[np.int64], seed: int) -> Calibration:
    """Fit on labelled rows of the reference. `codes`: the column of each row's true class, shape (rows,).

    Whether calibrating helps is asked of both halves of the rows, each time with the map that the other half gave.
    """
    halves = np.array_split(np.random.default_rng(seed).permutation(len(codes)), 2)
    before = after = 0.0
    for fitted_on, held_out in (halves, halves[::-1]):
        isotonic = IsotonicMap.fit(rows.take(fitted_on), codes[fitted_on])
        held, truth = rows.take(held_out), codes[held_out]
        before += calibration_error(held, held.probabilities, truth) / 2
        after += calibration_error(held, isotonic(held), truth) / 2
    return Calibration(IsotonicMap.fit(rows, codes), after < before, before, after)


def calibration_error(rows: Claims, probabilities: Floats, codes: NDArray[np.int64]) -> float:
    """Mean distance of claimed and observed shares, over bins of equal size by what the model claims and over classes.

    Args:
        probabilities: what is claimed of `rows` now, shape (rows, classes).
        codes: the column of each row's true class.
    """
    found = []
    for code in rows.judged_classes:
        order = np.argsort(rows.probabilities[:, code], kind="stable")
        gaps = (probabilities[:, code] - (codes == code))[order]
        found.append(sum(abs(float(part.sum())) for part in np.array_split(gaps, _ERROR_BINS)) / len(codes))
    return float(np.mean(found))
