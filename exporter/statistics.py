"""Predictions over days, added up from the kept history. A mean or a quantile of nothing is None, never 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from drift_engine.results.days import DayRecord, NumberSummary, latency_quantile_ms

T = TypeVar("T")


@dataclass(frozen=True)
class Latency:
    """Quantiles of the gateway's own time per request, in milliseconds, right to 1 %."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True)
class DayStatistics:
    """One UTC day. `complete`: it was over when it was counted. `answers`: of regression, instead of `classes`."""

    day: str
    complete: bool
    predictions: int
    labelled: int
    coverage: float | None
    confidence_mean: float | None
    latency_ms: Latency
    classes: dict[str, int]
    answers: NumberSummary | None


@dataclass(frozen=True)
class Statistics:
    """The days together, and each. `confidence_counts`: rows in equal bins of confidence from 0 to 1.

    `predictions` is None without any day: nothing was counted, which is not nothing.
    """

    predictions: int | None
    labelled: int | None
    coverage: float | None
    confidence_mean: float | None
    confidence_counts: tuple[int, ...]
    latency_ms: Latency
    classes: dict[str, int]
    counted_at: str | None
    per_day: tuple[DayStatistics, ...]


def add_up(records: Sequence[DayRecord]) -> Statistics:
    """The statistics of `records`, days of one model version."""
    predictions = sum(record.predictions for record in records)
    labelled = sum(record.labels.labelled for record in records)
    return Statistics(
        predictions=predictions if records else None,
        labelled=labelled if records else None,
        coverage=labelled / predictions if predictions else None,
        confidence_mean=_confidence_mean(records),
        confidence_counts=_summed(record.confidence_counts for record in records),
        latency_ms=_latency(_merged(record.latency_counts for record in records)),
        classes=_ordered(_merged(record.classes for record in records)),
        counted_at=max((record.scored_at for record in records), default=None),
        per_day=tuple(_day(record) for record in records),
    )


def _day(record: DayRecord) -> DayStatistics:
    return DayStatistics(
        day=record.day,
        complete=record.complete,
        predictions=record.predictions,
        labelled=record.labels.labelled,
        coverage=record.labels.coverage,
        confidence_mean=record.confidence_mean,
        latency_ms=_latency(record.latency_counts),
        classes=_ordered(record.classes),
        answers=record.answers,
    )


def _latency(counts: dict[int, int]) -> Latency:
    return Latency(*(latency_quantile_ms(counts, share) for share in (0.5, 0.95, 0.99)))


def _confidence_mean(records: Iterable[DayRecord]) -> float | None:
    """Weighed by the rows that have a confidence."""
    weighed = [
        (sum(record.confidence_counts), record.confidence_mean)
        for record in records
        if record.confidence_mean is not None
    ]
    rows = sum(weight for weight, _ in weighed)
    return sum(weight * mean for weight, mean in weighed) / rows if rows else None


def _merged(parts: Iterable[dict[T, int]]) -> dict[T, int]:
    total: Counter[T] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _ordered(classes: dict[str, int]) -> dict[str, int]:
    """The largest class first, those as large by name: so that equal days look alike."""
    return dict(sorted(classes.items(), key=lambda item: (-item[1], item[0])))


def _summed(parts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Bin by bin; days without probabilities have no bins."""
    with_bins = [part for part in parts if part]
    return tuple(sum(bins) for bins in zip(*with_bins, strict=False))
