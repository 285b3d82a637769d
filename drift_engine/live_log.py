"""The live side of a run: the prediction log of a time span, with the labels that have come for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drift_engine.labels_join import KEY_COLUMNS, newest_labels
from drift_engine.parsing import no_rows, parse
from drift_engine.reference import canonical_columns
from drift_engine.results.schema import CorruptLine, InputFile
from drift_engine.table import Column, Table, number_column, text_column
from gateway.log import labels, predictions
from gateway.log.line import LogColumn
from gateway.log.reader import SegmentScan, scan
from gateway.log.segment import UnreadableSegment
from gateway.registry import ModelCard
from gateway.registry.columns import LABEL

_CORRUPT_SHOWN_MAX = 20
_LABEL_COLUMNS = ("request_id", "client_id", "instance", "label", "received_at")
#: Called with files done and files in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LiveRows:
    """Predictions of a span in time order, with their newest labels.

    Attributes:
        table: the canonical columns; `label` is missing where none has come.
        timestamps: shape (rows,), RFC 3339 texts.
        in_window: shape (rows,), which rows lie in the run's window (the span may begin earlier).
        dropped: lines left out, by reason; damaged lines are counted in `corrupt` instead.
        inputs: every file of both logs, as it was read.
    """

    table: Table
    timestamps: NDArray[np.object_]
    in_window: NDArray[np.bool_]
    dropped: dict[str, int]
    corrupt: int
    inputs: tuple[InputFile, ...]


@dataclass(frozen=True)
class _Log:
    """One log as read: its rows, what was left out, its files."""

    rows: pa.Table
    rejected: tuple[pa.Table, ...]
    unreadable_lines: int
    inputs: tuple[InputFile, ...]


def read_live(
    live: Path, card: ModelCard, *, span_start: str, window_start: str, end: str, progress: Progress = lambda *_: None
) -> LiveRows:
    """Read the predictions with span_start <= timestamp < end, and all labels.

    Damage is described in the result, not raised. A label counts whenever it was received: what is known of
    a window grows after its end.
    """
    columns = canonical_columns(card)
    prediction_files = predictions.segments(live, card.name, card.version)
    label_files = labels.segments(live, card.name)
    total = len(prediction_files) + len(label_files)
    kept = [*KEY_COLUMNS, "timestamp", *(name for name in columns if name != LABEL)]

    def step(done: int) -> None:
        progress(done, total)

    log = _read_log("predictions", live, prediction_files, predictions.columns(card), kept, (span_start, end), step)
    label_log = _read_log(
        "labels", live, label_files, labels.columns(card), _LABEL_COLUMNS, (None, None),
        lambda done: step(len(prediction_files) + done),
    )  # fmt: skip
    rows = _in_time_order(log.rows)
    texts = rows["timestamp"].to_numpy(zero_copy_only=False).astype(object)
    inputs = log.inputs + label_log.inputs
    return LiveRows(
        table=_canonical(rows, label_log.rows, columns),
        timestamps=texts,
        in_window=texts >= window_start,
        dropped=_dropped(log, label_log, window_start),
        corrupt=sum(file.corrupt_lines for file in inputs),
        inputs=inputs,
    )


def _read_log(
    log: Literal["predictions", "labels"],
    live: Path,
    files: Sequence[Path],
    columns: tuple[LogColumn, ...],
    names: Sequence[str],
    span: tuple[str | None, str | None],
    progress: Callable[[int], None],
) -> _Log:
    tables, rejected, inputs, unreadable = [no_rows(columns, names)], [], [], 0
    for done, path in enumerate(files):
        progress(done)
        try:
            found = scan(path, columns, start=span[0], end=span[1])
        except UnreadableSegment as error:
            inputs.append(_unreadable(log, path, live, error.reason))
            continue
        inputs.append(_input(log, found, live))
        if found.rows:
            parsed = parse(found.data, columns, names)
            tables.append(parsed.table)
            rejected.append(parsed.rejected)
            unreadable += parsed.unreadable_lines
    progress(len(files))
    return _Log(pa.concat_tables(tables).combine_chunks(), tuple(rejected), unreadable, tuple(inputs))


def _dropped(log: _Log, label_log: _Log, window_start: str) -> dict[str, int]:
    """Lines left out, by reason. Predictions before the window were dropped by the runs that they belonged to."""
    counts = {
        "unreadable line": log.unreadable_lines,
        "unreadable value": sum(_since(table, window_start) for table in log.rejected),
        "unreadable label": label_log.unreadable_lines + sum(table.num_rows for table in label_log.rejected),
    }
    return {reason: count for reason, count in counts.items() if count}


def _since(rejected: pa.Table, window_start: str) -> int:
    return int(np.count_nonzero(rejected["timestamp"].to_numpy(zero_copy_only=False).astype(str) >= window_start))


def _input(log: Literal["predictions", "labels"], found: SegmentScan, live: Path) -> InputFile:
    shown = tuple(CorruptLine(damage.offset, damage.reason) for damage in found.damage[:_CORRUPT_SHOWN_MAX])
    return InputFile(
        log=log,
        path=found.path.relative_to(live).as_posix(),
        segment=found.segment_id,
        bytes_read=found.bytes_read,
        sha256=found.sha256,
        corrupt_lines=len(found.damage),
        corrupt=shown,
    )


def _unreadable(log: Literal["predictions", "labels"], path: Path, live: Path, reason: str) -> InputFile:
    nothing = hashlib.sha256().hexdigest()
    return InputFile(log, path.relative_to(live).as_posix(), "", 0, nothing, 1, (CorruptLine(0, reason),))


def _in_time_order(rows: pa.Table) -> pa.Table:
    """Sort by time; ties by request and instance, so that the order of files has no say."""
    keys = [("timestamp", "ascending"), ("request_id", "ascending"), ("instance", "ascending")]
    return rows.take(pc.sort_indices(rows, sort_keys=keys)).combine_chunks()


def _canonical(rows: pa.Table, label_rows: pa.Table, columns: dict[str, bool]) -> Table:
    found: dict[str, Column] = {}
    for name, is_number in columns.items():
        if name == LABEL:
            newest = newest_labels(rows, label_rows)
            array = pc.take(label_rows["label"], pa.array(newest, mask=newest < 0))
        else:
            array = rows[name]
        found[name] = number_column(array) if is_number else text_column(array)
    return Table(found, rows.num_rows)
