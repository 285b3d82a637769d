"""A column as cells: for every row, in which bin or level it lies, below or above all seen, or without a value.

Where `summaries` keeps counts, cells keep the rows' order and what else is in the row, which is what "since when" and
"where" ask for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift_engine.sentences import bin_range, number, quoted
from drift_engine.statistics.summaries import Cuts, reference_cuts
from drift_engine.table import Column, NumberColumn, TextColumn

Codes = NDArray[np.int64]

#: So many levels have a cell of their own: those with the largest share on either side. The others have one together.
LEVELS_MAX = 20
MISSING = "missing"


@dataclass(frozen=True)
class Cells:
    """Both sides of a column in the same cells.

    Attributes:
        reference: shape (rows,), the cell of each row.
        window: likewise.
        texts: shape (cells,), what lies in a cell, e.g. "above 3.2" or '"de"'.
    """

    reference: Codes
    window: Codes
    texts: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many cells there are."""
        return len(self.texts)

    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The share of each cell in the rows of reference and window, shape (cells,) each."""
        p = np.bincount(self.reference, minlength=self.size) / max(1, len(self.reference))
        q = np.bincount(self.window, minlength=self.size) / max(1, len(self.window))
        return p, q


def cells_of(reference: Column, window: Column) -> Cells | None:
    """Both sides in cells; None when the reference has no value to cut by."""
    if isinstance(reference, NumberColumn):
        assert isinstance(window, NumberColumn)
        return _number_cells(reference, window)
    assert isinstance(window, TextColumn)
    return _level_cells(reference, window)


def _number_cells(reference: NumberColumn, window: NumberColumn) -> Cells | None:
    cuts = reference_cuts(reference)
    if cuts is None:
        return None
    bins = len(cuts.edges) + 1
    texts = [bin_range(cuts, position) for position in range(bins)]
    beyond = [f"below {number(cuts.minimum)}, the reference's smallest", f"above {number(cuts.maximum)}, its largest"]
    return Cells(_binned(reference, cuts), _binned(window, cuts), (*texts, *beyond, MISSING))


def _binned(column: NumberColumn, cuts: Cuts) -> Codes:
    values, bins = column.values, len(cuts.edges) + 1
    codes = np.searchsorted(cuts.edges, values, side="left").astype(np.int64)
    codes[values < cuts.minimum] = bins
    codes[values > cuts.maximum] = bins + 1
    codes[np.isnan(values)] = bins + 2
    return codes


def _level_cells(reference: TextColumn, window: TextColumn) -> Cells | None:
    before, now = _level_shares(reference), _level_shares(window)
    if not before:
        return None
    ranked = sorted(
        before.keys() | now.keys(), key=lambda level: (-max(before.get(level, 0), now.get(level, 0)), level)
    )
    own = ranked[:LEVELS_MAX]
    texts = [quoted(level) for level in own] + ["any other level", MISSING]
    return Cells(_placed(reference, own), _placed(window, own), tuple(texts))


def _level_shares(column: TextColumn) -> dict[str, float]:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    total = max(1, int(counts.sum()))
    return {level: int(count) / total for level, count in zip(column.levels, counts, strict=True) if count}


def _placed(column: TextColumn, own: Iterable[str]) -> Codes:
    places = {level: place for place, level in enumerate(own)}
    others = len(places)
    # The last entry is what the code -1, no value, finds.
    lookup = np.array([*(places.get(level, others) for level in column.levels), others + 1], dtype=np.int64)
    return lookup[column.codes]
