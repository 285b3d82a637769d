"""Kept history: of each model version and UTC day what was answered, and how right it was as far as is known today.

```
reports/<name>/<version>/days/2026-11-20.json           DayRecord
reports/<name>/<version>/days/2026-11-20.review.json    Review: the day's rows of least confidence
```
Labels come late, so a day is scored again when labels of its predictions have come: its record is replaced, by one
with a higher `revision` that keeps what earlier ones said. Each file is replaced atomically, the review first: a
record never names a review that is not there. Both can be made again from the logs, as long as those are kept. A
review holds rows of the log, and goes when they do, or when the day is older than the history.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from drift_engine.results.quality import Estimate, LabelCounts
from drift_engine.results.schema import InputFile, Performance
from gateway.files import fsync_dir, make_dirs, write_atomically
from gateway.registry.card import check_name, check_version

FORMAT_VERSION = 1
#: Rows of least confidence that are kept of a day.
REVIEW_ROWS_MAX = 1000
#: Earlier revisions that a record lists: the first, and the newest of the others.
EARLIER_KEPT_MAX = 100
#: Confidence is counted in so many equal bins from 0 to 1.
CONFIDENCE_BINS = 100
#: Each bucket of latency ends so many times later than the one before: quantiles are right to 1 %.
LATENCY_RATIO = 1.02
#: The first bucket ends here, in milliseconds.
LATENCY_FIRST_MS = 0.01
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
#: What reading any bytes as JSON may raise.
_UNREADABLE = (OSError, ValueError, RecursionError)
_LOG = logging.getLogger(__name__)


class DayError(Exception):
    """A record cannot be read: damaged, or of a newer format."""


class NewerDay(DayError):
    """A newer program wrote the record."""


@dataclass(frozen=True)
class Revision:
    """What an earlier scoring of a day said: with so many labels, the figure that its quality is followed by."""

    revision: int
    scored_at: str
    labelled: int
    metric: str
    value: float | None


@dataclass(frozen=True)
class Losses:
    """Sums over a day's labelled rows that days are added up and compared by.

    Of a classifier `loss` is wrong (1) or right (0) per row; of regression the absolute error.
    """

    rows: int
    loss_sum: float
    loss_squares: float


@dataclass(frozen=True)
class NumberSummary:
    """A day's answers of a regression model."""

    mean: float
    minimum: float
    p50: float
    maximum: float


@dataclass(frozen=True)
class DayRecord:
    """One day of one model version.

    Attributes:
        day: UTC date, e.g. "2026-11-20"; `complete`: the day was over when this was made.
        revision: 1 at first, and one more each time that scoring the day again said something else. `earlier`: what
            those before said, oldest first, at most `EARLIER_KEPT_MAX`.
        scored_at: RFC 3339 in UTC.
        predictions: intact rows of the day.
        classes: rows by predicted class; empty for regression, which has `answers` instead.
        confidence_counts: rows in `CONFIDENCE_BINS` equal bins from 0 to 1; empty where there are no probabilities.
        latency_counts: rows by bucket of latency: bucket 0 ends at `LATENCY_FIRST_MS`, each next `LATENCY_RATIO` later.
        labels: what came of the day's labels; `labels.since` is the day's first moment.
        losses: of the labelled rows, whatever their number.
        performance: on all labelled rows of the day; "insufficient_data" under the setting's minimum.
        estimated: as far as labels are missing; its `back_test` is over the rows that have one.
        inputs: what was read: segments of predictions and of labels.
    """

    model_name: str
    model_version: str
    day: str
    complete: bool
    revision: int
    scored_at: str
    predictions: int
    classes: dict[str, int]
    answers: NumberSummary | None
    confidence_mean: float | None
    confidence_counts: tuple[int, ...]
    latency_counts: dict[int, int]
    labels: LabelCounts
    losses: Losses
    performance: Performance
    estimated: Estimate | None
    inputs: tuple[InputFile, ...]
    earlier: tuple[Revision, ...] = ()
    format: str = "sentinelml.day"
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class ReviewRow:
    """One answer for a person to look at. `features` as the client sent them, by the feature's own name."""

    timestamp: str
    request_id: str
    instance: int
    client_id: str | None
    prediction: str | float
    confidence: float
    label: str | float | None
    features: dict[str, Any]


@dataclass(frozen=True)
class Review:
    """The day's rows of least confidence, least first, at most `REVIEW_ROWS_MAX` of `rows_of_day`."""

    model_name: str
    model_version: str
    day: str
    rows_of_day: int
    rows: tuple[ReviewRow, ...] = field(default_factory=tuple)
    format: str = "sentinelml.review"
    format_version: int = FORMAT_VERSION


Kept = TypeVar("Kept", DayRecord, Review)


class DayStore:
    """The kept history under one `reports` folder."""

    def __init__(self, reports: Path) -> None:
        self.reports = reports

    def folder(self, name: str, version: str) -> Path:
        """Where the days of one model version are. Raises RegistryError for names that could leave `reports`."""
        return self.reports / check_name(name) / check_version(version) / "days"

    def days(self, name: str, version: str) -> list[str]:
        """The days that have a record, oldest first."""
        return sorted(
            path.stem
            for path in self.folder(name, version).glob("*.json")
            if _DAY.fullmatch(path.name[: -len(".json")])
        )

    def read(self, name: str, version: str, day: str) -> DayRecord | None:
        """One record; None where there is none. Raises DayError."""
        return _read(self.folder(name, version) / f"{_checked(day)}.json", DayRecord)

    def newest(self, name: str, version: str, end: str, days_max: int) -> list[DayRecord]:
        """The records of the `days_max` days to the one that `end` (RFC 3339 in UTC) lies in, oldest first.

        One that cannot be read is left out, and the log says so: whoever asks wants to know of the others.
        """
        first = (date.fromisoformat(end[:10]) - timedelta(days=days_max - 1)).isoformat()
        found = []
        for day in self.days(name, version):
            if day < first or f"{day}T00:00:00.000000Z" >= end:
                continue
            try:
                record = self.read(name, version, day)
            except DayError as error:
                _LOG.warning("left out of the history: %s", error)
                continue
            if record is not None:
                found.append(record)
        return found

    def review(self, name: str, version: str, day: str) -> Review | None:
        """The rows of one day to look at; None where there are none. Raises DayError."""
        return _read(self.folder(name, version) / f"{_checked(day)}.review.json", Review)

    def write(self, record: DayRecord, review: Review | None) -> None:
        """Replace a day's record, and its review where there is one. One writer at a time. Raises OSError."""
        folder = self.folder(record.model_name, record.model_version)
        make_dirs(folder)
        if review is not None:
            write_atomically(folder / f"{_checked(record.day)}.review.json", msgspec.json.encode(review))
        write_atomically(folder / f"{_checked(record.day)}.json", msgspec.json.encode(record))

    def reviews(self, name: str, version: str) -> list[str]:
        """The days that have rows to look at, oldest first."""
        end = ".review.json"
        names = (path.name for path in self.folder(name, version).glob(f"*{end}"))
        return sorted(name[: -len(end)] for name in names if _DAY.fullmatch(name[: -len(end)]))

    def drop_review(self, name: str, version: str, day: str) -> None:
        """Delete a day's rows, not its record. Raises OSError."""
        folder = self.folder(name, version)
        (folder / f"{_checked(day)}.review.json").unlink(missing_ok=True)
        fsync_dir(folder)


def latency_bucket_end_ms(bucket: int) -> float:
    """Where a bucket of `latency_counts` ends, in milliseconds."""
    return LATENCY_FIRST_MS * LATENCY_RATIO**bucket


def latency_quantile_ms(counts: Mapping[int, int], share: float) -> float | None:
    """The latency that `share` of the rows did not exceed, in milliseconds, to 1 %; None without rows.

    Args:
        counts: of one day, or the sums of several.
    """
    total, seen = sum(counts.values()), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= share * total:
            # The middle of the bucket, by ratio: no more than half of it off.
            return latency_bucket_end_ms(bucket) / math.sqrt(LATENCY_RATIO)
    return None


def _checked(day: str) -> str:
    """Raises ValueError for what is no date: it becomes a file's name."""
    if not _DAY.fullmatch(day):
        raise ValueError(f"{day[:40]!r} is not a day like 2026-11-20")
    return day


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        raise DayError(f"{path}: {error}") from None
    if found.format_version > FORMAT_VERSION:
        raise NewerDay(f"{path}: format version {found.format_version} is newer than this program's {FORMAT_VERSION}")
    return found
