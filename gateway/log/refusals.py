"""The refusal log: requests for a version's predictions that were refused for their content, counted by cause.

One line says how many requests of an interval had one cause: a reason, and the feature that it is about. A request has
a line's count once for each cause that it has, and once under `ANY`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gateway.log.line import FIELD_ENCODERS, LogColumn
from gateway.log.segment import segments as segments_of

PREFIX = "refusals"

#: Why a request was refused for its content; docs/formats/refusal_log.md says what each means.
Reason = Literal[
    "missing feature",
    "null",
    "wrong type",
    "unseen category",
    "out of range",
    "unusable text",
    "unknown field",
    "no finite answer",
    "wrong form",
    "malformed",
]
#: Every refused request of the interval, once.
ANY = "any"
#: Requests with a cause beyond those that an interval tells apart.
MORE = "more"

_COLUMNS = (
    LogColumn("seq", "integer"),
    LogColumn("reason", "text"),
    LogColumn("feature", "text"),
    LogColumn("requests", "integer"),
    LogColumn("rows", "integer"),
    LogColumn("example", "text"),
    LogColumn("since", "time"),
    LogColumn("until", "time"),
    LogColumn("crc32", "integer"),
)
_ENCODERS = tuple(FIELD_ENCODERS[column.type] for column in _COLUMNS[1:-1])


def columns() -> tuple[LogColumn, ...]:
    """The columns of the refusal log, in file order: the same for every model."""
    return _COLUMNS


def folder(live: Path, name: str, version: str) -> Path:
    """Where a version's refusal log is: beside its prediction log."""
    return live / name / version


def segments(live: Path, name: str, version: str) -> list[Path]:
    """The segments of a version's refusal log."""
    return segments_of(folder(live, name, version), PREFIX)


def encode(reason: str, feature: str, requests: int, rows: int, example: str | None, since: str, until: str) -> bytes:
    """One line's fields between `seq` and `crc32`, for `SegmentWriter.append`.

    Args:
        feature: "" for what is about whole requests.
        rows: those that the requests asked for; none of them was answered.
        example: None where there is none.
        since, until: when the first of them was refused, and when the line was made, as `gateway.clock` writes them.
    """
    values = (reason, feature, requests, rows, example, since, until)
    return ",".join(write(value) for write, value in zip(_ENCODERS, values, strict=True)).encode()
