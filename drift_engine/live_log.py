"""The live side of a run: the prediction log of a time span, with the labels that have come for it.

Sealed segments that hold no row of the span are not opened, others are read from their columnar copies; what
is not sealed is streamed. In memory are the span's rows in canonical form, and one segment.

To repeat a run, its recorded inputs are read instead: the same bytes of the same files, whatever was appended since.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drift_engine.collector import Collector, picked, time_order
from drift_engine.columnar import DAMAGE_KEPT_MAX, ColumnCache
from drift_engine.columnar import Span as MicrosecondSpan
from drift_engine.errors import DriftError
from drift_engine.labels_join import newest_labels
from drift_engine.parsing import moment, no_rows, parse
from drift_engine.reference import canonical_columns
from drift_engine.results.schema import CorruptLine, InputFile
from drift_engine.table import Column, Table, number_column, text_column
from gateway.log import labels, predictions
from gateway.log.line import LogColumn
from gateway.log.manifest import Chain, Sealed, UnreadableChain, read_chain
from gateway.log.reader import Damage, SegmentStream
from gateway.log.segment import MissingSegment, UnreadableSegment, parse_name, suspect_path, unreadable
from gateway.registry import ModelCard
from gateway.registry.columns import LABEL

_LOG = logging.getLogger(__name__)

_LABEL_COLUMNS = ("request_id", "client_id", "instance", "label", "received_at")
#: Places of damage that a result lists for each file.
DAMAGE_LISTED_MAX = 20
#: So many labels, or as many as there are predictions, are gathered before those of other predictions are let go.
_LABELS_HELD = 100_000
#: Called with files done and files in all.
Progress = Callable[[int, int], None]
LogName = Literal["predictions", "labels"]
#: start <= time < end, both as `gateway.clock` writes them.
Span = tuple[str, str]
_NOT_AS_SEALED = "the file is not as it was sealed"


class InputGone(DriftError):
    """A file that a run recorded cannot be read any more."""


@dataclass(frozen=True)
class LiveRows:
    """Predictions of a span in time order, with their newest labels.

    Attributes:
        table: the canonical columns; `label` is missing where none has come.
        times: shape (rows,), microseconds since the epoch.
        in_window: shape (rows,), which rows lie in the run's window (the span may begin earlier).
        dropped: lines left out, by reason; damaged lines are counted in `corrupt` instead.
        corrupt: damaged lines that may belong to the window, by the times of their neighbours, all those of labels,
            and files that cannot be read.
        inputs: every file of both logs that was read, as it was read.
        keys: request id, client id and instance of each row; None unless they were asked for.
        received: shape (rows,), when the newest label was received, microseconds since the epoch, -1 without one; None
            unless the keys were asked for.
    """

    table: Table
    times: NDArray[np.int64]
    in_window: NDArray[np.bool_]
    dropped: dict[str, int]
    corrupt: int
    inputs: tuple[InputFile, ...]
    keys: pa.Table | None = None
    received: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class SpanRows:
    """Predictions of several spans in time order, without labels, and the files that they were read from."""

    table: Table
    inputs: tuple[InputFile, ...]


@dataclass(frozen=True)
class _Figures:
    """What one or several of a log's files came to, beside their rows.

    Attributes:
        inputs: the files, as they were read.
        corrupt: their damaged lines that may belong to the window.
        rejected: rows with values of a wrong type, as text.
        unreadable_lines: lines with a right checksum that are no rows.
        expired_rows: rows of segments that retention deleted after the folder was listed.
    """

    inputs: tuple[InputFile, ...] = ()
    corrupt: int = 0
    rejected: tuple[pa.Table, ...] = ()
    unreadable_lines: int = 0
    expired_rows: int = 0


@dataclass(frozen=True)
class _Log:
    """One log to read: the rows of `span` (texts), the columns `names`, each table handed to `take`.

    Damage counts when it may belong to `window`, which lies in the span. `recorded`: how an earlier run read each
    file, to be read again; empty for a run of its own.
    """

    kind: LogName
    live: Path
    columns: tuple[LogColumn, ...]
    names: Sequence[str]
    time_name: str
    span: tuple[str | None, str | None]
    window: tuple[str | None, str | None]
    take: Callable[[pa.Table], None]
    chain: Chain
    cache: ColumnCache
    recorded: Mapping[Path, InputFile] = field(default_factory=dict)


def read_live(
    live: Path,
    card: ModelCard,
    *,
    cache: ColumnCache,
    span_start: str,
    window_start: str,
    end: str,
    recorded: Sequence[InputFile] | None = None,
    with_keys: bool = False,
    progress: Progress = lambda *_: None,
) -> LiveRows:
    """Read the predictions with span_start <= timestamp < end, and their labels.

    Damage is described in the result, not raised. A label counts whenever it was received: what is known of
    a window grows after its end. With `recorded`, the inputs of an earlier run, what that run read is read again.
    `with_keys` keeps what says which prediction a row is, some 50 bytes for each.

    Raises:
        InputGone: a recorded file is not there any more.
    """
    columns = canonical_columns(card)
    chain = _chain(live)
    cache.prune(chain.present)
    files = _recorded(live, recorded)
    prediction_files = _files(files, "predictions", predictions.segments(live, card.name, card.version))
    label_files = _files(files, "labels", labels.segments(live, card.name))
    total = len(prediction_files) + len(label_files)

    rows = Collector({name: is_number for name, is_number in columns.items() if name != LABEL})
    log = _Log(
        "predictions", live, predictions.columns(card), rows.names, "timestamp", (span_start, end), (window_start, end),
        rows.add, chain, cache, files or {},
    )  # fmt: skip
    figures = _read_log(log, prediction_files, lambda done: progress(done, total))
    keys, times = rows.keys(), rows.times()

    known = LabelsOf(keys, no_rows(labels.columns(card), _LABEL_COLUMNS))
    label_log = _Log(
        "labels", live, labels.columns(card), _LABEL_COLUMNS, "received_at", (None, None), (None, None), known.add,
        chain, cache, files or {},
    )  # fmt: skip
    label_figures = _read_log(label_log, label_files, lambda done: progress(len(prediction_files) + done, total))

    order = time_order(times, keys)
    newest = known.newest(order, is_number=columns[LABEL])
    label = newest.label
    table = rows.table(order)
    inputs = figures.inputs + label_figures.inputs
    return LiveRows(
        table=Table({name: label if name == LABEL else table.columns[name] for name in columns}, table.rows),
        times=times[order],
        in_window=times[order] >= moment(window_start),
        dropped=_dropped(figures, label_figures, window_start),
        corrupt=figures.corrupt + label_figures.corrupt,
        inputs=inputs,
        keys=keys.take(pa.array(order)) if with_keys else None,
        received=newest.received if with_keys else None,
    )


def read_spans(
    live: Path,
    card: ModelCard,
    spans: Sequence[Span],
    *,
    cache: ColumnCache,
    recorded: Sequence[InputFile] | None = None,
) -> SpanRows:
    """Read the predictions of several spans that do not overlap. `recorded` and errors: see `read_live`."""
    columns = canonical_columns(card)
    files = _recorded(live, recorded)
    rows = Collector({name: is_number for name, is_number in columns.items() if name != LABEL})
    whole = _Log(
        "predictions", live, predictions.columns(card), rows.names, "timestamp", (None, None), (None, None),
        rows.add, _chain(live), cache, files or {},
    )  # fmt: skip
    inputs: dict[str, InputFile] = {}
    for span in spans:
        listed = _files(files, "predictions", predictions.segments(live, card.name, card.version))
        figures = _read_log(replace(whole, span=span, window=span), listed, lambda _: None)
        # A file of several spans that grew in between: the longest prefix holds what all of them saw.
        inputs |= {file.path: file for file in figures.inputs}
    order = time_order(rows.times(), rows.keys())
    return SpanRows(rows.table(order), tuple(inputs[path] for path in sorted(inputs)))


def located(live: Path, file: InputFile) -> Path | None:
    """Where a recorded file is now: its writer may have renamed it since. None when it is gone."""
    path = live / file.path
    renamed = path if not file.segment or parse_name(path).suspect else suspect_path(path)
    return next((place for place in (path, renamed) if place.exists()), None)


def _recorded(live: Path, inputs: Sequence[InputFile] | None) -> dict[Path, InputFile] | None:
    """The recorded files where they are now, in their order. None when nothing is to be repeated."""
    if inputs is None:
        return None
    found = {}
    for file in inputs:
        # What could not be read then is not read now, whatever became of it.
        path = live / file.path if not file.segment else located(live, file)
        if path is None:
            raise InputGone(f"{file.path} is gone")
        found[path] = file
    return found


def _files(recorded: Mapping[Path, InputFile] | None, kind: LogName, listed: Sequence[Path]) -> Sequence[Path]:
    return listed if recorded is None else [path for path, file in recorded.items() if file.log == kind]


@dataclass(frozen=True)
class NewestLabels:
    """The newest label of each prediction, and when it was received (microseconds); missing, and -1, without one."""

    label: Column
    received: NDArray[np.int64]


class LabelsOf:
    """The labels of predictions: gathered, those of other predictions let go, matched in the end."""

    def __init__(self, keys: pa.Table, nothing: pa.Table) -> None:
        self._keys = keys
        self._tables = [nothing]
        self._unsifted = 0
        # No fewer than predictions: each sifting looks at all of those.
        self._held_max = max(_LABELS_HELD, keys.num_rows)

    @property
    def held(self) -> int:
        """How many labels are in memory."""
        return sum(table.num_rows for table in self._tables)

    def add(self, table: pa.Table) -> None:
        """Take rows with the columns `_LABEL_COLUMNS`, in the order of the log."""
        # Copies hold texts as dictionaries; a column has one type only.
        self._tables.append(table.cast(self._tables[0].schema))
        self._unsifted += table.num_rows
        if self._unsifted >= self._held_max:
            self._tables = [self._tables[0], self._sifted()]
            self._unsifted = 0

    def newest(self, order: NDArray[np.int64], *, is_number: bool) -> NewestLabels:
        """The newest label of each prediction, in the given order."""
        found = pa.concat_tables(self._tables)
        column = number_column(found["label"]) if is_number else text_column(found["label"])
        rows = newest_labels(self._keys, found)[order]
        received = pc.cast(found["received_at"], pa.int64()).to_numpy()
        return NewestLabels(picked(column, rows), np.append(received, -1)[rows])

    def _sifted(self) -> pa.Table:
        table = pa.concat_tables(self._tables)
        mine = [
            # skip_nulls: an id that is not given is not the same as another that is not given.
            pc.is_in(table[name], self._keys[name].combine_chunks(), skip_nulls=True)
            for name in ("request_id", "client_id")
        ]
        return table.filter(pc.or_(*mine)).combine_chunks()


def _chain(live: Path) -> Chain:
    try:
        return read_chain(live)
    except UnreadableChain as error:
        # Without it a run takes longer and finds the same.
        _LOG.warning("sealed segments are read in full: %s", error)
        return Chain()


def _read_log(log: _Log, files: Sequence[Path], progress: Callable[[int], None]) -> _Figures:
    parts = []
    for done, path in enumerate(files):
        progress(done)
        try:
            parts.append(_read_file(log, path))
        except UnreadableSegment as error:
            if path in log.recorded:
                raise InputGone(f"{path.name}: {error.reason}") from None
            if isinstance(error, MissingSegment):
                parts.append(_read_vanished(log, path, files))
                continue
            parts.append(_unreadable(log, path, error.reason))
    progress(len(files))
    return _Figures(
        inputs=tuple(file for part in parts for file in part.inputs),
        corrupt=sum(part.corrupt for part in parts),
        rejected=tuple(table for part in parts for table in part.rejected),
        unreadable_lines=sum(part.unreadable_lines for part in parts),
        expired_rows=sum(part.expired_rows for part in parts),
    )


def _read_file(log: _Log, path: Path) -> _Figures:
    """Take a file's rows of the span. Raises UnreadableSegment."""
    if path in log.recorded:
        return _read_again(log, path, log.recorded[path])
    sealed = _entry(log, path)
    if sealed is not None:
        if _is_outside(sealed, log.span):
            return _Figures()
        copied = _from_copy(log, path, sealed)
        if copied is not None:
            return copied
    return _from_segment(log, path, sealed)


def _read_again(log: _Log, path: Path, was: InputFile) -> _Figures:
    """Take what a run took that recorded this file, from the segment itself and not from a copy."""
    if not was.segment:
        return _Figures((was,), corrupt=1)
    return _from_segment(log, path, None, was)


def _read_vanished(log: _Log, path: Path, listed: Sequence[Path]) -> _Figures:
    """What became of a file since the folder was listed: renamed by its writer, expired, or nobody knows."""
    renamed = suspect_path(path)
    if not parse_name(path).suspect and renamed.exists():
        try:
            return _Figures() if renamed in listed else _read_file(log, renamed)
        except UnreadableSegment as error:
            return _unreadable(log, renamed, error.reason)
    chain = _chain(log.live)
    segment_id = parse_name(path).segment_id
    if segment_id in chain.expired and segment_id in chain.sealed:
        return _Figures(expired_rows=chain.sealed[segment_id].rows)
    return _unreadable(log, path, MissingSegment(path).reason)


def _entry(log: _Log, path: Path) -> Sealed | None:
    """The manifest of a sealed segment; None for one that is not sealed, or lies where it was not sealed."""
    sealed = log.chain.present.get(parse_name(path).segment_id)
    return sealed if sealed is not None and sealed.path == path.relative_to(log.live).as_posix() else None


def _is_outside(sealed: Sealed, span: tuple[str | None, str | None]) -> bool:
    """Whether a sealed segment holds no row of the span. One without any intact row may hold what was one."""
    start, end = span
    if sealed.first_timestamp is None or sealed.last_timestamp is None:
        return (start, end) != (None, None) and not sealed.corrupt_lines
    before = start is not None and sealed.last_timestamp < start
    return before or (end is not None and sealed.first_timestamp >= end)


def _from_copy(log: _Log, path: Path, sealed: Sealed) -> _Figures | None:
    if _size(path) != sealed.bytes:
        return None
    start, end = log.span
    span: MicrosecondSpan = (None if start is None else moment(start), None if end is None else moment(end))
    copied = log.cache.read(path, sealed, log.columns, log.names, log.time_name, span)
    if copied is None:
        return None
    for table in copied.tables:
        log.take(table)
    file = _input(log, path, sealed.segment_id, sealed.bytes, sealed.sha256, copied.damaged, copied.damage)
    return _Figures((file,), _corrupt(log, copied.damaged, copied.damage))


def _size(path: Path) -> int:
    try:
        # Not of what a link points to: a link is no segment, and streaming it says so.
        return path.stat(follow_symlinks=False).st_size
    except OSError as error:
        raise unreadable(path, error) from None


def _from_segment(log: _Log, path: Path, sealed: Sealed | None, was: InputFile | None = None) -> _Figures:
    """Stream a segment's rows of the span; only the bytes that `was` tells of, if given."""
    start, end = log.span
    limit = None if was is None else was.bytes_read
    stream = SegmentStream(
        path, log.columns, start=start, end=end, bytes_limit=limit, damage_listed_max=DAMAGE_KEPT_MAX
    )
    tables, rejected, unreadable_lines = [], [], 0
    for block in stream:
        parsed = parse(stream.header + block, log.columns, log.names)
        tables.append(parsed.table)
        unreadable_lines += parsed.unreadable_lines
        if parsed.rejected.num_rows:
            rejected.append(parsed.rejected)
    # Only now: a file that cannot be read to its end counts for nothing.
    for table in tables:
        log.take(table)
    not_as_sealed = was is not None and any(line.reason == _NOT_AS_SEALED for line in was.corrupt[:1])
    damaged, damage = _damage_of(stream, not_as_sealed or (sealed is not None and sealed.sha256 != stream.sha256))
    file = _input(log, path, stream.segment_id, stream.bytes_read, stream.sha256, damaged, damage)
    return _Figures((file,), _corrupt(log, damaged, damage), tuple(rejected), unreadable_lines)


def _damage_of(stream: SegmentStream, not_as_sealed: bool) -> tuple[int, Sequence[Damage]]:
    """How much damage a segment has, and the places of it."""
    if not not_as_sealed:
        return stream.damaged, stream.damage
    # Each line may be right by itself and yet not what was written; `make verify` says more.
    return stream.damaged + 1, [Damage(0, _NOT_AS_SEALED), *stream.damage]


def _corrupt(log: _Log, damaged: int, damage: Sequence[Damage]) -> int:
    """How much of a segment's damage may belong to the window. What is not listed may."""
    return damaged - len(damage) + sum(place.may_be_inside(*log.window) for place in damage)


def _dropped(figures: _Figures, label_figures: _Figures, window_start: str) -> dict[str, int]:
    """Lines left out, by reason. Predictions before the window were dropped by the runs that they belonged to."""
    counts = {
        "unreadable line": figures.unreadable_lines,
        "unreadable value": sum(_since(table, window_start) for table in figures.rejected),
        "expired meanwhile": figures.expired_rows + label_figures.expired_rows,
        "unreadable label": label_figures.unreadable_lines + sum(table.num_rows for table in label_figures.rejected),
    }
    return {reason: count for reason, count in counts.items() if count}


def _since(rejected: pa.Table, window_start: str) -> int:
    return int(np.count_nonzero(rejected["timestamp"].to_numpy(zero_copy_only=False).astype(str) >= window_start))


def _input(
    log: _Log, path: Path, segment_id: str, size: int, sha256: str, damaged: int, damage: Sequence[Damage]
) -> InputFile:
    return InputFile(
        log=log.kind,
        path=path.relative_to(log.live).as_posix(),
        segment=segment_id,
        bytes_read=size,
        sha256=sha256,
        corrupt_lines=damaged,
        corrupt=tuple(CorruptLine(place.offset, place.reason) for place in damage[:DAMAGE_LISTED_MAX]),
    )


def _unreadable(log: _Log, path: Path, reason: str) -> _Figures:
    nothing = hashlib.sha256().hexdigest()
    place = path.relative_to(log.live).as_posix()
    return _Figures((InputFile(log.kind, place, "", 0, nothing, 1, (CorruptLine(0, reason),)),), corrupt=1)
