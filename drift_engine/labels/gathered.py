"""The labels of some predictions, gathered while the label log is read, file by file."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from drift_engine.labels.counts import Matched
from drift_engine.labels.join import Positions, join, micros

#: Columns of the label log that are needed.
LABEL_COLUMNS = ("request_id", "client_id", "instance", "label", "received_at")
#: So many labels, or as many as there are predictions, are gathered before those of other predictions are let go.
LABELS_HELD = 100_000


class Gathered:
    """The labels of predictions: gathered, those of other predictions let go, matched in the end.

    Args:
        keys: the predictions' KEY_COLUMNS; `times`: shape (predictions,), microseconds since the epoch.
        nothing: a table of LABEL_COLUMNS without rows.
        window: start <= received_at < end, microseconds: lines of these times are counted.
        keeps_all: keep the labels of other predictions too, for predictions that are added later.
    """

    def __init__(
        self,
        keys: pa.Table,
        times: Positions,
        nothing: pa.Table,
        window: tuple[int, int],
        *,
        keeps_all: bool = False,
    ) -> None:
        self._keys = keys
        self._times = times
        self._window = window
        self._tables = [nothing]
        self._unsifted = 0
        self._in_window = 0
        # No fewer than predictions: each sifting looks at all of those.
        self._held_max = math.inf if keeps_all else max(LABELS_HELD, keys.num_rows)
        self._named = 0

    @property
    def held(self) -> int:
        """How many labels are in memory."""
        return sum(table.num_rows for table in self._tables)

    @property
    def unnamed(self) -> int:
        """How many of them named no prediction when they were matched last, or came since."""
        return self.held - self._named

    def add_predictions(self, keys: pa.Table, times: Positions) -> None:
        """Take further predictions, which stand behind those that are there."""
        self._keys = pa.concat_tables([self._keys, keys])
        self._times = np.concatenate([self._times, times])

    def may_name(self, table: pa.Table) -> pa.ChunkedArray:
        """Which rows of a table with KEY_COLUMNS have an id that some label names; their instance is not looked at."""
        return _shares_id(table, pa.concat_tables(self._tables))

    def add(self, table: pa.Table) -> None:
        """Take rows with the columns LABEL_COLUMNS, in the order of the log."""
        # Copies hold texts as dictionaries; a column has one type only.
        self._tables.append(table.cast(self._tables[0].schema))
        self._unsifted += table.num_rows
        self._in_window += self._count_in_window(micros(table["received_at"]))
        if self._unsifted >= self._held_max:
            self._tables = [self._tables[0], self._sifted()]
            self._unsifted = 0

    def matched(self) -> Matched:
        """Match what was gathered."""
        labels = pa.concat_tables(self._tables)
        joined = join(self._keys, self._times, labels)
        received = micros(labels["received_at"])
        self._named = int(np.count_nonzero(joined.named))
        elsewhere = self._in_window - self._count_in_window(received[joined.named])
        return Matched(joined, self._times, labels["label"], received, elsewhere)

    def _count_in_window(self, received: Positions) -> int:
        start, end = self._window
        return int(np.count_nonzero((received >= start) & (received < end)))

    def _sifted(self) -> pa.Table:
        table = pa.concat_tables(self._tables)
        return table.filter(_shares_id(table, self._keys)).combine_chunks()


def _shares_id(table: pa.Table, others: pa.Table) -> pa.ChunkedArray:
    """Which rows have an id that a row of `others` has."""
    found = [
        # skip_nulls: an id that is not given is not the same as another that is not given.
        pc.is_in(table[name], others[name].combine_chunks(), skip_nulls=True)
        for name in ("request_id", "client_id")
    ]
    return pc.or_(*found)
