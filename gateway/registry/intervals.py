"""Confidence intervals: Wilson for a share, the bootstrap for sums, the score method for a ratio of two shares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

CONFIDENCE = 0.95
#: Two-sided normal quantile of `CONFIDENCE`.
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
BOOTSTRAP_REPLICATES = 1000
#: Sums over more rows are resampled by this many random groups of rows: same variance, bounded work.
BOOTSTRAP_GROUPS_MAX = 2000

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


def bootstrap_means(terms: Floats, rng: np.random.Generator) -> Floats:
    """Column means of resampled rows: terms of shape (rows, q) give (replicates, q)."""
    rows = len(terms)
    if rows > BOOTSTRAP_GROUPS_MAX:
        order = rng.permutation(rows)
        starts = np.linspace(0, rows, BOOTSTRAP_GROUPS_MAX, endpoint=False).astype(np.int64)
        sums, sizes = np.add.reduceat(terms[order], starts), np.diff(starts, append=rows).astype(np.float64)
    else:
        sums, sizes = terms, np.ones(rows)
    groups = len(sizes)
    drawn = rng.integers(0, groups, size=(BOOTSTRAP_REPLICATES, groups))
    drawn += np.arange(BOOTSTRAP_REPLICATES)[:, np.newaxis] * groups
    counts = np.bincount(drawn.ravel(), minlength=BOOTSTRAP_REPLICATES * groups)
    draws = counts.reshape(BOOTSTRAP_REPLICATES, groups).astype(np.float64)
    return np.asarray((draws @ sums) / (draws @ sizes)[:, np.newaxis])


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
