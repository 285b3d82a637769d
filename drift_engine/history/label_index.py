"""Which label segments speak of which days: so that a day is scored again when its labels come, and no other is.

`data/state/history/<name>.json`, one per model, replaced atomically before the days are scored. It is a cache: deleting
it has all labels looked up again. Whether a day is to be scored again is seen from its record, which says how much of
each label segment it was made from.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from gateway.files import make_dirs, read_regular, write_atomically
from gateway.registry.card import check_name

FORMAT_VERSION = 1
#: Labels without a prediction that are looked up again each time; more of them are counted only.
UNMATCHED_KEPT_MAX = 10_000
_UNREADABLE = (OSError, ValueError, RecursionError)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelKey:
    """What a label says of the prediction that it is for, the label segment that it is in, and when it was received
    (microseconds since the epoch)."""

    segment: str
    request_id: str | None
    client_id: str | None
    instance: int
    received: int


@dataclass(frozen=True)
class SegmentDays:
    """A label segment as far as it was looked through.

    Attributes:
        bytes_read: its length then; `rows` label lines were in it.
        received: the UTC days on which they were received.
        days: by model version and day, of predictions that it has labels of: `bytes_read` when the newest was found.
    """

    bytes_read: int
    rows: int
    received: frozenset[str] = frozenset()
    days: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelIndex:
    """What is known of a model's label log.

    Attributes:
        segments: by segment id.
        unmatched: labels that no prediction of any version had; `unmatched_more` beyond those that are kept.
    """

    segments: dict[str, SegmentDays] = field(default_factory=dict)
    unmatched: tuple[LabelKey, ...] = ()
    unmatched_more: int = 0
    format: str = "sentinelml.label_index"
    format_version: int = FORMAT_VERSION

    def speaks_of(self, version: str, day: str) -> dict[str, int]:
        """The label segments that hold labels of a day's predictions, and how much of each is to be read for them."""
        return {
            key: found.days[version][day] for key, found in self.segments.items() if day in found.days.get(version, {})
        }

    def received_on(self, days: Collection[str]) -> frozenset[str]:
        """The label segments with a line that was received on one of the days."""
        return frozenset(key for key, found in self.segments.items() if not found.received.isdisjoint(days))

    def read_of(self, segment: str) -> int:
        """How much of a label segment was looked through."""
        found = self.segments.get(segment)
        return 0 if found is None else found.bytes_read

    @property
    def orphaned(self) -> int:
        """How many labels have no prediction."""
        return len(self.unmatched) + self.unmatched_more

    def with_segments(self, segments: Mapping[str, SegmentDays]) -> LabelIndex:
        """With these segments in place of all others; labels of others that had no prediction are let go."""
        kept = tuple(key for key in self.unmatched if key.segment in segments)
        return replace(self, segments=dict(segments), unmatched=kept)

    def with_days(self, touched: Iterable[tuple[str, str, str]]) -> LabelIndex:
        """With more (segment, version, day)."""
        segments = dict(self.segments)
        for segment, version, day in touched:
            known = segments[segment]
            days = known.days.get(version, {}) | {day: known.bytes_read}
            segments[segment] = replace(known, days=known.days | {version: days})
        return replace(self, segments=segments)

    def with_unmatched(self, unmatched: list[LabelKey], more: int) -> LabelIndex:
        """With these labels as those that have no prediction, and so many more."""
        kept = tuple(unmatched[-UNMATCHED_KEPT_MAX:])
        return replace(self, unmatched=kept, unmatched_more=more + len(unmatched) - len(kept))


def read_index(state: Path, name: str) -> LabelIndex:
    """The index of a model; empty where there is none that can be read."""
    path = _path(state, name)
    try:
        found = msgspec.json.decode(read_regular(path), type=LabelIndex)
    except FileNotFoundError:
        return LabelIndex()
    except _UNREADABLE as error:
        _LOG.warning("%s: %s; all labels are looked up again", path, error)
        return LabelIndex()
    return found if found.format_version <= FORMAT_VERSION else LabelIndex()


def write_index(state: Path, name: str, index: LabelIndex) -> None:
    """Replace the index of a model. One writer at a time. Raises OSError."""
    path = _path(state, name)
    make_dirs(path.parent)
    write_atomically(path, msgspec.json.encode(index))


def _path(state: Path, name: str) -> Path:
    return state / "history" / f"{check_name(name)}.json"
