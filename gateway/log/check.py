"""Checking a segment line by line without knowing its columns: its name says all that is needed.

Sealing and verifying look at every segment, also those of models that are no longer registered. So this check
relies on the name (identity, checksum of the header), on each line's own checksum, and on `seq`.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Literal

from gateway.clock import TEXT_LENGTH
from gateway.log import labels, refusals
from gateway.log.line import id_checksum
from gateway.log.segment import SegmentName

#: A segment full of faults is described by its first ones and their number.
FAULTS_KEPT_MAX = 100
#: Logs whose lines end with their time and the checksum.
_TIME_IS_LAST = (labels.PREFIX, refusals.PREFIX)
#: In the prediction log the time follows seq and a UUID of 36 characters.
_TIME_BEHIND_FIRST_COMMA = 1 + 36 + 1
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
#: The bounds of a segment with a time that nobody can read: no reader will skip it.
_ANY_TIME = (b"0000-01-01T00:00:00.000000Z", b"9999-12-31T23:59:59.999999Z")

FaultKind = Literal["damaged header", "corrupt line", "cut line", "sequence break"]


@dataclass(frozen=True)
class LineFault:
    """A line that is not what was written: its offset in the file, and what is wrong."""

    offset: int
    kind: FaultKind
    reason: str


@dataclass(frozen=True)
class Checked:
    """What the lines of a segment are.

    Attributes:
        rows: intact lines; `corrupt_lines` are the others, header and cut tail included.
        sequence_breaks: intact lines whose `seq` does not follow, with no corrupt line to explain it.
        first_timestamp, last_timestamp: earliest and latest time of the intact lines; None without any.
        faults: the first `FAULTS_KEPT_MAX` of corrupt_lines + sequence_breaks.
    """

    rows: int
    corrupt_lines: int
    sequence_breaks: int
    first_timestamp: str | None
    last_timestamp: str | None
    faults: tuple[LineFault, ...]

    @property
    def faults_total(self) -> int:
        """How many faults there are, kept or not."""
        return self.corrupt_lines + self.sequence_breaks


class LineChecker:
    """Checks a segment that is fed to it in pieces of any length; costs memory for one piece and one line."""

    def __init__(self, name: SegmentName) -> None:
        self._header_crc = name.header_crc
        self._id_crc = id_checksum(name.segment_id)
        self._time_is_last = name.prefix in _TIME_IS_LAST
        self._rest = b""
        self._offset = 0
        self._rows = self._corrupt = self._breaks = 0
        self._seq = -1
        self._behind_damage = False
        self._first: bytes | None = None
        self._last: bytes | None = None
        self._faults: list[LineFault] = []

    def feed(self, piece: bytes) -> None:
        """Check the lines that end in `piece`."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        if self._offset == 0 and lines:
            self._check_header(lines.pop(0))
        self._check(lines)

    def finish(self, *, being_written: bool = False) -> Checked:
        """The result. What follows the last LF is a cut line, unless somebody is just writing it."""
        if self._rest and not being_written:
            self._corrupt_line("cut line", "ends without its line break")
        elif self._offset == 0:
            self._corrupt_line("damaged header", "is missing")
        first, last = self._first or b"", self._last or b""
        if self._rows and not (_TIME.fullmatch(first) and _TIME.fullmatch(last)):
            first, last = _ANY_TIME
        return Checked(
            rows=self._rows,
            corrupt_lines=self._corrupt,
            sequence_breaks=self._breaks,
            first_timestamp=first.decode() if self._rows else None,
            last_timestamp=last.decode() if self._rows else None,
            faults=tuple(self._faults),
        )

    def _check_header(self, line: bytes) -> None:
        if zlib.crc32(line + b"\n") != self._header_crc:
            self._corrupt_line("damaged header", "checksum does not match the segment's id")
        self._offset = len(line) + 1

    def _check(self, lines: list[bytes]) -> None:
        # The one hot loop: names are bound before it, and it does no more than it must.
        crc32, id_crc, time_is_last = zlib.crc32, self._id_crc, self._time_is_last
        offset, seq = self._offset, self._seq
        times = []
        for line in lines:
            cut = line.rfind(b",") + 1
            if b"%d" % crc32(line[:cut], id_crc) != line[cut:]:
                self._offset = offset
                self._corrupt_line("corrupt line", "checksum does not match")
            else:
                comma = line.find(b",")
                found = _number(line[:comma])
                if found != seq + 1 and not (self._behind_damage and found > seq):
                    self._fault(LineFault(offset, "sequence break", f"seq {found} follows {_shown(seq)}"))
                    self._breaks += 1
                seq = found
                self._behind_damage = False
                if time_is_last:
                    times.append(line[cut - 1 - TEXT_LENGTH : cut - 1])
                else:
                    time_at = comma + _TIME_BEHIND_FIRST_COMMA
                    times.append(line[time_at : time_at + TEXT_LENGTH])
            offset += len(line) + 1
        self._offset, self._seq = offset, seq
        if times:
            self._rows += len(times)
            first, last = min(times), max(times)
            self._first = first if self._first is None else min(first, self._first)
            self._last = last if self._last is None else max(last, self._last)

    def _corrupt_line(self, kind: FaultKind, reason: str) -> None:
        self._fault(LineFault(self._offset, kind, reason))
        self._corrupt += 1
        self._behind_damage = True

    def _fault(self, fault: LineFault) -> None:
        if len(self._faults) < FAULTS_KEPT_MAX:
            self._faults.append(fault)


def _number(field: bytes) -> int:
    """A line's seq; -2, which follows nothing, for a field that is no number."""
    try:
        return int(field)
    except ValueError:
        return -2


def _shown(seq: int) -> str:
    return "the header" if seq < 0 else str(seq)
