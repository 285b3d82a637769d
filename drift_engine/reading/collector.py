"""Gathers rows, table by table, into the canonical form: each table's Arrow memory can go as soon as it is added."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drift_engine.labels.join import KEY_COLUMNS
from drift_engine.table import Column, NumberColumn, Table, joined, number_column, text_column, text_column_of_codes

TIME = "timestamp"
_NO_CODES = np.empty(0, dtype=np.int32)


class Collector:
    """Predictions of a span. `columns`: canonical name -> whether it holds numbers."""

    def __init__(self, columns: Mapping[str, bool]) -> None:
        self._is_number = dict(columns)
        self._pieces: dict[str, list[Column]] = {name: [] for name in columns}
        self._times: list[NDArray[np.int64]] = []
        self._keys: list[pa.Table] = []
        self.names = (*KEY_COLUMNS, TIME, *columns)

    def add(self, table: pa.Table) -> None:
        """Take rows that have the columns `names`."""
        for name, is_number in self._is_number.items():
            array = _whole(table[name])
            # A copy: it would share Arrow's memory otherwise, which is far more than this column.
            self._pieces[name].append(
                NumberColumn(number_column(array).values.copy()) if is_number else text_column(array)
            )
        self._times.append(pc.cast(_whole(table[TIME]), pa.int64()).to_numpy())
        self._keys.append(table.select(KEY_COLUMNS))

    @property
    def rows(self) -> int:
        """How many there are so far."""
        return sum(len(times) for times in self._times)

    def keys(self) -> pa.Table:
        """The key columns of all rows, in the order in which they were added."""
        nothing = pa.table([pa.array([], kind) for kind in (pa.string(), pa.string(), pa.float64())], list(KEY_COLUMNS))
        return pa.concat_tables([nothing, *self._keys])

    def times(self) -> NDArray[np.int64]:
        """Microseconds since the epoch of all rows, in the order in which they were added."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self._times])

    def table(self, order: NDArray[np.int64]) -> Table:
        """All rows in the given order. Lets go of what was added, column by column."""
        in_order = bool(np.array_equal(order, np.arange(len(order))))
        found: dict[str, Column] = {}
        for name, is_number in self._is_number.items():
            nothing: Column = NumberColumn(np.empty(0)) if is_number else text_column_of_codes(_NO_CODES, [])
            column = joined([nothing, *self._pieces.pop(name)])
            found[name] = column if in_order else column.take(order)
        return Table(found, len(order))


def time_order(times: NDArray[np.int64], keys: pa.Table) -> NDArray[np.int64]:
    """Positions in order of time; ties by request and instance, so that the order of files has no say."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    same = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
    if len(tied) == 0:
        return order
    rows = order[tied]
    among = keys.select(["request_id", "instance"]).take(pa.array(rows)).append_column(TIME, pa.array(ordered[tied]))
    by = [(TIME, "ascending"), ("request_id", "ascending"), ("instance", "ascending")]
    order[tied] = rows[pc.sort_indices(among, sort_keys=by).to_numpy()]
    return order


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """One array, without a copy where the column is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def picked(column: Column, rows: NDArray[np.int64]) -> Column:
    """The rows at the given positions; missing where the position is -1."""
    if isinstance(column, NumberColumn):
        return NumberColumn(np.append(column.values, np.nan)[rows])
    return text_column_of_codes(np.append(column.codes, np.int32(-1))[rows], list(column.levels))
