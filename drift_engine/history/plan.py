"""Which days of a version are to be made: those that have no record, or of which there is more to say by now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from drift_engine.reading.log_files import located
from drift_engine.results.days import DayRecord
from gateway.clock import parse_utc, utc_text
from gateway.log.manifest import Chain
from gateway.log.segment import UnreadableSegment, parse_name

DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class PredictionFile:
    """A prediction segment: the days that it may have rows of (`last` None while it grows), and its length."""

    segment: str
    first: str
    last: str | None
    bytes: int

    def may_have(self, day: str) -> bool:
        """Whether it may hold a row of that day."""
        return self.first <= day and (self.last is None or day <= self.last)


def prediction_files(live: Path, paths: Sequence[Path], chain: Chain) -> list[PredictionFile]:
    """What is known of the segments without opening them. One without a row is left out."""
    found = []
    for path in paths:
        try:
            segment, size = parse_name(path).segment_id, path.stat(follow_symlinks=False).st_size
        except (UnreadableSegment, OSError):
            # Not ours to judge, or gone since: whoever reads the day says so.
            continue
        sealed = chain.present.get(segment)
        if sealed is None or sealed.path != path.relative_to(live).as_posix():
            found.append(PredictionFile(segment, _made_on(segment), None, size))
        elif sealed.first_timestamp is not None and sealed.last_timestamp is not None:
            found.append(PredictionFile(segment, sealed.first_timestamp[:10], sealed.last_timestamp[:10], sealed.bytes))
    return found


def kept_days(now: float, days: int) -> list[str]:
    """Today and the days before it, so many in all, oldest first, in UTC."""
    today = datetime.fromtimestamp(now, UTC).date()
    return [(today - timedelta(days=back)).isoformat() for back in reversed(range(days))]


def bounds(day: str) -> tuple[str, str]:
    """A day as start <= time < end."""
    start = parse_utc(f"{day}T00:00:00Z")
    return utc_text(start), utc_text(start + DAY_SECONDS)


def is_over(day: str, now: float, grace_seconds: float) -> bool:
    """Whether no row of the day can come any more: `grace_seconds` is how late one may be written."""
    return now >= parse_utc(bounds(day)[1]) + grace_seconds


def expired_days(live: Path, name: str, version: str, chain: Chain) -> frozenset[str]:
    """Days of which retention has deleted rows: they cannot be made whole again."""
    folder = f"{name}/{version}/"
    found: set[str] = set()
    for segment in chain.expired:
        sealed = chain.sealed.get(segment)
        if sealed is None or not sealed.path.startswith(folder):
            continue
        if sealed.first_timestamp is not None and sealed.last_timestamp is not None:
            first, last = (
                date.fromisoformat(sealed.first_timestamp[:10]),
                date.fromisoformat(sealed.last_timestamp[:10]),
            )
            found |= {(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)}
    return frozenset(found)


def days_to_make(
    days: Sequence[str],
    files: Sequence[PredictionFile],
    records: Mapping[str, DayRecord],
    labels: Callable[[str], Mapping[str, int]],
    left_alone: Collection[str],
) -> list[str]:
    """Of `days`, those to make now, newest first: what is asked for most is there soonest.

    Last come those of which nothing is new but a file that could not be read: it may never be, and must hold up no
    other.

    Args:
        files: the version's prediction segments.
        records: what is kept, by day.
        labels: of a day, the label segments that speak of its predictions and how much of each is to be read.
        left_alone: days that cannot be made whole, or are not ours to make.
    """
    found: list[str] = []
    last: list[str] = []
    for day in reversed(days):
        mine = {file.segment: file.bytes for file in files if file.may_have(day)}
        record = records.get(day)
        if not mine or day in left_alone:
            continue
        segments = {**mine, **labels(day)}
        if record is None or not record.complete or _has_more(record, segments, but=_unread(record)):
            found.append(day)
        elif _has_more(record, segments):
            last.append(day)
    return found + last


def is_whole(live: Path, record: DayRecord) -> bool:
    """Whether all predictions that a record was made from are still there."""
    return all(located(live, file) is not None for file in record.inputs if file.log == "predictions" and file.segment)


def _has_more(record: DayRecord, segments: Mapping[str, int], but: Collection[str] = ()) -> bool:
    """Whether any of the segments, given with their lengths, holds more than the record was made from."""
    read = {file.segment: file.bytes_read for file in record.inputs}
    return any(size > read.get(segment, 0) for segment, size in segments.items() if segment not in but)


def _unread(record: DayRecord) -> set[str]:
    """Segments that could not be read when the record was made."""
    found = set()
    for file in record.inputs:
        with contextlib.suppress(UnreadableSegment):
            if not file.segment:
                found.add(parse_name(Path(file.path)).segment_id)
    return found


def _made_on(segment: str) -> str:
    """The day that a segment's id names: v1-20261120T151139Z-..."""
    stamp = segment.split("-")[1]
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"
