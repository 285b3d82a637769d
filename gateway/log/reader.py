"""Reading a segment: every intact line, before and after damage, and where the damage is.

Rows are independent, so damage ends at the next LF. The reader works on bytes, splits on LF alone, and needs
no CSV parser: it returns the intact lines of a time window as CSV for whichever parser the caller likes.
It works while a process writes the segment: a last line without its LF is then not yet a line.

`SegmentStream` reads a block at a time, so that memory does not grow with the file; `scan` is the same at once.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.clock import TEXT_LENGTH
from gateway.files import open_regular
from gateway.log.line import LogColumn, header_line, id_checksum, is_intact
from gateway.log.segment import is_being_written, parse_name, unreadable

#: How much of a segment is read at once; a longer line is read whole nevertheless.
BLOCK_BYTES = 8 << 20
#: In the prediction log the time follows seq and a UUID of 36 characters.
_TIME_BEHIND_FIRST_COMMA = 1 + 36 + 1


@dataclass(frozen=True)
class Damage:
    """Bytes that are not what was written: where they begin (from the file's start) and what is wrong.

    A damaged line has no time of its own that could be trusted. `after` and `before` are the times of the nearest
    intact lines in front of it and behind it; None where there is none, or none yet.
    """

    offset: int
    reason: str
    after: str | None = None
    before: str | None = None

    def may_be_inside(self, start: str | None, end: str | None) -> bool:
        """Whether a line between these neighbours may belong to start <= time < end; None is unbounded."""
        first, last = self.after, self.before
        if first is not None and last is not None and last < first:
            # The clock was set back between the two.
            first, last = last, first
        return (end is None or first is None or first < end) and (start is None or last is None or last >= start)


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
    """Read one segment at once; arguments and errors as for `SegmentStream`."""
    stream = SegmentStream(path, columns, start=start, end=end, bytes_limit=bytes_limit)
    data = b"".join([stream.header, *stream])
    return SegmentScan(
        path=path,
        segment_id=stream.segment_id,
        bytes_read=stream.bytes_read,
        sha256=stream.sha256,
        data=data,
        rows=stream.rows,
        rows_total=stream.rows_total,
        damage=tuple(stream.damage),
    )


class SegmentStream:
    """One pass over a segment in blocks.

    Iterate once: each item is the intact lines inside the window of one block, each line with its LF, without
    the header; never empty. The figures grow meanwhile and are complete when the iteration has ended.

    Args:
        path: the segment.
        columns: the log's columns; a segment written for others yields no rows and says so.
        start, end: keep rows with start <= time < end, both in the form of `gateway.clock`; the time is
            `timestamp` in the prediction log and `received_at` in the label log.
        bytes_limit: read only this prefix, to see again what an earlier pass saw.
        damage_listed_max: list only the first places of damage; `damaged` counts all.
        block_bytes: how much to read at once.

    Attributes:
        header: the header line that the columns demand, whatever the file has.
        bytes_read: length of the prefix read so far; `sha256` is its hash, in hexadecimal.
        rows: intact lines inside the window; `rows_total` counts those outside too, `rows_before` those before it.
        damage: in file order; `damaged` is how many there are.

    Raises:
        UnreadableSegment: no segment, a newer format, or (while iterating) the file cannot be read; its subclass
            MissingSegment: there is no such file.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[LogColumn],
        *,
        start: str | None = None,
        end: str | None = None,
        bytes_limit: int | None = None,
        damage_listed_max: int | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        name = parse_name(path)
        self.path = path
        self.segment_id = name.segment_id
        self.header = header_line(columns)
        self.bytes_read = 0
        self.rows = 0
        self.rows_total = 0
        self.rows_before = 0
        self.damage: list[Damage] = []
        self.damaged = 0
        #: Damage behind which no intact line has come yet, each with its place among the next block's intact lines.
        self._undated: list[tuple[Damage, int]] = []
        self._newest: str | None = None
        self._hash = hashlib.sha256()
        self._start, self._end = _bound(start), _bound(end)
        self._bytes_limit = bytes_limit
        self._damage_listed_max = damage_listed_max
        self._block_bytes = block_bytes
        self._id_crc = id_checksum(name.segment_id)
        self._time_of = _time_reader(columns)
        # The id tells which header the segment was created with, so a damaged header costs no row.
        self._foreign = name.header_crc != zlib.crc32(self.header)

    @property
    def sha256(self) -> str:
        """The hash of the prefix read so far, in hexadecimal."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        if self._foreign:
            self._found(0, "was written for other columns")
        for content in self._whole_lines():
            kept = self._intact(content)
            self._hash.update(content)
            self.bytes_read += len(content)
            if kept:
                self.rows += len(kept)
                kept.append(b"")
                yield b"\n".join(kept)
        self.damage += [damage for damage, _ in self._undated]
        self._undated = []

    def _whole_lines(self) -> Iterator[bytes]:
        """The file in blocks that end with a line; the last one may end in a torn line."""
        try:
            with open(open_regular(self.path), "rb") as stream:
                # Ask before reading: a writer that dies in between leaves a cut line that the next pass reports.
                live = is_being_written(stream.fileno())
                size = os.fstat(stream.fileno()).st_size
                left = size if self._bytes_limit is None else min(size, self._bytes_limit)
                pieces: list[bytes] = []
                while left and (block := stream.read(min(left, self._block_bytes))):
                    left -= len(block)
                    end = block.rfind(b"\n") + 1
                    if end:
                        pieces.append(block[:end])
                        yield b"".join(pieces)
                        pieces = []
                    pieces.append(block[end:])
        except OSError as error:
            raise unreadable(self.path, error) from None
        tail = b"".join(pieces)
        if tail and not live:
            yield tail

    def _intact(self, content: bytes) -> list[bytes]:
        """The intact lines of a block that lie inside the window; notes the others."""
        offset, id_crc, foreign = self.bytes_read, self._id_crc, self._foreign
        lines = content.split(b"\n")
        tail = lines.pop()
        if offset == 0 and lines:
            header = lines.pop(0) + b"\n"
            if header != self.header and not foreign:
                self._found(0, "header is damaged")
            offset = len(header)
        kept = []
        for line in lines:
            if is_intact(line, id_crc):
                kept.append(line)
            else:
                self._found(offset, "checksum does not match", len(kept))
            offset += len(line) + 1
        if tail:
            self._found(offset, "line is cut off", len(kept))
        if foreign:
            return []
        self._date(kept)
        self.rows_total += len(kept)
        return self._inside(kept)

    def _inside(self, lines: list[bytes]) -> list[bytes]:
        first, last, time_of = self._start, self._end, self._time_of
        if first is not None:
            count = len(lines)
            lines = [line for line in lines if time_of(line) >= first]
            self.rows_before += count - len(lines)
        if last is not None:
            lines = [line for line in lines if time_of(line) < last]
        return lines

    def _found(self, offset: int, reason: str, place: int = 0) -> None:
        """Note damage; `place`: how many intact lines of this block are in front of it."""
        self.damaged += 1
        if self._damage_listed_max is None or self.damaged <= self._damage_listed_max:
            self._undated.append((Damage(offset, reason), place))

    def _date(self, kept: list[bytes]) -> None:
        """Give the damage its neighbours' times, now that this block's intact lines are known."""
        if not kept and not self._undated:
            return
        undated, self._undated = self._undated, []
        for damage, place in undated:
            after = damage.after or (self._time(kept[place - 1]) if place else self._newest)
            if place < len(kept):
                self.damage.append(replace(damage, after=after, before=self._time(kept[place])))
            else:
                self._undated.append((replace(damage, after=after), 0))
        if kept:
            self._newest = self._time(kept[-1])

    def _time(self, line: bytes) -> str:
        return self._time_of(line).decode("ascii", "replace")


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
