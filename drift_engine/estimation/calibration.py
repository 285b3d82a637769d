"""From a model's probabilities to those that its reference bears out.

In one of two ways, one class against the rest, learned from the reference's labelled rows: by a shift of the log odds
that brings the claims to the level of the labels, or by isotonic regression (Barlow et al., 1972; Zadrozny and Elkan,
KDD 2002), which also bends them. The second has more freedom to follow chance, so it serves only where it comes nearer
to the labels of rows that it was not fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit, logit

from drift_engine.table import Floats

#: Rows of nearly the same score are one point of the regression: so many points lose nothing, and bound the work.
_POINTS_MAX = 500
#: A curve needs so many rows; with fewer, all rows of the class share one.
_CURVE_ROWS_MIN = 20
#: Claims are taken as no surer than this, and shifted by no more than would turn the surest round.
_CERTAIN = 1e-9
_SHIFT_MAX = 60.0
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


class Curve(Protocol):
    """One class's calibrated probability by its claimed one."""

    @classmethod
    def of(cls, points: _Points) -> Self:
        """Fit it."""

    @property
    def points(self) -> _Points:
        """What it was fitted on."""

    def __call__(self, scores: Floats) -> Floats:
        """Calibrated probabilities, shape as `scores`."""


@dataclass(frozen=True)
class Shift:
    """Log odds moved by `amount`, so that as many hits are expected as there are."""

    points: _Points
    amount: float

    @classmethod
    def of(cls, points: _Points) -> Self:
        rows = int(points.rows.sum())
        # Without a hit, or with nothing else, no finite shift would do.
        hits = min(max(float(points.hits.sum()), 0.5), rows - 0.5)
        odds = _log_odds(points.scores)

        def surplus(amount: float) -> float:
            return float(points.rows @ expit(odds + amount)) - hits

        return cls(points, float(brentq(surplus, -_SHIFT_MAX, _SHIFT_MAX, xtol=1e-9)))

    def __call__(self, scores: Floats) -> Floats:
        return np.asarray(expit(_log_odds(scores) + self.amount))


@dataclass(frozen=True)
class Isotonic:
    """The shares of hits that never fall as the score rises, and straight lines between them."""

    points: _Points
    fitted: Floats

    @classmethod
    def of(cls, points: _Points) -> Self:
        found = isotonic_regression(points.hits / points.rows, weights=points.rows.astype(np.float64))
        return cls(points, np.asarray(found.x, dtype=np.float64))

    def __call__(self, scores: Floats) -> Floats:
        return np.interp(scores, self.points.scores, self.fitted)


class CalibrationMap:
    """Calibrated probabilities, by curves of one kind.

    Each class has a curve for the rows that are predicted to be of it, and one for the others. Either kind keeps the
    sum over the rows that it is fitted on, so the expected confusion counts of the reference are the true ones. One
    curve over both would promise more right answers than there are, and the probabilities as they are any number.
    """

    def __init__(self, curves: list[tuple[Curve, Curve]]) -> None:
        self._curves = curves

    @classmethod
    def fit(cls, kind: type[Curve], rows: Claims, codes: NDArray[np.int64]) -> CalibrationMap:
        """Fit on labelled rows. `codes`: the column of each row's true class, shape (rows,)."""
        return cls([_curves(kind, rows, codes, code) for code in rows.judged_classes])

    def resampled(self, rng: np.random.Generator) -> CalibrationMap:
        """The map that another sample of as many reference rows would have given."""
        return CalibrationMap([(_again(other, rng), _again(own, rng)) for other, own in self._curves])

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
            found[chosen] = curve(scores[chosen])
        return found


def _again(curve: Curve, rng: np.random.Generator) -> Curve:
    return type(curve).of(curve.points.resampled(rng))


def _log_odds(scores: Floats) -> Floats:
    return np.asarray(logit(np.clip(scores, _CERTAIN, 1 - _CERTAIN)))


def _curves(kind: type[Curve], rows: Claims, codes: NDArray[np.int64], code: int) -> tuple[Curve, Curve]:
    scores, truth, own = rows.probabilities[:, code], codes == code, rows.predicted == code
    parts = [~own, own]
    if min(np.count_nonzero(part) for part in parts) < _CURVE_ROWS_MIN:
        parts = [np.ones(len(own), dtype=bool)] * 2
    first, second = (kind.of(_Points.of(scores[part], truth[part])) for part in parts)
    return first, second


def calibrate(rows: Claims, codes: NDArray[np.int64], seed: int) -> CalibrationMap:
    """Fit on labelled rows of the reference. `codes`: the column of each row's true class, shape (rows,).

    Which kind serves is asked of both halves of the rows, each time with the map that the other half gave.
    """
    halves = np.array_split(np.random.default_rng(seed).permutation(len(codes)), 2)
    kinds: tuple[type[Curve], type[Curve]] = (Shift, Isotonic)
    errors = dict.fromkeys(kinds, 0.0)
    for fitted_on, held_out in (halves, halves[::-1]):
        held, truth = rows.take(held_out), codes[held_out]
        for kind in kinds:
            fitted = CalibrationMap.fit(kind, rows.take(fitted_on), codes[fitted_on])
            errors[kind] += calibration_error(held, fitted(held), truth)
    return CalibrationMap.fit(min(kinds, key=lambda kind: errors[kind]), rows, codes)


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
