"""The newest labelled rows of a version's log, however many without a label lie among them and after them.

Labels come days late, and perhaps for few rows: the newest predictions may have none at all. So the log is read
backwards in steps, and of each step only what has a label is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from drift_engine.reading.live_log import Attached, LiveRows, Progress
from drift_engine.reading.logged import EVER, labels_known, labels_usable, read_span, start_of_newest, take_rows
from drift_engine.results.schema import InputFile
from drift_engine.table import stacked
from gateway.registry import ModelCard
from gateway.settings import Paths


@dataclass(frozen=True)
class LabelledLog:
    """Rows that all have a usable label, in order of time; how many others were read, by reason; the files read."""

    live: LiveRows
    left_out: dict[str, int]
    inputs: tuple[InputFile, ...]


def read_labelled_log(
    paths: Paths,
    card: ModelCard,
    *,
    rows_max: int,
    until: str = EVER[1],
    progress: Progress = lambda *_: None,
) -> LabelledLog:
    """The newest `rows_max` labelled rows predicted before `until`.

    In memory are twice as many rows, and those of a few segments, at most.
    """
    parts: list[LiveRows] = []
    left_out: Counter[str] = Counter()
    inputs: dict[str, InputFile] = {}
    found = 0
    while True:
        start = start_of_newest(paths, card, until, rows_max)
        live = read_span(paths, card, start, until, progress)
        known, usable = labels_known(live.table), labels_usable(card, live.table)
        left_out["without a label"] += int(np.sum(~known))
        left_out["with a label that is none of the model's"] += int(np.sum(known & ~usable))
        for file in live.inputs:
            # A file of several steps that grew in between: the longest prefix holds what all of them saw.
            inputs[file.path] = max(file, inputs.get(file.path, file), key=lambda item: item.bytes_read)
        parts.insert(0, take_rows(live, usable))
        found += parts[0].table.rows
        if found >= rows_max or start == EVER[0]:
            break
        until = start
    whole = _joined(parts)
    rows = whole.table.rows
    newest = whole if rows <= rows_max else take_rows(whole, np.arange(rows - rows_max, rows))
    reasons = {reason: count for reason, count in left_out.items() if count}
    return LabelledLog(newest, reasons, tuple(inputs[path] for path in sorted(inputs)))


def _joined(parts: Sequence[LiveRows]) -> LiveRows:
    """The rows of all parts, oldest part first; the rest is the newest part's."""
    if len(parts) == 1:
        return parts[0]
    attached = [part.attached for part in parts if part.attached is not None]
    return replace(
        parts[-1],
        table=stacked([part.table for part in parts]),
        times=np.concatenate([part.times for part in parts]),
        in_window=np.concatenate([part.in_window for part in parts]),
        attached=Attached.joined(attached),
    )
