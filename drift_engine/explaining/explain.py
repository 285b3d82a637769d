"""What a person asks of a column that moved: since when, and in which rows? Nothing else is explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from drift_engine.explaining.cells import Cells, cells_of
from drift_engine.explaining.onset import course
from drift_engine.explaining.segments import contributions
from drift_engine.findings import Judged, Subject, rule_of
from drift_engine.results.schema import Contribution, Onset
from drift_engine.sentences import percent
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import Rule, check_column
from drift_engine.statistics.summaries import Summary, reference_cuts, summarise_levels, summarise_number
from drift_engine.table import Column, NumberColumn, Table, TextColumn

Times = NDArray[np.int64]

#: "Where" is answered from so many rows of each side, spread evenly: they tell a part of the change to a few percent.
_ROWS_MAX = 20_000
#: Parts of a window that are judged by themselves, at most.
_PARTS_MAX = 24
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Explainer:
    """Explains what was judged of one window against one reference.

    Args:
        inputs: the columns whose levels and ranges may be segments.
        window: in time order, as `times` (microseconds since the epoch) is.
    """

    def __init__(
        self, inputs: Sequence[Subject], reference: Table, window: Table, times: Times, settings: DriftSettings
    ) -> None:
        self._inputs = inputs
        self._reference, self._window, self._times = reference, window, times
        self._settings = settings

    def explained(self, item: Judged, subject: Subject, alpha: float) -> Judged:
        """The finding of a column that moved, with its onset and segments. `alpha`: the column's part of the budget."""
        rule = replace(rule_of(subject.name, alpha, self._settings), clustering=item.clustering)
        before, now = self._reference.columns[subject.column], self._window.columns[subject.column]
        sample_before, sample_now = (side.columns[subject.column] for side in self._samples)
        moved = cells_of(sample_before, sample_now)
        others = {name: cells for name, cells in self._segments.items() if name != subject.name}
        finding = replace(
            item.finding,
            onset=_onset(before, now, self._times, rule),
            segments=() if moved is None else contributions(moved, others),
        )
        return replace(item, finding=finding)

    @cached_property
    def _samples(self) -> tuple[Table, Table]:
        return _thinned(self._reference), _thinned(self._window)

    @cached_property
    def _segments(self) -> dict[str, Cells]:
        """The cells of every input, over the samples."""
        found = {}
        for subject in self._inputs:
            before, now = (side.columns.get(subject.column) for side in self._samples)
            cells = None if before is None or now is None else cells_of(before, now)
            if cells is not None:
                found[subject.name] = cells
        return found


def since_words(onset: Onset) -> str:
    """When a drift began, for people.

    >>> since_words(Onset("2026-11-20T12:00:00Z", "2026-11-20T11:58:00Z", "2026-11-20T12:10:00Z", 7, False, None, 50))
    'since 2026-11-20 12:00:00 UTC (95 % interval 11:58:00 to 12:10:00)'
    """
    over = "" if onset.until is None else f"; as in the reference again from {_moment(onset.until)} on"
    if onset.before_window:
        return f"since the window's start, {_moment(onset.since)}, or before{over}"
    day = onset.since[:10]
    ends = [
        text[11:19] if text[:10] == day else f"{text[:10]} {text[11:19]}" for text in (onset.earliest, onset.latest)
    ]
    return f"since {_moment(onset.since)} (95 % interval {ends[0]} to {ends[1]}){over}"


def segment_words(segment: Contribution) -> str:
    """Where a drift is, for people.

    >>> segment_words(Contribution("country", '"de"', 0.8, 0.2))
    '80 % of the change is in the 20 % of rows with country "de"'
    """
    held = "all" if segment.change_share >= 1 else percent(segment.change_share)
    return f"{held} of the change is in the {percent(segment.rows_share)} of rows with {segment.column} {segment.where}"


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:19]} UTC"


def _thinned(table: Table) -> Table:
    if table.rows <= _ROWS_MAX:
        return table
    return table.take(np.linspace(0, table.rows - 1, _ROWS_MAX).astype(np.int64))


def _onset(reference: Column, window: Column, times: Times, rule: Rule) -> Onset | None:
    cells = cells_of(reference, window)
    found = None if cells is None else course(cells)
    if found is None:
        return None
    point, end = found
    starts = _part_starts(len(times), rule.minimum_rows)
    beyond = _first_beyond(reference, window, starts, rule)
    return Onset(
        since=_text(times[point.row]),
        earliest=_text(times[point.earliest]),
        latest=_text(times[point.latest]),
        row=point.row,
        before_window=point.earliest == 0,
        first_beyond=None if beyond is None else _text(times[beyond]),
        part_rows=int(starts[1] - starts[0]),
        until=None if end is None else _text(times[end]),
    )


def _part_starts(rows: int, minimum_rows: int) -> NDArray[np.int64]:
    """Bounds of equal parts, shape (parts + 1,): as many as have rows enough to be judged, one at least."""
    parts = max(1, min(_PARTS_MAX, rows // (2 * minimum_rows)))
    return np.linspace(0, rows, parts + 1).astype(np.int64)


def _first_beyond(reference: Column, window: Column, starts: NDArray[np.int64], rule: Rule) -> int | None:
    """The first row of the first part that drifted by itself; the parts share the column's budget."""
    summarise = _summariser(reference)
    before = summarise(reference)
    part_rule = replace(rule, alpha=rule.alpha / (len(starts) - 1))
    for start, end in pairwise(starts):
        _, checks = check_column(before, summarise(window.take(np.arange(start, end))), part_rule)
        if any(check.detected for check in checks):
            return int(start)
    return None


def _summariser(reference: Column) -> Callable[[Column], Summary]:
    """Summarises columns with the reference's cuts."""
    if isinstance(reference, TextColumn):
        return lambda column: summarise_levels(_text_column(column))
    cuts = reference_cuts(reference)
    assert cuts is not None
    return lambda column: summarise_number(_number_column(column), cuts)


def _text_column(column: Column) -> TextColumn:
    assert isinstance(column, TextColumn)
    return column


def _number_column(column: Column) -> NumberColumn:
    assert isinstance(column, NumberColumn)
    return column


def _text(microseconds: np.int64) -> str:
    """A moment as `gateway.clock` writes it, to the microsecond."""
    moment = _EPOCH + timedelta(microseconds=int(microseconds))
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
