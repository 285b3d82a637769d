"""Since when: the change point of a column's cells over the rows of a window, by likelihood.

With c the reference's counts by cell and d_k those of the window's rows from row k on, the most likely change point
maximises the likelihood ratio of "everything before k, the reference included, is one distribution, everything from
k on is another" to "all is one":

    G(k) = 2 (f(c + d_0 - d_k) + f(d_k) - f(c + d_0)),  f(v) = sum v ln v - sum(v) ln(sum(v))

The reference belongs to the rows before, so that a window which differs from its first row on gives k = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drift_engine.explaining.cells import Cells, Codes

Floats = NDArray[np.float64]

#: How sure the interval of the change point is, for independent rows and a sudden change.
CONFIDENCE = 0.95
#: How sure it must be that a change is over.
OVER_CONFIDENCE = 0.999
#: Rows are as before when they differ from the reference by less than this part of what the changed ones do.
_LIKE = 0.25
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


def course(cells: Cells) -> tuple[ChangePoint, int | None] | None:
    """Where the window's rows, in time order, depart from the reference, and the first row that is like it again.

    That row is None while the change lasts to the end. It is the change point of the rows in reverse, where that is
    not the first of them; the rows behind it have no say in when the change began. None without rows.
    """
    rows = len(cells.window)
    back = change_point(replace(cells, window=cells.window[::-1]), OVER_CONFIDENCE)
    if back is None:
        return None
    end = None if back.earliest == 0 else rows - back.row
    if end is not None and not _is_like_reference(cells, cells.window[end:], cells.window[:end]):
        end = None
    began = change_point(replace(cells, window=cells.window[:end]))
    if began is None:
        return None
    if not _is_like_reference(cells, cells.window[: began.row], cells.window[began.row : end]):
        began = ChangePoint(0, 0, 0, began.statistic)
    return began, end


def _is_like_reference(cells: Cells, rows: Codes, changed: Codes) -> bool:
    """Whether `rows` differ from the reference by a fraction of what `changed` does, at most.

    A likelihood of two groups only tells where rows differ most from one another: behind trouble at the window's
    start, the normal rows are the odd ones.
    """
    degrees = cells.size - 1
    certain, scale = _difference(cells, rows)
    expected, changed_scale = _difference(cells, changed)
    surely = max(0.0, certain - degrees - 3 * math.sqrt(2 * degrees)) * scale
    return surely <= _LIKE * max(0.0, expected - degrees) * changed_scale


def _difference(cells: Cells, rows: Codes) -> tuple[float, float]:
    """G of the reference against rows, and what makes it a difference per row: 1/n + 1/m."""
    if not len(rows):
        return 0.0, 0.0
    before, now = (np.bincount(side, minlength=cells.size).astype(np.float64) for side in (cells.reference, rows))
    return float(_statistic(before, now[np.newaxis])[0]), 1 / len(cells.reference) + 1 / len(rows)


def change_point(cells: Cells, confidence: float = CONFIDENCE) -> ChangePoint | None:
    """Where the window's rows depart from the reference and stay away to the end; None for a window without rows."""
    within = _within(confidence)
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
    inside = np.flatnonzero(coarse >= highest - within)
    # The interval's ends lie between a block inside and one outside of it.
    if len(inside):
        first = min(first, int(bounds[max(0, inside[0] - 1)]))
        last = max(last, int(bounds[inside[-1] + 1]))
    if last - first > _EXACT_ROWS_MAX:
        return ChangePoint(int(bounds[best]), first, last - 1, float(coarse[best]))
    fine = _by_row(before, cells, first, last)
    likely = first + np.flatnonzero(fine >= fine.max() - within)
    return ChangePoint(first + int(np.argmax(fine)), int(likely[0]), int(likely[-1]), float(fine.max()))


def _within(confidence: float) -> float:
    """Rows whose G is at most this far below the highest make the interval.

    By Ville's inequality the log-likelihood on either side of the true change point exceeds the one there by more
    than x with a chance of at most exp(-x). Both sides: (1 - exp(-x))**2 = confidence. G is twice a log-likelihood.
    """
    return -2 * math.log(1 - math.sqrt(confidence))


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
