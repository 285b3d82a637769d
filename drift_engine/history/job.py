"""The history of one model: its new labels looked up, then each version's days made, those that have more to say.

A day is in memory at a time. A crash leaves whole files: an index that is ahead of the records (each says how far it
read, so its day is still seen to be behind), a review that is newer than its record, or nothing new.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from drift_engine.estimation import Estimator, fit_estimator
from drift_engine.estimation.errors import CannotEstimate
from drift_engine.history.label_index import LabelIndex, LabelKey, SegmentDays, read_index, write_index
from drift_engine.history.lookup import LabelKeys, PredictionKeys, days_of
from drift_engine.history.plan import (
    bounds,
    days_to_make,
    expired_days,
    is_over,
    is_whole,
    kept_days,
    prediction_files,
)
from drift_engine.history.review import review_day
from drift_engine.history.score import DayRows, score_day
from drift_engine.labels.join import KEY_COLUMNS, micros
from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.live_log import read_each, read_live
from drift_engine.reading.log_files import chain_of
from drift_engine.reading.parsing import MOMENT
from drift_engine.reference import UnusableReference, load_reference
from drift_engine.results.days import DayError, DayRecord, DayStore, NewerDay
from drift_engine.run import Progress
from drift_engine.settings import DriftSettings
from gateway.clock import utc_text
from gateway.log import labels, predictions
from gateway.log.segment import segment_id_of
from gateway.registry import ModelCard, Registry, RegistryError
from gateway.registry.card import VERSION_PATTERN, check_name
from gateway.settings import Paths

#: So many labels are looked up at a time.
LABELS_HELD_MAX = 1_000_000
_KEYS = list(KEY_COLUMNS)
_LABEL_COLUMNS = [*_KEYS, "received_at"]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """A day that was made: `before` is the record that it replaced."""

    record: DayRecord
    before: DayRecord | None


@dataclass(frozen=True)
class _Model:
    """The versions of a model that can be read, newest first; `unknown`: there are answers of others."""

    name: str
    cards: tuple[ModelCard, ...]
    unknown: bool


class HistoryJob:
    """Makes days. The caller holds the lock of the model.

    Args:
        now: seconds since the epoch, the same for all that one job makes.
        days: how many days to look at, today among them; those of the history unless given.
    """

    def __init__(
        self, paths: Paths, settings: DriftSettings, now: float, progress: Progress, days: int | None = None
    ) -> None:
        self._paths = paths
        self._live = paths.live
        self._registry = Registry(paths.models, paths.reference)
        self._settings = settings
        self._now = now
        self._progress = progress
        self._store = DayStore(paths.reports)
        self._cache = ColumnCache(paths.state / "columns")
        self._chain = chain_of(paths.live)
        self._kept_from = kept_days(now, settings.history_days)[0]
        self._days = kept_days(now, days or settings.history_days)

    def run(self, name: str, version: str | None = None) -> Iterator[Made]:
        """Bring a model's history, or that of one version, up to date, yielding each day as soon as it is kept.

        Raises OSError: a record could not be written.
        """
        self._drop_reviews(name, version)
        model = _model(self._registry, self._live, name)
        index = self._index(model)
        write_index(self._paths.state, name, index)
        orphaned = self._orphaned(model, index)
        for card in model.cards:
            if version in (None, card.version):
                yield from self._version(card, index, orphaned)

    def _index(self, model: _Model) -> LabelIndex:
        """What labels speak of, as of now."""
        index = read_index(self._paths.state, model.name)
        paths = {segment: path for path in labels.segments(self._live, model.name) if (segment := segment_id_of(path))}
        index = index.with_segments({key: found for key, found in index.segments.items() if key in paths})
        grown = [path for segment, path in paths.items() if _size(path) > index.read_of(segment)]
        if not grown or not model.cards:
            return index
        self._progress.stage(f"{model.name}: looking up labels")
        # Those that had no prediction may have one by now: a client may be quicker than the log's clock.
        pending, unmatched = list(index.unmatched), []
        for batch in self._new_labels(model.cards[0], grown, index):
            index = index.with_segments(index.segments | batch.read)
            keys = _label_keys(batch, pending)
            pending = []
            keys.look_up(self._prediction_keys(model))
            index = index.with_days(keys.touched)
            unmatched += keys.unmatched()
        return index.with_unmatched([*pending, *unmatched], index.unmatched_more)

    def _new_labels(self, card: ModelCard, paths: Sequence[Path], index: LabelIndex) -> Iterator[_Batch]:
        """The label lines that the index does not know, so many at a time."""
        batch = _Batch({}, [], [])
        held = 0
        files = read_each(self._live, card, "labels", paths, _LABEL_COLUMNS, cache=self._cache)
        for done, found in enumerate(files):
            self._progress.files(done, len(paths))
            if not found.file.segment:
                continue
            known = index.segments.get(found.file.segment, SegmentDays(0, 0))
            new = found.rows.slice(known.rows)
            batch.read[found.file.segment] = dataclasses.replace(
                known,
                bytes_read=found.file.bytes_read,
                rows=found.rows.num_rows,
                received=known.received | days_of(new["received_at"]),
            )
            batch.tables.append(new)
            batch.segments.append(found.file.segment)
            held += new.num_rows
            if held >= LABELS_HELD_MAX:
                yield batch
                batch, held = _Batch({}, [], []), 0
        yield batch

    def _prediction_keys(self, model: _Model) -> Iterator[PredictionKeys]:
        for card in model.cards:
            newest_first = sorted(predictions.segments(self._live, card.name, card.version), reverse=True)
            for found in read_each(
                self._live, card, "predictions", newest_first, [*_KEYS, "timestamp"], cache=self._cache
            ):
                yield PredictionKeys(card.version, found.rows)

    def _orphaned(self, model: _Model, index: LabelIndex) -> int | None:
        """Labels without a prediction; None where they may be of predictions that are gone, or cannot be read."""
        folder = f"{model.name}/"
        expired = any(
            entry.path.startswith(folder) and f"/{predictions.PREFIX}-" in entry.path
            for entry in self._chain.expired.values()
        )
        return None if index.orphaned and (expired or model.unknown) else index.orphaned

    def _version(self, card: ModelCard, index: LabelIndex, orphaned: int | None) -> Iterator[Made]:
        settings = self._settings.for_model(card.name)
        records, newer = self._records(card)
        reviewed = set(self._store.reviews(card.name, card.version))
        # The rows to look at can be lost by themselves.
        complete = {day: record for day, record in records.items() if day in reviewed or not record.confidence_counts}
        files = prediction_files(self._live, predictions.segments(self._live, card.name, card.version), self._chain)
        todo = days_to_make(
            self._days,
            files,
            complete,
            lambda day: index.speaks_of(card.version, day),
            newer | expired_days(self._live, card.name, card.version, self._chain),
        )
        estimator = self._estimator(card, settings) if todo else None
        for done, day in enumerate(todo):
            self._progress.stage(f"{card.name} {card.version}: {day}, {done + 1} of {len(todo)} days")
            made = self._make(card, day, index, settings, estimator, records.get(day))
            if made is not None:
                records[day] = made.record
                yield made
        self._count_orphans(records, orphaned)

    def _make(
        self,
        card: ModelCard,
        day: str,
        index: LabelIndex,
        settings: DriftSettings,
        estimator: Estimator | None,
        before: DayRecord | None,
    ) -> Made | None:
        """Make a day and keep it; None where there is nothing to keep, or less than is kept already."""
        start, end = bounds(day)
        live = read_live(
            self._live,
            card,
            cache=self._cache,
            span_start=start,
            window_start=start,
            end=end,
            label_files=self._label_files(card, day, index),
            attached=True,
            progress=self._progress.files,
        )
        assert live.attached is not None
        if not live.table.rows or "expired meanwhile" in live.dropped:
            return None
        rows = DayRows(day, is_over(day, self._now, settings.grace_seconds), live, live.attached.latency_ms)
        record = score_day(card, rows, settings, utc_text(self._now), estimator, before)
        if before is not None and _says_less(record, before):
            _LOG.warning("%s %s: less can be read of %s than is kept; the record stays", card.name, card.version, day)
            return None
        review = review_day(card, day, live.table, live.times, live.attached)
        self._store.write(record, review)
        return Made(record, before)

    def _estimator(self, card: ModelCard, settings: DriftSettings) -> Estimator | None:
        """Fitted once for all days. A reference that cannot be used keeps no day from being counted."""
        try:
            return fit_estimator(card, load_reference(self._registry, card).table, settings)
        except (UnusableReference, CannotEstimate) as error:
            _LOG.warning("%s %s: quality is not estimated: %s", card.name, card.version, error)
            return None

    def _label_files(self, card: ModelCard, day: str, index: LabelIndex) -> list[Path]:
        """The label segments that speak of the day, and those of about then: a label may come before its prediction."""
        at = date.fromisoformat(day)
        about = {(at + timedelta(days=shift)).isoformat() for shift in (-1, 0)}
        wanted = {*index.speaks_of(card.version, day), *index.received_on(about)}
        return [path for path in labels.segments(self._live, card.name) if segment_id_of(path) in wanted]

    def _records(self, card: ModelCard) -> tuple[dict[str, DayRecord], frozenset[str]]:
        """What is kept, by day; and the days that a newer program made, which are left alone."""
        records, newer = {}, set()
        for day in self._days:
            try:
                record = self._store.read(card.name, card.version, day)
            except NewerDay as error:
                _LOG.warning("%s; it is left alone", error)
                newer.add(day)
            except DayError as error:
                _LOG.warning("%s; the day is made again", error)
            else:
                if record is not None:
                    records[day] = record
        return records, frozenset(newer)

    def _count_orphans(self, records: dict[str, DayRecord], orphaned: int | None) -> None:
        """Say on the newest day how many labels have no prediction."""
        if not records:
            return
        newest = records[max(records)]
        if newest.labels.orphaned != orphaned:
            counts = dataclasses.replace(newest.labels, orphaned=orphaned)
            self._store.write(dataclasses.replace(newest, labels=counts), None)

    def _drop_reviews(self, name: str, version: str | None) -> None:
        """Rows of the log are kept no longer than the log keeps them, or than the history is.

        First, and of all that is kept: also of versions that have no log, or no card, any more.
        """
        for folder in sorted(self._store.reports.glob(f"{check_name(name)}/*/days")):
            of = folder.parent.name
            for day in self._store.reviews(name, of) if version in (None, of) else ():
                if day < self._kept_from or not self._is_whole(name, of, day):
                    self._store.drop_review(name, of, day)

    def _is_whole(self, name: str, version: str, day: str) -> bool:
        """Whether the day's rows are all in the log still; a record that is not ours to read is left to its writer."""
        try:
            record = self._store.read(name, version, day)
        except NewerDay:
            return True
        except DayError:
            return False
        return record is not None and is_whole(self._live, record)


@dataclass(frozen=True)
class _Batch:
    """Label lines: `tables[i]` are of segment `segments[i]`; `read`: how far each segment was looked through."""

    read: dict[str, SegmentDays]
    tables: list[pa.Table]
    segments: list[str]


def _label_keys(batch: _Batch, pending: Sequence[LabelKey]) -> LabelKeys:
    """The labels of a batch, and those from before, to be looked up."""
    before = pa.table(
        [
            pa.array([key.request_id for key in pending], pa.string()),
            pa.array([key.client_id for key in pending], pa.string()),
            pa.array([float(key.instance) for key in pending], pa.float64()),
            pa.array([key.received for key in pending], MOMENT),
        ],
        names=_LABEL_COLUMNS,
    )
    table = pa.concat_tables([before, *batch.tables])
    names = list(dict.fromkeys([*(key.segment for key in pending), *batch.segments]))
    places = {name: place for place, name in enumerate(names)}
    owners = [
        np.array([places[key.segment] for key in pending], dtype=np.int64),
        *(np.full(table.num_rows, places[name]) for table, name in zip(batch.tables, batch.segments, strict=True)),
    ]
    return LabelKeys(table.select(_KEYS), micros(table["received_at"]), np.concatenate(owners), tuple(names))


def _says_less(record: DayRecord, before: DayRecord) -> bool:
    """Whether segments have gone, or been damaged, since: what was known is not given up."""
    return record.predictions < before.predictions or record.labels.labelled < before.labels.labelled


def _model(registry: Registry, live: Path, name: str) -> _Model:
    """The versions of a model that have answered."""
    cards, unknown = [], False
    for folder in sorted((live / name).iterdir()) if (live / name).is_dir() else ():
        version = folder.name
        if version == labels.FOLDER or not VERSION_PATTERN.fullmatch(version):
            continue
        if not predictions.segments(live, name, version):
            continue
        try:
            cards.append(registry.card(name, version))
        except RegistryError as error:
            _LOG.warning("%s %s has no history: %s", name, version, error)
            unknown = True
    newest_first = sorted(cards, key=lambda card: (card.created_at, card.version), reverse=True)
    return _Model(name, tuple(newest_first), unknown)


def _size(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
