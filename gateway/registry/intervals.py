"""Confidence intervals, in closed form: the same rows give the same bounds.

Wilson for a share, Hall for a mean of numbers and for a ratio of two means, the score method for a ratio of two shares.
How often they hold what they are to hold: docs/performance.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit

CONFIDENCE = 0.95
#: Two-sided normal quantile of `CONFIDENCE`.
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
#: Under this many rows the interval of a mean is too narrow to be shown.
MEAN_ROWS_MIN = 10
#: Terms that lean less have a symmetric interval; the cubic's inverse would divide by nearly nothing.
_LEAN_MIN = 1e-6
#: Doublings of a step of 5 % after which a bound is called none.
_STEPS_MAX = 40

Floats = NDArray[np.float64]


def wilson(successes: float, rows: float, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a proportion (JASA 22, 1927). `rows` > 0."""
    share, spread = successes / rows, z * z / rows
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / rows + spread / (4 * rows))
    # At the ends the bounds are 0 and 1 exactly; rounding must not move them past the value.
    low = 0.0 if successes <= 0 else centre - half
    high = 1.0 if successes >= rows else centre + half
    return min(low, share), max(high, share)


def wilson_delta(value: float, variance: float, rows: int) -> tuple[float, float]:
    """Wilson's interval of a figure between 0 and 1 that is no plain share but scatters like one of other rows.

    `variance` is that of the figure, by the delta method; `value (1 - value) / variance` rows would have it. At 0 and 1
    nothing is seen to scatter, and the rows themselves count.
    """
    seen = variance > 0 and 0 < value < 1
    effective = value * (1 - value) / variance if seen else float(rows)
    return wilson(value * effective, effective)


def mean_interval(terms: Floats) -> tuple[float | None, float | None]:
    """Interval of the mean that `terms`, shape (rows,), were drawn from; (None, None) under `MEAN_ROWS_MIN` rows.

    Student's t, whose distribution leans where the terms do; Hall's cubic takes that out (P. Hall, J. R. Statist. Soc.
    B 54, 1992), so that errors, whose large ones are few, are not bounded too low. Infinite terms have infinite bounds.
    """
    if len(terms) < MEAN_ROWS_MIN:
        return None, None
    mean, error, lean = _moments(terms)
    if not error > 0:
        return mean, mean
    quantile = _student(len(terms))
    return mean - error * _untransformed(quantile, lean), mean - error * _untransformed(-quantile, lean)


def ratio_interval(above: Floats, below: Floats) -> tuple[float | None, float | None]:
    """Interval of the ratio of two means, of `above` and `below`, shape (rows,) each, drawn together, `below` > 0.

    Fieller's construction with Hall's test: the ratios r for which the mean of `above - r below` may be 0. (None, None)
    under `MEAN_ROWS_MIN` rows and where the rows bound it on one side only.
    """
    if len(above) < MEAN_ROWS_MIN or not below.mean() > 0:
        return None, None
    ratio, quantile = float(above.mean() / below.mean()), _student(len(above))

    def beyond(tried: float, side: float) -> float:
        """The test's statistic less the quantile on that side; falls as the ratio rises."""
        mean, error, lean = _moments(above - tried * below)
        if not error > 0:
            return float(np.sign(mean)) * math.inf
        return _transformed(mean / error, lean) - side * quantile

    low = _crossing(lambda tried: beyond(tried, 1.0), ratio, -1.0)
    high = _crossing(lambda tried: beyond(tried, -1.0), ratio, 1.0)
    return (None, None) if low is None or high is None else (low, high)


def _crossing(function: Callable[[float], float], start: float, direction: float) -> float | None:
    """Where a falling function crosses zero, sought from `start` in ever larger steps; None where it does not."""
    if not math.isfinite(function(start)):
        return start
    step = 0.05 * abs(start) + 1e-12
    for _ in range(_STEPS_MAX):
        tried = start + direction * step
        if function(tried) * direction < 0:
            return _root(function, min(start, tried), max(start, tried))
        step *= 2
    return None


def _moments(terms: Floats) -> tuple[float, float, float]:
    """Mean, its standard error, and the terms' skewness over the square root of their number."""
    rows, mean = len(terms), float(terms.mean())
    centred = terms - mean
    spread = float(np.sqrt((centred**2).mean()))
    if not spread > 0:
        return mean, 0.0, 0.0
    lean = float(((centred / spread) ** 3).mean()) / math.sqrt(rows)
    return mean, spread / math.sqrt(rows - 1), lean


def _student(rows: int) -> float:
    return float(stdtrit(rows - 1, 0.5 + CONFIDENCE / 2))


def _transformed(t: float, lean: float) -> float:
    """Hall's cubic: `t` with its skewness taken out."""
    return t + lean * t * t / 3 + lean * lean * t**3 / 27 + lean / 6


def _untransformed(x: float, lean: float) -> float:
    """The t whose `_transformed` is x."""
    if abs(lean) < _LEAN_MIN:
        return x
    return 3 / lean * (float(np.cbrt(1 + lean * (x - lean / 6))) - 1)


@dataclass(frozen=True)
class Ratio:
    """Two observed proportions, the window's and the baseline's; counts need not be whole.

    The score method (Koopman, Biometrics 40, 1984; Farrington and Manning, Statistics in Medicine 9, 1990):
    `z = (p1 - t p0) / sqrt(v)`, v being the variance at the most likely proportions with `p1 = t p0`.
    """

    hits: float
    rows: float
    base_hits: float
    base_rows: float

    def z(self, ratio: float) -> float:
        """Score statistic of "window = ratio * baseline"; negative when the window is below it."""
        a = (self.rows + self.base_rows) * ratio
        b = ratio * (self.rows + self.base_hits) + self.base_rows + self.hits
        c = self.hits + self.base_hits
        # The smaller root, written without cancellation.
        base = 2 * c / (b + math.sqrt(max(b * b - 4 * a * c, 0.0)))
        window = min(base * ratio, 1.0)
        variance = window * (1 - window) / self.rows + ratio**2 * base * (1 - base) / self.base_rows
        gap = self.hits / self.rows - ratio * self.base_hits / self.base_rows
        if variance <= 0:
            return 0.0 if gap == 0 else math.copysign(math.inf, gap)
        return gap / math.sqrt(variance)

    def interval(self) -> tuple[float, float]:
        """The ratios that the score test does not reject: |z| <= `Z`. The baseline was right at least once."""
        ratio = (self.hits / self.rows) / (self.base_hits / self.base_rows)
        low = 0.0 if self.hits <= 0 else _root(lambda t: self.z(t) - Z, 1e-9, ratio)
        high = max(2 * ratio, 1.0)
        while self.z(high) > -Z:
            high *= 2
        return low, _root(lambda t: self.z(t) + Z, ratio, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-12))
