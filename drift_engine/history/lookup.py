"""Which predictions do labels speak of? Only the key columns of the predictions are read, newest segments first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drift_engine.history.label_index import LabelKey
from drift_engine.labels.join import LEAD_SECONDS, micros

#: Keys of so many predictions are looked up at a time: few at first, since most labels are of the newest predictions.
KEYS_AT_FIRST, KEYS_HELD_MAX = 20_000, 500_000
_DAY_US = 86_400_000_000
_LEAD_US = int(LEAD_SECONDS * 1e6)
Integers = NDArray[np.int64]
#: (label segment, model version, day)
Touched = tuple[str, str, str]


@dataclass(frozen=True)
class PredictionKeys:
    """Predictions of one version: columns `request_id`, `client_id`, `instance`, and `timestamp` in microseconds."""

    version: str
    rows: pa.Table


@dataclass
class LabelKeys:
    """Labels to look up, and what has been found so far.

    Attributes:
        table: columns `request_id`, `client_id`, `instance` (as float64), one row per label line.
        received: shape (rows,), microseconds since the epoch.
        segments: shape (rows,), position in `names` of each row's segment.
        found: shape (rows,), whether a prediction has been found that the label speaks of.
        touched: the days found.
    """

    table: pa.Table
    received: Integers
    segments: Integers
    names: tuple[str, ...]
    found: NDArray[np.bool_] = field(init=False)
    touched: set[Touched] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.found = np.zeros(self.table.num_rows, dtype=np.bool_)
        self._by_request = _Ids(self.table, "request_id")
        self._by_client = _Ids(self.table, "client_id")

    def look_up(self, predictions: Iterable[PredictionKeys]) -> None:
        """Look among the predictions, in their order; stop early when nothing more can be found."""
        for chunk in _chunks(predictions):
            for ids in (self._by_request, self._by_client):
                self._note(chunk, ids)
            # A request's id is its own; a client may use one again, so its labels may be of several days.
            if not self._by_client.any and bool(self.found.all()):
                return

    def unmatched(self) -> list[LabelKey]:
        """The labels that no prediction was found for, in order."""
        rows = np.flatnonzero(~self.found)
        texts = self.table.take(pa.array(rows)).to_pylist()
        return [
            LabelKey(
                self.names[self.segments[row]],
                text["request_id"],
                text["client_id"],
                _whole(text["instance"]),
                int(self.received[row]),
            )
            for row, text in zip(rows, texts, strict=True)
        ]

    def _note(self, chunk: PredictionKeys, ids: _Ids) -> None:
        known, days = ids.known(chunk.rows)
        for day in np.unique(days):
            rows = ids.rows_of(known[days == day])
            # The join's rule, by the day: what came long before a prediction is not about it.
            rows = rows[self.received[rows] >= day * _DAY_US - _LEAD_US]
            self.found[rows] = True
            segments = np.unique(self.segments[rows])
            self.touched |= {(self.names[place], chunk.version, _day_text(day)) for place in segments}


def days_of(times: pa.ChunkedArray) -> frozenset[str]:
    """The UTC days of some moments."""
    return frozenset(_day_text(day) for day in np.unique(_day_numbers(times)))


class _Ids:
    """The ids of one column of labels with their instances, as numbers: a text is hashed once."""

    def __init__(self, labels: pa.Table, column: str) -> None:
        self._column = column
        encoded = pc.dictionary_encode(_texts(labels[column]))
        self._ids = encoded.dictionary
        instances = _instances(labels["instance"])
        self._stride = 1 + int(instances.max(initial=0))
        codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        numbers = np.where((codes >= 0) & (instances >= 0), codes * self._stride + instances, -1)
        self._rows = np.flatnonzero(numbers >= 0)
        self._rows = self._rows[np.argsort(numbers[self._rows], kind="stable")]
        self._numbers = numbers[self._rows]

    @property
    def any(self) -> bool:
        """Whether any label has an id of this column."""
        return len(self._rows) > 0

    def known(self, predictions: pa.Table) -> tuple[Integers, Integers]:
        """The numbers, and the days since 1970, of those predictions whose id any label has."""
        if not self.any:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        places = pc.index_in(_texts(predictions[self._column]), value_set=self._ids, skip_nulls=True)
        codes = np.asarray(pc.fill_null(places, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        instances = _instances(predictions["instance"])
        mine = np.flatnonzero((codes >= 0) & (instances >= 0) & (instances < self._stride))
        return codes[mine] * self._stride + instances[mine], _day_numbers(predictions["timestamp"])[mine]

    def rows_of(self, numbers: Integers) -> Integers:
        """The label rows of these numbers."""
        return self._rows[np.isin(self._numbers, numbers)]


def _chunks(predictions: Iterable[PredictionKeys]) -> Iterator[PredictionKeys]:
    """Neighbours of one version together: one look-up costs much the same for few and for many."""
    version, held, enough = "", 0, KEYS_AT_FIRST
    tables: list[pa.Table] = []
    for item in predictions:
        if tables and (item.version != version or held >= enough):
            yield PredictionKeys(version, pa.concat_tables(tables))
            tables, held, enough = [], 0, min(2 * enough, KEYS_HELD_MAX)
        version = item.version
        tables.append(item.rows)
        held += item.rows.num_rows
    if tables:
        yield PredictionKeys(version, pa.concat_tables(tables))


def _day_numbers(times: pa.ChunkedArray) -> Integers:
    """Days since 1970."""
    return np.floor_divide(micros(times), _DAY_US)


def _day_text(day: np.int64) -> str:
    return str(np.datetime64(int(day), "D"))


def _texts(column: pa.ChunkedArray) -> pa.Array:
    """Texts, null where missing or empty."""
    texts = column.combine_chunks()
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _instances(column: pa.ChunkedArray) -> Integers:
    """Whole numbers, -1 for what is none: a client may send any."""
    numbers = np.asarray(pc.fill_null(column, -1.0).to_numpy(), dtype=np.float64)
    sane = (numbers >= 0) & (numbers < 2**31) & (numbers == np.floor(numbers))
    return np.where(sane, numbers, -1).astype(np.int64)


def _whole(number: float | None) -> int:
    return -1 if number is None else int(number)
