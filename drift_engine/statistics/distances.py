"""Distances between two samples as Evidently computes them, to 1e-9, from values that are sorted once.

Evidently goes through pandas and sorts both samples for every figure; here a figure of two columns of 1,000,000
values takes milliseconds. Missing and infinite values are left out by the caller, as Evidently leaves them out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from drift_engine.table import Floats

Counts = NDArray[np.int64]

#: A number with at most so many distinct values in the reference is compared value by value, not in a histogram.
DISTINCT_MAX = 20
#: Least standard deviation that Evidently divides a Wasserstein distance by.
DEVIATION_MIN = 0.001


def wasserstein(reference: Floats, window: Floats) -> float:
    """First Wasserstein distance of two ascending samples, in the column's own unit.

    The area between both quantile functions: these are steps at the multiples of 1/n and 1/m, so that integers
    say where one ends, whatever the values are.
    """
    n, m = len(reference), len(window)
    if n == m:
        return float(np.mean(np.abs(reference - window)))
    starts = np.sort(np.concatenate([np.arange(n, dtype=np.int64) * m, np.arange(m, dtype=np.int64) * n]))
    widths = np.diff(starts, append=n * m)
    return float(widths @ np.abs(reference[starts // m] - window[starts // n]) / (n * m))


def normed_wasserstein(reference: Floats, window: Floats) -> float:
    """Evidently's "Wasserstein distance (normed)": in standard deviations of the reference, 0.001 at least."""
    return wasserstein(reference, window) / max(float(np.std(reference)), DEVIATION_MIN)


def kolmogorov_smirnov(reference: Floats, window: Floats) -> float:
    """The largest difference of the two distribution functions of ascending samples, 0 to 1."""
    n, m = len(reference), len(window)
    # It is attained at a value: there both functions count it.
    at_reference = np.abs(_ranks(reference) / n - np.searchsorted(window, reference, side="right") / m)
    at_window = np.abs(np.searchsorted(reference, window, side="right") / n - _ranks(window) / m)
    return float(max(at_reference.max(), at_window.max()))


def histograms(reference: Floats, window: Floats) -> tuple[Counts, Counts]:
    """Counts of two ascending samples in the cells that Evidently compares: per value, or in equal bins of both.

    Raises OverflowError when the values are too far apart for bins of equal width.
    """
    levels = distinct(reference)
    if len(levels) <= DISTINCT_MAX:
        levels = distinct(np.sort(np.concatenate([levels, distinct(window)])))
        return _per_value(reference, levels), _per_value(window, levels)
    edges = _sturges_edges(min(reference[0], window[0]), max(reference[-1], window[-1]), len(reference) + len(window))
    return _between(reference, edges), _between(window, edges)


def population_stability(reference: Counts, window: Counts) -> float:
    """Evidently's PSI of two count vectors: an empty cell counts as 0.0001, or as a millionth of the least share."""
    p, q = _filled(reference / reference.sum()), _filled(window / window.sum())
    return float(np.sum((p - q) * np.log(p / q)))


def jensen_shannon(reference: Counts, window: Counts) -> float:
    """Evidently's Jensen-Shannon distance of two count vectors: the root of the divergence in nats, up to 0.8326."""
    return float(np.sqrt(jensen_shannon_divergence(reference, window)))


def jensen_shannon_divergence(reference: Counts, window: Counts) -> float:
    """The Jensen-Shannon divergence of two count vectors in nats, 0 to ln 2."""
    p, q = reference / reference.sum(), window / window.sum()
    middle = (p + q) / 2
    return max(0.0, float(np.sum(rel_entr(p, middle)) + np.sum(rel_entr(q, middle))) / 2)


def homogeneity(reference: Counts, window: Counts) -> float:
    """Chi-square statistic of two count vectors without empty columns: were both drawn from one distribution?"""
    n, m = float(reference.sum()), float(window.sum())
    difference = reference * np.sqrt(m / n) - window * np.sqrt(n / m)
    return float(np.sum(difference**2 / (reference + window)))


def distinct(ordered: Floats) -> Floats:
    """The different values of an ascending sample."""
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _ranks(ordered: Floats) -> Counts:
    """How many values are at or below each; equal values have the same rank."""
    return np.searchsorted(ordered, ordered, side="right")


def _per_value(ordered: Floats, levels: Floats) -> Counts:
    ends = np.searchsorted(ordered, levels, side="right")
    return np.diff(ends, prepend=0).astype(np.int64)


def _between(ordered: Floats, edges: Floats) -> Counts:
    """Counts in [e0, e1), [e1, e2), ..., of which the last includes its upper edge, as numpy's histogram has them."""
    places = np.append(np.searchsorted(ordered, edges[:-1], side="left"), len(ordered))
    return np.diff(places).astype(np.int64)


def _sturges_edges(low: float, high: float, count: int) -> Floats:
    """Edges of numpy's histogram with `bins="sturges"`."""
    with np.errstate(over="ignore"):
        reach = np.float64(high) - np.float64(low)
    if not np.isfinite(reach):
        raise OverflowError("the values are too far apart for bins of equal width")
    width = reach / (np.log2(count) + 1.0)
    return np.linspace(low, high, int(np.ceil(reach / width)) + 1)


def _filled(shares: Floats) -> Floats:
    least = shares[shares != 0].min()
    return np.where(shares == 0, least / 10**6 if least <= 0.0001 else 0.0001, shares)
