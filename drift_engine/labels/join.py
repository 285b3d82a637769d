"""Labels to predictions: which line names which prediction, which one counts, and which ones changed anything.

The labels of a prediction are a history in the order of `received_at`, then of the log; the newest one counts. A
line without effect says again what the history said before it; one that says something else is a correction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gateway.clock import parse_utc, utc_text

#: Columns of the two logs that say which prediction is meant.
KEY_COLUMNS = ("request_id", "client_id", "instance")
#: A client may know its own id before it asks, and two clocks may differ; an id that it uses again is another matter.
LEAD_SECONDS = 24 * 3600.0
#: Beyond so many pairs of a line and a prediction the two ids are counted apart: an id that a client uses for
#: everything would make as many pairs as there are labels times predictions.
_PAIRS_MAX = 10_000_000
_NEVER = np.iinfo(np.int64).max

Positions = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Joined:
    """What labels say of predictions.

    Attributes:
        newest: shape (predictions,): the row of `labels` with the newest label, or -1.
        named: shape (labels,): which lines name one of the predictions.
        repeated: those of them that say of each prediction what was known of it, so without effect.
        corrected: predictions whose label a later line changed.
    """

    newest: Positions
    named: Mask
    repeated: int
    corrected: int


@dataclass(frozen=True)
class _Groups:
    """Predictions and lines by one of the two ids and the instance: each such pair has a number, -1 is none.

    Attributes:
        of_prediction: shape (predictions,).
        of_line: shape (lines,), oldest first.
        lines: the lines of all groups, group by group, each oldest first; `first` is where each begins, and behind
            the last one the end.
    """

    of_prediction: Positions
    of_line: Positions
    lines: Positions
    first: Positions

    @property
    def sizes(self) -> Positions:
        """How many lines each group has; what stands last is for -1."""
        return np.append(np.diff(self.first), 0)


@dataclass(frozen=True)
class _Histories:
    """The lines of predictions, where those that share all their lines share a history.

    Attributes:
        of_prediction: shape (predictions,), -1 for one that no line names.
        history, line: every line of every history, by history, then oldest first.
    """

    of_prediction: Positions
    history: Positions
    line: Positions


def join(predictions: pa.Table, times: Positions, labels: pa.Table) -> Joined:
    """Match labels and predictions.

    A line names predictions by `request_id` or `client_id`, and `instance`. One without a value, or received more
    than LEAD_SECONDS before the prediction was made, names none.

    Args:
        predictions: the columns KEY_COLUMNS.
        times: shape (predictions,), microseconds since the epoch.
        labels: the columns KEY_COLUMNS, `label` and `received_at`, in the order of the log.
    """
    received = micros(labels["received_at"])
    order = np.argsort(received, kind="stable")
    # A line without a value says nothing.
    order = order[np.asarray(pc.is_valid(labels["label"]).to_numpy())[order]]
    received = received[order]
    said = _codes(labels["label"])[order]
    groups = [_groups(predictions, labels, order, column) for column in ("request_id", "client_id")]
    earliest = times - int(LEAD_SECONDS * 1e6)
    named, effective = np.zeros((2, len(order)), dtype=np.bool_)
    corrected = np.zeros(predictions.num_rows, dtype=np.bool_)
    for found in _histories(groups):
        found = _in_time(found, earliest, received)
        first = np.diff(found.history, prepend=-1) != 0
        changes = ~first & (said[found.line] != np.roll(said[found.line], 1))
        named[found.line] = True
        effective[found.line[first | changes]] = True
        corrected |= np.isin(found.of_prediction, found.history[changes])
    is_named = np.zeros(labels.num_rows, dtype=np.bool_)
    is_named[order[named]] = True
    return Joined(
        newest=np.append(order, -1)[_newest(groups, earliest, received)],
        named=is_named,
        repeated=int(np.count_nonzero(named & ~effective)),
        corrected=int(np.count_nonzero(corrected)),
    )


def lead_before(moment: str) -> str:
    """From when on labels may be received for predictions made at `moment` or later; both RFC 3339 in UTC."""
    # A second more: microseconds are rounded on the way.
    return utc_text(max(0.0, parse_utc(moment) - LEAD_SECONDS - 1))


def micros(times: pa.ChunkedArray) -> Positions:
    """Moments as microseconds since the epoch."""
    return _numbers(pc.cast(times.combine_chunks(), pa.int64()))


def _codes(column: pa.ChunkedArray) -> Positions:
    """A number for each different value."""
    return _numbers(pc.dictionary_encode(column.combine_chunks()).indices)


def _groups(predictions: pa.Table, labels: pa.Table, order: Positions, column: str) -> _Groups:
    """By the id that `column` holds."""
    encoded = pc.dictionary_encode(_ids(labels, column))
    instances = _instances(predictions)
    stride = 1 + int(instances.max(initial=0))
    line_keys = _keys(encoded.indices, _instances(labels), stride)[order]
    known = pc.unique(pa.array(line_keys[line_keys >= 0]))
    found = pc.index_in(_ids(predictions, column), value_set=encoded.dictionary, skip_nulls=True)
    keys = _keys(found, instances, stride)
    of_line, of_prediction = (_numbers(pc.index_in(pa.array(each), value_set=known)) for each in (line_keys, keys))
    lines = np.argsort(of_line, kind="stable")
    first = np.searchsorted(of_line[lines], np.arange(len(known) + 1))
    return _Groups(of_prediction, of_line, lines, first)


def _histories(groups: list[_Groups]) -> list[_Histories]:
    """The histories of all predictions; or those by either id apart, where together they would be too many."""
    request, client = groups
    width = len(client.sizes)
    both = (request.of_prediction + 1) * width + client.of_prediction + 1
    # 0 is that of predictions which no line names; it is there even if every prediction has one.
    numbers, of_prediction = np.unique(np.append(both, 0), return_inverse=True)
    parts = [(request, numbers[1:] // width - 1), (client, numbers[1:] % width - 1)]
    if sum(int(group.sizes[wanted].sum()) for group, wanted in parts) > _PAIRS_MAX:
        return [_Histories(group.of_prediction, *_lines(group, np.arange(len(group.first) - 1))) for group in groups]
    lines = len(request.of_line)
    # A line that names a prediction by both ids is one.
    pairs = np.unique(np.concatenate([history * lines + line for history, line in (_lines(*part) for part in parts)]))
    return [_Histories(of_prediction[:-1] - 1, pairs // max(lines, 1), pairs % max(lines, 1))]


def _lines(group: _Groups, wanted: Positions) -> tuple[Positions, Positions]:
    """The lines of the wanted groups, as the place in `wanted` and the line; -1 has none."""
    sizes = group.sizes[wanted]
    place = np.repeat(np.arange(len(wanted)), sizes)
    within = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place, group.lines[np.repeat(group.first[wanted], sizes) + within]


def _in_time(found: _Histories, earliest: Positions, received: Positions) -> _Histories:
    """Without the lines that came too early for every prediction that they name."""
    known = found.of_prediction >= 0
    limits = np.full(1 + max(found.of_prediction.max(initial=-1), found.history.max(initial=-1)), _NEVER)
    np.minimum.at(limits, found.of_prediction[known], earliest[known])
    kept = received[found.line] >= limits[found.history]
    return _Histories(found.of_prediction, found.history[kept], found.line[kept])


def _newest(groups: list[_Groups], earliest: Positions, received: Positions) -> Positions:
    """For each prediction the newest line of any of its ids, or -1."""
    found = np.full(len(earliest), -1, dtype=np.int64)
    for group in groups:
        last = np.append(group.lines[group.first[1:] - 1], -1)
        found = np.maximum(found, last[group.of_prediction])
    found[np.append(received, _NEVER)[found] < earliest] = -1
    return found


def _ids(table: pa.Table, column: str) -> pa.Array:
    """The ids as texts, null where missing or empty."""
    ids = table[column].combine_chunks()
    empty = pc.equal(ids, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), ids) if pc.any(empty).as_py() else ids


def _instances(table: pa.Table) -> Positions:
    return _numbers(pc.cast(table["instance"].combine_chunks(), pa.int64(), safe=False))


def _keys(codes: pa.Array, instances: Positions, stride: int) -> Positions:
    """An id's code with its instance as one number, since texts are to be hashed once; -1 where there is none.

    An instance that no prediction has is none: a client may send any, and the number must not overflow.
    """
    numbers = _numbers(codes)
    valid = (numbers >= 0) & (instances >= 0) & (instances < stride)
    return np.where(valid, numbers * stride + np.where(valid, instances, 0), -1)


def _numbers(codes: pa.Array) -> Positions:
    """Positions, -1 where null."""
    return np.asarray(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
