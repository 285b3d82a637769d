"""Scanning a segment: every intact line, before and after damage, and where the damage is.

Rows are independent, so damage ends at the next LF. The scan works on bytes, splits on LF alone, and needs
no CSV parser: it returns the intact lines of a time window as CSV for whichever parser the caller likes.
It works while a process writes the segment: a last line without its LF is then not yet a line.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import TEXT_LENGTH
from gateway.log.line import LogColumn, header_line, id_checksum, is_intact
from gateway.log.segment import UnreadableSegment, is_being_written, parse_name

#: In the prediction log the time follows seq and a UUID of 36 characters.
_TIME_BEHIND_FIRST_COMMA = 1 + 36 + 1


@dataclass(frozen=True)
class Damage:
    """Bytes that are not what was written: where they begin (from the file's start) and what is wrong."""

    offset: int
    reason: str


@dataclass(frozen=True)
class SegmentScan:
    """What a segment held when it was read.

    Attributes:
        bytes_read: length of the prefix that was read; `sha256` is its hash, in hexadecimal.
        data: CSV: the header and the intact lines inside the window, each with its LF.
        rows: intact lines inside the window; `rows_total` counts those outside too.
        damage: in file order.
    """

    path: Path
    segment_id: str
    bytes_read: int
    sha256: str
    data: bytes
    rows: int
    rows_total: int
    damage: tuple[Damage, ...]


def scan(
    path: Path,
    columns: Sequence[LogColumn],
    *,
    start: str | None = None,
    end: str | None = None,
    bytes_limit: int | None = None,
) -> SegmentScan:
    """Read one segment.

    Args:
        path: the segment.
        columns: the log's columns; a segment written for others yields no rows and says so.
        start, end: keep rows with start <= time < end, both in the form of `gateway.clock`; the time is
            `timestamp` in the prediction log and `received_at` in the label log.
        bytes_limit: read only this prefix, to see again what an earlier scan saw.

    Raises:
        UnreadableSegment: no segment, a newer format, or the file cannot be read.
    """
    name = parse_name(path)
    content = _read(path, bytes_limit)
    expected = header_line(columns)
    lines = content.split(b"\n")
    tail = lines.pop()
    offset = 0
    damage: list[Damage] = []
    kept: list[bytes] = []
    rows_total = 0
    time_of = _time_reader(columns)
    first, last = _bound(start), _bound(end)
    id_crc = id_checksum(name.segment_id)
    # The id tells which header the segment was created with, so a damaged header costs no row.
    foreign = name.header_crc != zlib.crc32(expected)
    if foreign:
        damage.append(Damage(0, "was written for other columns"))
    for number, line in enumerate(lines):
        if number == 0:
            if line + b"\n" != expected and not foreign:
                damage.append(Damage(0, "header is damaged"))
        elif not is_intact(line, id_crc):
            damage.append(Damage(offset, "checksum does not match"))
        elif not foreign:
            rows_total += 1
            if (first is None or time_of(line) >= first) and (last is None or time_of(line) < last):
                kept.append(line)
        offset += len(line) + 1
    if tail:
        damage.append(Damage(offset, "line is cut off"))
    kept.insert(0, expected[:-1])
    return SegmentScan(
        path=path,
        segment_id=name.segment_id,
        bytes_read=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        data=b"\n".join(kept) + b"\n",
        rows=len(kept) - 1,
        rows_total=rows_total,
        damage=tuple(damage),
    )


def _read(path: Path, bytes_limit: int | None) -> bytes:
    try:
        with open(path, "rb") as stream:
            # Ask before reading: a writer that dies in between leaves a cut line that the next scan reports.
            live = is_being_written(stream.fileno())
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(size if bytes_limit is None else min(size, bytes_limit))
    except OSError as error:
        raise UnreadableSegment(path, f"cannot be read ({error.strerror})") from None
    return content[: content.rfind(b"\n") + 1] if live else content


def _bound(moment: str | None) -> bytes | None:
    if moment is not None and len(moment) != TEXT_LENGTH:
        raise ValueError(f"{moment!r} is not a moment as gateway.clock writes it")
    return None if moment is None else moment.encode()


def _time_reader(columns: Sequence[LogColumn]) -> Callable[[bytes], bytes]:
    """How to find the time in an intact line of this log without parsing it."""
    return _leading_time if columns[2].name == "timestamp" else _trailing_time


def _leading_time(line: bytes) -> bytes:
    begin = line.index(b",") + _TIME_BEHIND_FIRST_COMMA
    return line[begin : begin + TEXT_LENGTH]


def _trailing_time(line: bytes) -> bytes:
    return line.rsplit(b",", 2)[1]
