"""Rows that repeat another one in every input, beyond the rate that the reference has itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from drift_engine.data_quality.findings import counted, graded
from drift_engine.results.schema import QualityFinding
from drift_engine.sentences import number, percent, printable, quoted
from drift_engine.table import NumberColumn, Table

Hashes = NDArray[np.uint64]

#: The share of repeated rows must exceed the reference's by more than a point, and be more than twice it.
_EXCESS_MIN, _FACTOR = 0.01, 2.0
#: Of the row that is repeated most the example shows so many inputs.
_COLUMNS_SHOWN = 4
#: Odd numbers of 64 bits without structure (splitmix64).
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = np.uint64(0x9E3779B97F4A7C15)


def duplicate_rows(reference: Table, window: Table, names: Sequence[str], alpha: float) -> Iterator[QualityFinding]:
    """A finding when the window repeats rows, in all columns `names`, more than the reference does among equally many.

    Both sides are cut into stretches of the same number of rows, since more rows repeat more; within each, every row
    that equals an earlier one counts.
    """
    size = min(reference.rows, window.rows)
    if not names or not size:
        return
    hashes = _hashes(window, names)
    count, rows = _repeated(hashes, size)
    usual, usual_rows = _repeated(_hashes(reference, names), size)
    share, usual_share = count / rows, usual / usual_rows
    if share <= usual_share + _EXCESS_MIN or share <= _FACTOR * usual_share:
        return
    if _chance(count, rows, usual, usual_rows) > alpha:
        return
    distinct, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    most = int(np.argmax(counts))
    said = f"{counted(count, 'row')} of {rows:,} ({percent(share)}) repeat an earlier one"
    of = f"{counted(len(names), 'input')}, {counted(len(distinct), 'distinct row')}"
    sentence = f"{said}; {percent(usual_share)} in the reference ({of})"
    example = f"{int(counts[most]):,} x {_row_text(window, names[:_COLUMNS_SHOWN], int(first[most]))}"
    yield QualityFinding(
        "duplicate rows", "", count, share, graded(share - usual_share), sentence, (printable(example),)
    )


def _hashes(table: Table, names: Sequence[str]) -> Hashes:
    """One number per row; equal for rows that are equal in the columns `names`, shape (rows,)."""
    found = np.zeros(table.rows, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for name in names:
            column = table.columns[name]
            if isinstance(column, NumberColumn):
                # + 0.0: minus zero equals zero. All NaN alike: what is missing is missing.
                values = np.where(np.isnan(column.values), np.nan, column.values + 0.0)
                bits = values.view(np.uint64)
            else:
                bits = column.codes.astype(np.int64).view(np.uint64)
            found = (found ^ bits) + _STEP
            for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
                found = (found ^ (found >> np.uint64(shift))) * multiplier
            found ^= found >> np.uint64(31)
    return found


def _repeated(hashes: Hashes, size: int) -> tuple[int, int]:
    """Rows that equal an earlier one of the same stretch of `size` rows, and the rows of all whole stretches."""
    stretches = len(hashes) // size
    whole = np.sort(hashes[: stretches * size].reshape(stretches, size), axis=1)
    return int(np.count_nonzero(whole[:, 1:] == whole[:, :-1])), stretches * size


def _chance(count: int, rows: int, usual: int, usual_rows: int) -> float:
    """Of so large a difference of two shares, by the normal approximation with a repeated row added to the usual."""
    pooled = (count + usual + 1) / (rows + usual_rows)
    spread = math.sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / rows + 1 / usual_rows))
    return float(ndtr(-(count / rows - (usual + 1) / usual_rows) / spread))


def _row_text(table: Table, names: Sequence[str], row: int) -> str:
    parts = []
    for name in names:
        column = table.columns[name]
        if isinstance(column, NumberColumn):
            value = column.values[row]
            parts.append(f"{name} {'missing' if np.isnan(value) else number(float(value))}")
        else:
            code = int(column.codes[row])
            parts.append(f"{name} {'missing' if code < 0 else quoted(column.levels[code])}")
    return ", ".join(parts)
