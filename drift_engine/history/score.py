"""What one day comes to: a `DayRecord` from its predictions and the labels that have come. No clock, no files."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift_engine.estimation import Estimator
from drift_engine.quality import labelled_rows, performance_of
from drift_engine.reading.live_log import LiveRows
from drift_engine.results.days import (
    CONFIDENCE_BINS,
    EARLIER_KEPT_MAX,
    LATENCY_FIRST_MS,
    LATENCY_RATIO,
    DayRecord,
    Losses,
    NumberSummary,
    Revision,
)
from drift_engine.settings import DriftSettings
from drift_engine.table import Floats, NumberColumn, Table, TextColumn
from drift_engine.trend import trend_metric
from gateway.registry import ModelCard
from gateway.registry.columns import CONFIDENCE, LABEL, PREDICTION


@dataclass(frozen=True)
class DayRows:
    """The rows of one day of a version, as they were read. `latency_ms`: shape (rows,), NaN where unknown."""

    day: str
    complete: bool
    live: LiveRows
    latency_ms: Floats


def score_day(
    card: ModelCard,
    rows: DayRows,
    settings: DriftSettings,
    scored_at: str,
    estimator: Estimator | None = None,
    before: DayRecord | None = None,
) -> DayRecord:
    """The record of a day.

    Args:
        estimator: of quality without labels; None where the reference gives none.
        before: the record that this one replaces, whose figures it keeps as an earlier revision.
    """
    table = rows.live.table
    record = DayRecord(
        model_name=card.name,
        model_version=card.version,
        day=rows.day,
        complete=rows.complete,
        revision=1,
        scored_at=scored_at,
        predictions=table.rows,
        classes=_classes(table),
        answers=_answers(table),
        confidence_mean=_confidence_mean(table),
        confidence_counts=_confidence_counts(table),
        latency_counts=latency_counts(rows.latency_ms),
        # Its age by the clock would make equal knowledge unequal; `newest_received_at` says when it came.
        labels=dataclasses.replace(rows.live.labels, newest_age_seconds=None),
        losses=losses_of(table),
        performance=performance_of(card, table, settings),
        estimated=None if estimator is None else estimator.estimate(table),
        inputs=rows.live.inputs,
    )
    return record if before is None else _following(record, before, trend_metric(card))


def losses_of(table: Table) -> Losses:
    """Of the labelled rows: wrong or right, or the absolute error. Errors too large to be squared are left out."""
    rows = table.take(labelled_rows(table))
    answer, label = rows.columns.get(PREDICTION), rows.columns.get(LABEL)
    if isinstance(answer, TextColumn) and isinstance(label, TextColumn):
        wrong = int(np.count_nonzero(answer.texts() != label.texts()))
        return Losses(rows.rows, float(wrong), float(wrong))
    if not isinstance(answer, NumberColumn) or not isinstance(label, NumberColumn):
        return Losses(0, 0.0, 0.0)
    with np.errstate(all="ignore"):
        errors = np.abs(answer.values - label.values)
        errors = errors[np.isfinite(errors**2)]
        total, squares = float(errors.sum()), float((errors**2).sum())
    return Losses(len(errors), total, squares) if math.isfinite(squares) else Losses(0, 0.0, 0.0)


def latency_counts(latency_ms: Floats) -> dict[int, int]:
    """Rows by bucket of latency, see `drift_engine.results.days`."""
    known = latency_ms[np.isfinite(latency_ms) & (latency_ms >= 0)]
    with np.errstate(divide="ignore"):
        # A hair less, so that a bucket's own end falls into it whatever the logarithm's last bit says.
        places = np.ceil(np.log(known / LATENCY_FIRST_MS) / math.log(LATENCY_RATIO) - 1e-9)
    buckets, counts = np.unique(np.maximum(places, 0).astype(np.int64), return_counts=True)
    return {int(bucket): int(count) for bucket, count in zip(buckets, counts, strict=True)}


def _following(record: DayRecord, before: DayRecord, metric: str) -> DayRecord:
    """The record as the successor of `before`: the next revision, or the same one where nothing new is known."""
    if _knowledge(record) == _knowledge(before):
        return dataclasses.replace(record, revision=before.revision, earlier=before.earlier)
    found = before.performance.metric(metric)
    value = None if found is None else found.value
    said = Revision(before.revision, before.scored_at, before.labels.labelled, metric, value)
    earlier = (*before.earlier, said)
    if len(earlier) > EARLIER_KEPT_MAX:
        # The first says what was known at once; of the rest the newest are of use.
        earlier = (earlier[0], *earlier[len(earlier) - EARLIER_KEPT_MAX + 1 :])
    return dataclasses.replace(record, revision=before.revision + 1, earlier=earlier)


def _knowledge(record: DayRecord) -> tuple[Any, ...]:
    """What a record says of the day. A label that was sent twice, or a day that is over, is no news."""
    counts = record.labels
    return record.predictions, counts.labelled, counts.corrected, record.losses, record.performance, record.estimated


def _classes(table: Table) -> dict[str, int]:
    column = table.columns.get(PREDICTION)
    if not isinstance(column, TextColumn):
        return {}
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    return {level: int(count) for level, count in zip(column.levels, counts, strict=True)}


def _answers(table: Table) -> NumberSummary | None:
    column = table.columns.get(PREDICTION)
    if not isinstance(column, NumberColumn):
        return None
    values = column.values[np.isfinite(column.values)]
    if not len(values):
        return None
    return NumberSummary(_finite_mean(values), float(values.min()), float(np.median(values)), float(values.max()))


def _finite_mean(values: Floats) -> float:
    # Divided first: the sum of numbers near the limits of a float is none.
    return float((values / len(values)).sum())


def _confidences(table: Table) -> Floats:
    column = table.columns.get(CONFIDENCE)
    return column.values[np.isfinite(column.values)] if isinstance(column, NumberColumn) else np.empty(0)


def _confidence_mean(table: Table) -> float | None:
    values = _confidences(table)
    return float(values.mean()) if len(values) else None


def _confidence_counts(table: Table) -> tuple[int, ...]:
    values = _confidences(table)
    if not len(values):
        return ()
    places: NDArray[np.int64] = np.clip((values * CONFIDENCE_BINS).astype(np.int64), 0, CONFIDENCE_BINS - 1)
    return tuple(int(count) for count in np.bincount(places, minlength=CONFIDENCE_BINS))
