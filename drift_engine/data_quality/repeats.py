"""Columns that stand still: constant in the window, or one value for far longer than chance would hold it.

How long chance holds a value is told by how often a row has the value of the row before, as seen in the reference and
in the rest of the window: a column that changes slowly by nature, as the hour of the day does, is not stuck. The
reference's own longest run is doubled before anything counts, which needs it in its order of time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift_engine.data_quality.findings import Pair, counted, graded
from drift_engine.results.schema import QualityFinding
from drift_engine.sentences import number, percent, quoted
from drift_engine.table import Column, NumberColumn

#: A run as long as this times the reference's longest one is no news.
_REFERENCE_RUNS = 2
#: A shorter run is never told: fewer rows, or a smaller part of the window.
_RUN_MIN, _SHARE_MIN = 20, 0.01

Values = NDArray[Any]


@dataclass(frozen=True)
class _Runs:
    """The runs of equal values of a column: its longest one, and how many rows equal the row before."""

    rows: int
    start: int
    length: int
    repeats: int


def standstill(pair: Pair, minimum_rows: int) -> Iterator[QualityFinding]:
    """A column that is constant, or stuck for a part of the window; missing values are passed over."""
    before, now = pair.before, pair.now
    if len(now) < minimum_rows or len(before) < minimum_rows:
        return
    runs, usual = _runs(now), _runs(before)
    if runs.length < max(_RUN_MIN, _SHARE_MIN * len(now), _REFERENCE_RUNS * usual.length + 1):
        return
    value = now[runs.start]
    shown = number(float(value)) if isinstance(pair.window, NumberColumn) else quoted(_level(pair.window, int(value)))
    usual_share = _reference_count(pair, value) / len(before)
    if _log_chance(runs, usual, usual_share, int(np.count_nonzero(now == value))) > math.log(pair.alpha):
        return
    if runs.length == len(now):
        sentence = f"all {counted(len(now), 'value')} are {shown} ({percent(usual_share)} in the reference)"
        yield QualityFinding("constant", pair.name, len(now), 1.0, "high", sentence, (shown,))
        return
    share = runs.length / len(now)
    longest = f"the longest run in the reference is {counted(usual.length, 'row')}"
    sentence = f"{counted(runs.length, 'value')} in a row are {shown} ({percent(share)} of them); {longest}"
    yield QualityFinding("stuck", pair.name, runs.length, share, graded(share), sentence, (shown,))


def _log_chance(runs: _Runs, usual: _Runs, usual_share: float, count: int) -> float:
    """Logarithm of a bound on the chance of a run this long: rows x (chance that the value stays)**(length - 1)."""
    stays = [(usual.repeats + 1) / usual.rows, (usual_share * usual.rows + 1) / (usual.rows + 1)]
    rest = runs.rows - runs.length
    if rest:
        stays += [(runs.repeats - runs.length + 2) / (rest + 1), (count - runs.length + 1) / (rest + 1)]
    return math.log(runs.rows) + (runs.length - 1) * math.log(min(1.0, max(stays)))


def _runs(values: Values) -> _Runs:
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    bounds = np.concatenate([[0], changes, [len(values)]])
    lengths = np.diff(bounds)
    longest = int(np.argmax(lengths))
    return _Runs(len(values), int(bounds[longest]), int(lengths[longest]), len(values) - 1 - len(changes))


def _level(column: Column, code: int) -> str:
    assert not isinstance(column, NumberColumn)
    return column.levels[code]


def _reference_count(pair: Pair, value: Any) -> int:
    """Rows of the reference with the window's value; codes of levels are each side's own."""
    if isinstance(pair.reference, NumberColumn):
        return int(np.count_nonzero(pair.before == value))
    level, levels = _level(pair.window, int(value)), pair.reference.levels
    return int(np.count_nonzero(pair.before == levels.index(level))) if level in levels else 0
