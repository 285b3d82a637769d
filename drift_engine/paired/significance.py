"""Paired tests: what may be said of a difference between two models that answered the same rows.

Plain tests take the rows for independent: McNemar's exact test, DeLong's, the paired bootstrap. In a time series they
are not, and the plain p-values are then too small; the block bootstrap keeps neighbouring rows together.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from gateway.registry.intervals import CONFIDENCE, Z

Floats = NDArray[np.float64]
REPLICATES = 1000
_STARTS_MAX = 2000
#: An autocorrelation of fewer than this many standard errors counts as none (Politis and White's rule).
_CUTOFF = 2.0


def mcnemar_p(gained: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test: of the rows where one model alone is right, is it half and half?

    >>> mcnemar_p(0, 0), mcnemar_p(6, 0)
    (1.0, 0.03125)
    """
    discordant = gained + lost
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(binom.cdf(min(gained, lost), discordant, 0.5)))


def share_difference_interval(gained: int, lost: int, rows: int) -> tuple[float, float]:
    """95 % interval of (gained - lost) / rows (Bonett and Price, J. Educ. Behav. Stat. 37, 2012)."""
    up, down = (gained + 1) / (rows + 2), (lost + 1) / (rows + 2)
    half = Z * math.sqrt((up + down - (up - down) ** 2) / (rows + 2))
    observed = (gained - lost) / rows
    return min(max(-1.0, up - down - half), observed), max(min(1.0, up - down + half), observed)


def normal_test(difference: float, variance: float) -> tuple[float, float, float]:
    """Bounds and two-sided p-value of a difference that is normal with that variance."""
    if variance <= 0:
        return difference, difference, 1.0 if difference == 0 else 0.0
    spread = math.sqrt(variance)
    p_value = 2 * NormalDist().cdf(-abs(difference) / spread)
    return difference - Z * spread, difference + Z * spread, p_value


def bootstrap_test(difference: float, replicates: Floats) -> tuple[float, float, float]:
    """Percentile bounds and two-sided p-value of a difference from its resampled values, shape (replicates,)."""
    replicates = replicates[np.isfinite(replicates)]
    if len(replicates) == 0:
        return difference, difference, 1.0
    lower, upper = np.quantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    # One is added on both sides: a bootstrap of a thousand cannot claim a probability of zero.
    below, above = (1 + int(np.count_nonzero(side)) for side in (replicates <= 0, replicates >= 0))
    p_value = min(1.0, 2 * min(below, above) / (1 + len(replicates)))
    return min(float(lower), difference), max(float(upper), difference), p_value


def row_means(terms: Floats, rng: np.random.Generator) -> Floats:
    """Column means of rows resampled one by one: terms of shape (rows, q) give (replicates, q).

    Many rows are drawn by random groups: the same variance for less work.
    """
    return block_means(rng.permutation(terms, axis=0), 1, rng)


def block_means(terms: Floats, block_rows: int, rng: np.random.Generator) -> Floats:
    """Column means of rows resampled in blocks of neighbours: terms of shape (rows, q) give (replicates, q).

    The circular block bootstrap (Politis and Romano, 1992). To bound its work, blocks begin at no more than
    `_STARTS_MAX` places, evenly spaced, and are no shorter than the space between two; longer blocks only make the
    answer more careful.
    """
    rows = len(terms)
    space = math.ceil(rows / _STARTS_MAX)
    length = max(block_rows, space)
    starts = np.arange(0, rows, space)
    running = np.vstack([np.zeros((1, terms.shape[1])), np.cumsum(np.vstack([terms, terms[:length]]), axis=0)])
    sums = running[starts + length] - running[starts]
    count = max(1, round(rows / length))
    drawn = rng.integers(0, len(starts), size=(REPLICATES, count))
    drawn += np.arange(REPLICATES)[:, np.newaxis] * len(starts)
    times = np.bincount(drawn.ravel(), minlength=REPLICATES * len(starts)).reshape(REPLICATES, len(starts))
    return np.asarray(times.astype(np.float64) @ sums / (count * length))


def block_length(series: Floats) -> int:
    """How long blocks must be to keep a series' dependence: 1 where neighbours have nothing in common.

    The automatic choice of Politis and White (Econometric Reviews 23, 2004; corrected by Patton, Politis and White, 28,
    2009) for the circular block bootstrap.
    """
    rows = len(series)
    spread = float(series.var())
    if rows < 10 or spread == 0:
        return 1
    lags_max = min(rows - 1, math.ceil(math.sqrt(rows)) + max(5, math.ceil(math.log10(rows))))
    correlations = _autocorrelations(series, lags_max)
    last = _last_correlated_lag(correlations, rows)
    if last == 0:
        return 1
    window = min(2 * last, lags_max)
    lags = np.arange(1, window + 1)
    # The flat-top lag window: 1 for the first half, then falling to 0.
    weights = np.clip(2 * (1 - lags / window), 0.0, 1.0) * spread * correlations[:window]
    density = spread + 2 * float(weights.sum())
    slope = 2 * float((weights * lags).sum())
    if density <= 0:
        return 1
    length = (2 * slope**2 / (4 / 3 * density**2)) ** (1 / 3) * rows ** (1 / 3)
    return int(max(1, min(round(length), math.ceil(min(3 * math.sqrt(rows), rows / 3)))))


def _autocorrelations(series: Floats, lags_max: int) -> Floats:
    """Of lags 1 to `lags_max`."""
    centred = series - series.mean()
    total = float(centred @ centred)
    return np.array([float(centred[lag:] @ centred[:-lag]) / total for lag in range(1, lags_max + 1)])


def _last_correlated_lag(correlations: Floats, rows: int) -> int:
    """The lag after which several in a row are no more than noise; 0 where the first ones are already."""
    in_a_row = max(5, math.ceil(math.sqrt(math.log10(rows))))
    quiet = np.abs(correlations) < _CUTOFF * math.sqrt(math.log10(rows) / rows)
    for lag in range(len(quiet) - in_a_row + 1):
        if quiet[lag : lag + in_a_row].all():
            return lag
    loud = np.flatnonzero(~quiet)
    return int(loud[-1]) + 1 if len(loud) else 0
