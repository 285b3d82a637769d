"""Since when: the change point of a column's cells over the rows of a window, by likelihood.

With c the reference's counts by cell and d_k those of the window's rows from row k on, the most likely change point
maximises the likelihood ratio of "everything before k, the reference included, is one distribution, everything from
k on is another" to "all is one":

    G(k) = 2 (f(c + d_0 - d_k) + f(d_k) - f(c + d_0)),  f(v) = sum v ln v - sum(v) ln(sum(v))

The reference belongs to the rows before, so that a window which differs from its first row on gives k = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift_engine.cells import Cells, Codes

Floats = NDArray[np.float64]

#: How sure the interval of the change point is, for independent rows and a sudden change.
CONFIDENCE = 0.95
#: By Ville's inequality the log-likelihood on either side of the true change point exceeds the one there by more than
#: x with a chance of at most exp(-x). Both sides: (1 - exp(-x))**2 = CONFIDENCE. G is twice a log-likelihood.
_WITHIN = -2 * math.log(1 - math.sqrt(CONFIDENCE))
#: The window is first looked at in so many blocks, then row by row where the maximum and its interval lie.
_BLOCKS = 512
#: An interval of more rows than this is told to the block.
_EXACT_ROWS_MAX = 50_000


@dataclass(frozen=True)
class ChangePoint:
    """Rows of the window: the first one after the change, and the interval of it, ends included.

    `statistic`: G at `row`.
    """

    row: int
    earliest: int
    latest: int
    statistic: float


def change_point(cells: Cells) -> ChangePoint | None:
    """Where the window's rows, in time order, depart from the reference; None for a window without rows."""
    rows = len(cells.window)
    if not rows:
        return None
    before = np.bincount(cells.reference, minlength=cells.size).astype(np.float64)
    bounds = np.unique(np.linspace(0, rows, min(rows, _BLOCKS) + 1).astype(np.int64))
    blocks = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    counts = np.bincount(blocks * cells.size + cells.window, minlength=(len(bounds) - 1) * cells.size)
    coarse = _statistic(before, _from_here_on(counts.reshape(-1, cells.size)))
    best = int(np.argmax(coarse))
    first, last = int(bounds[max(0, best - 1)]), int(bounds[best + 1])
    fine = _by_row(before, cells, first, last)
    highest = max(float(fine.max()), float(coarse[best]))
    inside = np.flatnonzero(coarse >= highest - _WITHIN)
    # The interval's ends lie between a block inside and one outside of it.
    if len(inside):
        first = min(first, int(bounds[max(0, inside[0] - 1)]))
        last = max(last, int(bounds[inside[-1] + 1]))
    if last - first > _EXACT_ROWS_MAX:
        return ChangePoint(int(bounds[best]), first, last - 1, float(coarse[best]))
    fine = _by_row(before, cells, first, last)
    likely = first + np.flatnonzero(fine >= fine.max() - _WITHIN)
    return ChangePoint(first + int(np.argmax(fine)), int(likely[0]), int(likely[-1]), float(fine.max()))


def _by_row(before: Floats, cells: Cells, first: int, last: int) -> Floats:
    """G(k) for first <= k < last."""
    behind = np.bincount(cells.window[last:], minlength=cells.size)
    single = np.zeros((last - first, cells.size), dtype=np.int64)
    single[np.arange(last - first), cells.window[first:last]] = 1
    early = np.bincount(cells.window[:first], minlength=cells.size)
    return _statistic(before + early, _from_here_on(single) + behind)


def _from_here_on(counts: Codes) -> Floats:
    """Sums of each row of `counts` and all behind it."""
    return np.cumsum(counts[::-1], axis=0)[::-1].astype(np.float64)


def _statistic(before: Floats, behind: Floats) -> Floats:
    """G for each row of `behind`; its first row holds all rows that are not in `before`."""
    total = before + behind[0]
    return 2 * (_information(total - behind) + _information(behind) - _information(total))


def _information(counts: Floats) -> Floats:
    """f over the last axis; 0 ln 0 is 0."""
    sums = counts.sum(axis=-1)
    return np.asarray(np.sum(_x_ln_x(counts), axis=-1) - _x_ln_x(sums))


def _x_ln_x(x: Floats) -> Floats:
    return np.asarray(x * np.log(np.maximum(x, 1.0)))
