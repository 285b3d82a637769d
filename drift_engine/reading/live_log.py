"""The live side of a run: the prediction log of a time span, with the labels that have come for it.

In memory are the span's rows in canonical form, and one segment. Labels come late, so quality may need older rows:
of those the answers are read, of predictions that have a label, and only as far back as there may be any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drift_engine.labels.counts import Matched
from drift_engine.labels.gathered import LABEL_COLUMNS, Gathered
from drift_engine.labels.join import lead_before
from drift_engine.labels.look_back import Read, Wanted, look_back
from drift_engine.reading.collector import Collector, time_order
from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.log_files import (
    Figures,
    Log,
    LogName,
    OpenSpan,
    chain_of,
    files_of,
    in_order,
    recorded_files,
)
from drift_engine.reading.parsing import moment, no_rows
from drift_engine.reference import answer_columns, canonical_columns
from drift_engine.results.quality import LabelCounts
from drift_engine.results.schema import InputFile
from drift_engine.table import NumberColumn, Table, stacked
from gateway.log import labels, predictions
from gateway.log.line import LogColumn
from gateway.log.manifest import Chain
from gateway.registry import ModelCard
from gateway.registry.columns import LABEL

_LATENCY = "latency_ms"
#: Called with files done and files in all.
Progress = Callable[[int, int], None]
#: start <= time < end, both as `gateway.clock` writes them.
Span = tuple[str, str]


@dataclass(frozen=True)
class Attached:
    """What rows carry beside what is compared.

    Attributes:
        keys: columns `request_id`, `client_id`, `instance`.
        latency_ms: shape (rows,), NaN where unknown.
        received: shape (rows,), when the newest label was received, microseconds since the epoch, -1 without one.
    """

    keys: pa.Table
    latency_ms: NDArray[np.float64]
    received: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Attached]) -> Attached:
        """Of the rows of all parts, one after the other."""
        return cls(
            pa.concat_tables([part.keys for part in parts]),
            np.concatenate([part.latency_ms for part in parts]),
            np.concatenate([part.received for part in parts]),
        )

    def take(self, rows: NDArray[Any]) -> Attached:
        """Of the rows selected by a mask or by positions."""
        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Attached(self.keys.take(pa.array(chosen)), self.latency_ms[chosen], self.received[chosen])


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
        labels: what came of the labels of all predictions that were looked at.
        quality: what quality is measured on, in time order: the rows of `table`, and before them those older ones
            that have a label; of both the answers and the label.
        attached: of the rows of `table`, where it was asked for.
    """

    table: Table
    times: NDArray[np.int64]
    in_window: NDArray[np.bool_]
    dropped: dict[str, int]
    corrupt: int
    inputs: tuple[InputFile, ...]
    labels: LabelCounts
    quality: Table
    attached: Attached | None = None


@dataclass(frozen=True)
class FileRows:
    """One file of a log as it was read, with the columns asked for; `file.segment` is "" where it could not be."""

    file: InputFile
    rows: pa.Table


@dataclass(frozen=True)
class SpanRows:
    """Predictions of several spans in time order, without labels, and the files that they were read from."""

    table: Table
    inputs: tuple[InputFile, ...]


def read_live(
    live: Path,
    card: ModelCard,
    *,
    cache: ColumnCache,
    span_start: str,
    window_start: str,
    end: str,
    wanted: Wanted | None = None,
    recorded: Sequence[InputFile] | None = None,
    label_files: Sequence[Path] | None = None,
    attached: bool = False,
    progress: Progress = lambda *_: None,
) -> LiveRows:
    """Read the predictions with span_start <= timestamp < end, and their labels.

    Damage is described in the result, not raised. A label counts whenever it was received: what is known of
    a window grows after its end. With `recorded`, the inputs of an earlier run, what that run read is read again.

    Args:
        wanted: labelled rows for `quality` that older predictions are looked through for; None: none.
        label_files: the label segments to read; all of them unless given.
        attached: read ids, latencies and times of labels too, some 60 bytes for each row.

    Raises:
        InputGone: a recorded file is not there any more.
    """
    columns = canonical_columns(card)
    extra = {_LATENCY: True} if attached else {}
    rows = Collector({name: is_number for name, is_number in columns.items() if name != LABEL} | extra)
    span, window = (span_start, end), (window_start, end)
    source = _Source(live, card, cache, chain_of(live), recorded_files(live, recorded))
    cache.prune(source.chain.present)
    prediction_log, label_log = source.predictions(rows.names, window), source.labels()
    if label_files is not None:
        label_log = replace(label_log, files=label_files)
    before, total = len(prediction_log.files), len(prediction_log.files) + len(label_log.files)
    figures = prediction_log.read(span, rows.add, lambda done: progress(done, total))

    keys, times = rows.keys(), rows.times()
    nothing = no_rows(label_log.columns, LABEL_COLUMNS)
    known = Gathered(keys, times, nothing, (moment(window_start), moment(end)), keeps_all=wanted is not None)
    label_span = (lead_before(span_start), None)
    label_figures = label_log.read(label_span, known.add, lambda done: progress(before + done, total))

    answers = answer_columns(card)
    reached = look_back(
        Read(prediction_log, figures), Read(label_log, label_figures), known, answers, span,
        wanted or Wanted(0, span_start),
    )  # fmt: skip
    order = time_order(times, keys)
    label = reached.matched.newest(order, is_number=columns[LABEL])
    found = rows.table(order)
    table = Table({name: label if name == LABEL else found.columns[name] for name in columns}, found.rows)
    return LiveRows(
        table=table,
        times=times[order],
        in_window=times[order] >= moment(window_start),
        dropped=_dropped(figures, label_figures, window_start),
        corrupt=sum(count for part in reached.files for count in part.corrupt),
        inputs=in_order(file for part in reached.files for file in part.inputs),
        labels=reached.matched.counts(reached.since, end, len(keys) + reached.predictions),
        quality=stacked([reached.table, table.select(tuple(answers))]),
        attached=_attached(keys, reached.matched, found, order) if attached else None,
    )


def read_each(
    live: Path, card: ModelCard, kind: LogName, files: Sequence[Path], names: Sequence[str], *, cache: ColumnCache
) -> Iterator[FileRows]:
    """Read files of a log one after the other, whole, the columns `names` of them. One that is gone is left out."""
    source = _Source(live, card, cache, chain_of(live), None)
    log = source.labels() if kind == "labels" else source.predictions(names, (None, None))
    nothing = no_rows(log.columns, names)
    for path in files:
        tables = [nothing]
        for file in replace(log, names=names, files=[path]).read((None, None), tables.append).inputs:
            # Copies hold texts as dictionaries; a column has one type only.
            yield FileRows(file, pa.concat_tables([table.cast(nothing.schema) for table in tables]))


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
    source = _Source(live, card, cache, chain_of(live), recorded_files(live, recorded))
    rows = Collector({name: is_number for name, is_number in columns.items() if name != LABEL})
    inputs: dict[str, InputFile] = {}
    for span in spans:
        figures = source.predictions(rows.names, span).read(span, rows.add)
        # A file of several spans that grew in between: the longest prefix holds what all of them saw.
        inputs |= {file.path: file for file in figures.inputs}
    order = time_order(rows.times(), rows.keys())
    return SpanRows(rows.table(order), tuple(inputs[path] for path in sorted(inputs)))


@dataclass(frozen=True)
class _Source:
    """Where the logs of a model version are read from. `recorded`: the files of a run to be repeated."""

    live: Path
    card: ModelCard
    cache: ColumnCache
    chain: Chain
    recorded: Mapping[Path, InputFile] | None

    def predictions(self, names: Sequence[str], window: OpenSpan) -> Log:
        """The prediction log. Its files are listed now."""
        card = self.card
        columns, listed = predictions.columns(card), predictions.segments(self.live, card.name, card.version)
        return self._log("predictions", columns, names, "timestamp", window, listed)

    def labels(self) -> Log:
        """The label log. Its files are listed now."""
        columns, listed = labels.columns(self.card), labels.segments(self.live, self.card.name)
        return self._log("labels", columns, LABEL_COLUMNS, "received_at", (None, None), listed)

    def _log(
        self,
        kind: LogName,
        columns: tuple[LogColumn, ...],
        names: Sequence[str],
        time_name: str,
        window: OpenSpan,
        listed: Sequence[Path],
    ) -> Log:
        files, recorded = files_of(kind, listed, self.recorded)
        return Log(kind, self.live, columns, names, time_name, window, files, self.chain, self.cache, recorded)


def _attached(keys: pa.Table, matched: Matched, found: Table, order: NDArray[np.int64]) -> Attached:
    latency = found.columns[_LATENCY]
    assert isinstance(latency, NumberColumn)
    return Attached(keys.take(pa.array(order)), latency.values, matched.newest_received(order))


def _dropped(figures: Figures, label_figures: Figures, window_start: str) -> dict[str, int]:
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
