"""Where: the segments of the rows (a level or a range of another column) that hold most of a column's change.

With p, q the shares of reference and window, x the cells of the column that moved and s a segment, the change is
the total variation distance T = 1/2 sum_x g_x (q(x) - p(x)), with g_x the sign of q(x) - p(x). It splits without a
rest into the parts of the segments,

    T_s = 1/2 sum_x g_x (q(x, s) - p(x, s) - (q(s) - p(s)) p(x)),

where the last term makes the part of a segment 0 that grew or shrank and has nothing else to do with x. A change
that is everywhere alike gives each segment T_s = q(s) T: what is told are segments with clearly more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from drift_engine.explaining.cells import Cells, Codes
from drift_engine.results.schema import Contribution

Floats = NDArray[np.float64]

#: So many segments are told at most, each of another column.
SEGMENTS_MAX = 3
#: A segment's part of the change must exceed its part of the rows by this much ...
EXCESS_MIN = 0.2
#: ... and beyond chance: the chance that any segment is told of a change that is everywhere alike.
ALPHA = 0.01
#: Less than this part of the change is no answer to "where", however few the rows.
_CHANGE_SHARE_MIN = 0.3


@dataclass(frozen=True)
class _Signs:
    """The direction in which each cell of a column moved: centred signs by cell, and the size of the change."""

    by_cell: Floats
    change: float


def contributions(moved: Cells, others: Mapping[str, Cells]) -> tuple[Contribution, ...]:
    """The segments that hold clearly more of the change of `moved` than of the rows, strongest first.

    All cells are of the same rows. Of each other column the segment with the largest part is a candidate.
    """
    signs = _signs(moved)
    if signs is None:
        return ()
    segments = sum(other.size for other in others.values())
    found = []
    for name, other in others.items():
        candidate = _strongest(moved, signs, other, segments)
        if candidate is not None:
            place, change_share, rows_share = candidate
            found.append(Contribution(name, other.texts[place], change_share, rows_share))
    found.sort(key=lambda item: (item.rows_share - item.change_share, item.column))
    return tuple(found[:SEGMENTS_MAX])


def _signs(moved: Cells) -> _Signs | None:
    """None when nothing moved at all, among these rows."""
    p, q = moved.shares()
    signs = np.sign(q - p)
    change = float(np.sum(np.abs(q - p))) / 2
    return _Signs(signs - float(signs @ p), change) if change > 0 else None


def _strongest(moved: Cells, signs: _Signs, other: Cells, segments: int) -> tuple[int, float, float] | None:
    """Of one other column: the segment's cell, its part of the change and of the rows; None when none is told."""
    n, m = len(moved.reference), len(moved.window)
    before = _sums(moved.reference, other.reference, signs.by_cell, other.size) / n
    now = _sums(moved.window, other.window, signs.by_cell, other.size) / m
    _, rows_share = other.shares()
    change_share = (now - before) / 2 / signs.change
    excess = change_share - rows_share
    # Each row adds half its centred sign where it is of the segment, and takes the segment's share of that everywhere.
    spread = np.sum(signs.by_cell**2 * np.array(moved.shares()), axis=1) / 4
    variance = rows_share * (1 - rows_share) * (spread[0] / n + spread[1] / m) / signs.change**2
    certain = excess > -float(ndtri(ALPHA / segments)) * np.sqrt(variance)
    told = certain & (excess > EXCESS_MIN) & (change_share > _CHANGE_SHARE_MIN)
    if not told.any():
        return None
    place = int(np.argmax(np.where(told, excess, -np.inf)))
    return place, float(change_share[place]), float(rows_share[place])


def _sums(cells: Codes, segments: Codes, signs: Floats, size: int) -> Floats:
    """The sum of the signs of the rows in each segment."""
    return np.asarray(np.bincount(segments, weights=signs[cells], minlength=size), dtype=np.float64)
