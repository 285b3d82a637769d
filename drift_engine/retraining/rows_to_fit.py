"""The rows that a candidate is fitted on: the training table, and labelled rows of the logs from before the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.logged import moment_text, take_rows
from drift_engine.results.schema import InputFile
from drift_engine.retraining.labelled_log import read_labelled_log
from drift_engine.retraining.rows import LabelledRows, Order, labelled_rows, together
from drift_engine.retraining.schema import RowsUsed
from drift_engine.retraining.train_table import TrainTable
from drift_engine.run import Progress
from gateway.registry import ModelCard, Registry, RegistryError
from gateway.registry.compatibility import refuse_unlike
from gateway.settings import Paths


@dataclass(frozen=True)
class Source:
    """Labelled rows of one version's log, in order of time."""

    name: str
    live: LiveRows


@dataclass(frozen=True)
class RowsToFit:
    """The rows to fit: where they come from, what was left out, and the files that were read for them."""

    rows: LabelledRows
    used: tuple[RowsUsed, ...]
    labels_after_split: int
    left_out: dict[str, int]
    notes: tuple[str, ...]
    inputs: tuple[InputFile, ...]


def rows_to_fit(
    paths: Paths,
    registry: Registry,
    order: Order,
    train: TrainTable | None,
    older: LiveRows,
    newest: LiveRows,
    progress: Progress,
) -> RowsToFit:
    """The table first, then the logs' rows in order of time; of too many the newest."""
    card, split = order.card, int(newest.times[0])
    others, left_out, notes, inputs = _other_versions(paths, registry, order, split, progress)
    others = _of_other_requests(others, [older, newest], left_out)
    found = [Source(f"log of version {card.version}", older), *others]
    sources = _newest_of(found, order.limits.rows_max)
    if (count := _count(sources)) < _count(found):
        notes += (f"only the newest {count:,} of {_count(found):,} logged rows are fitted (--rows-max)",)
    logged = together([labelled_rows(card, source.live) for source in sources])
    by_time = np.argsort(np.concatenate([source.live.times for source in sources]), kind="stable")
    received = np.concatenate([_received(source.live) for source in sources])
    used = [used_of(card, source) for source in sources]
    parts = [logged.take(by_time)]
    if train is not None and order.train is not None:
        room = max(0, order.limits.rows_max - count)
        table = train.labelled.take(np.arange(max(0, train.labelled.rows - room), train.labelled.rows))
        if table.rows < train.labelled.rows:
            notes += (f"of {order.train.name} only the last {table.rows:,} rows are fitted (--rows-max)",)
        parts.insert(0, table)
        used.insert(0, RowsUsed(order.train.name, table.rows, None, None, table.classes(card), train.sha256))
        if train.left_out:
            left_out["of the table, without a target"] = train.left_out
    late = int(np.sum(received >= split))
    return RowsToFit(together(parts), tuple(used), late, left_out, notes, inputs)


def _newest_of(sources: Sequence[Source], rows_max: int) -> list[Source]:
    """The newest `rows_max` rows of all sources together; those without any are left out."""
    times = np.concatenate([source.live.times for source in sources])
    kept = np.zeros(len(times), dtype=np.bool_)
    kept[np.argsort(times, kind="stable")[-rows_max:]] = True
    ends = np.cumsum([len(source.live.times) for source in sources])[:-1]
    return [
        replace(source, live=take_rows(source.live, mask))
        for source, mask in zip(sources, np.split(kept, ends), strict=True)
        if mask.any()
    ]


def _count(sources: Sequence[Source]) -> int:
    return sum(source.live.table.rows for source in sources)


def _other_versions(
    paths: Paths, registry: Registry, order: Order, split: int, progress: Progress
) -> tuple[list[Source], dict[str, int], tuple[str, ...], tuple[InputFile, ...]]:
    """Labelled rows that other versions of the model answered before the split: they may be fitted, never judged.

    The champion may have been fitted on them itself, so it must not be judged on them.
    """
    sources: list[Source] = []
    left_out: dict[str, int] = {}
    notes: list[str] = []
    inputs: dict[str, InputFile] = {}
    for version in registry.versions(order.card.name):
        if version == order.card.version:
            continue
        try:
            other = registry.card(order.card.name, version)
            refuse_unlike(order.card, other)
        except RegistryError as error:
            notes.append(f"the log of version {version} is not used: {error}")
            continue
        progress.stage(f"reading the log of version {version}")
        until = moment_text(split)
        log = read_labelled_log(paths, other, rows_max=order.limits.rows_max, until=until, progress=progress.files)
        inputs |= {file.path: file for file in log.inputs if file.log == "predictions"}
        if log.live.table.rows:
            sources.append(Source(f"log of version {version}", log.live))
            left_out |= {f"of version {version}, {reason}": count for reason, count in log.left_out.items()}
    return sources, left_out, tuple(notes), tuple(inputs.values())


def _of_other_requests(sources: Sequence[Source], known: Sequence[LiveRows], left_out: dict[str, int]) -> list[Source]:
    """Each source without the rows of requests that `known`, or a source before it, has.

    A version that shadows logs the same requests as the one that serves, a moment later: such a row may lie on the
    other side of the split, and would count twice on the same side.
    """
    seen = pd.concat([_requests(live) for live in known])
    found = []
    for source in sources:
        mine = _requests(source.live)
        new = ~mine.isin(seen).to_numpy()
        if not new.all():
            left_out[f"{source.name}, of requests that another log holds"] = int(np.sum(~new))
        if new.any():
            found.append(replace(source, live=take_rows(source.live, new)))
        seen = pd.concat([seen, mine])
    return found


def _requests(live: LiveRows) -> pd.Series[str]:
    """What each row answered: the request's id with the place in its batch."""
    assert live.attached is not None  # `read_labelled_log` asks for it
    keys = live.attached.keys
    instances = pd.Series(keys["instance"].to_numpy(zero_copy_only=False)).astype("Int64").astype(str)
    return pd.Series(keys["request_id"].to_pylist(), dtype=str) + ":" + instances


def used_of(card: ModelCard, source: Source) -> RowsUsed:
    """What the report says of a log's rows."""
    rows, times = labelled_rows(card, source.live), source.live.times
    first, last = (moment_text(times[0]), moment_text(times[-1])) if len(times) else (None, None)
    return RowsUsed(source.name, rows.rows, first, last, rows.classes(card))


def _received(live: LiveRows) -> NDArray[np.int64]:
    assert live.attached is not None  # `read_labelled_log` asks for it
    return live.attached.received
