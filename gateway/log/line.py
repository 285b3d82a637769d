"""The bytes of one line: comma-separated fields, one LF at the end and none inside, a checksum last.

A line is `<seq>,<fields>,<crc32>` LF. The checksum is CRC-32 (zlib's), in decimal, over the segment's id in
ASCII followed by the line up to and including the comma before the checksum; so neither a cut number, nor a
line moved to another segment, passes for a record.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ColumnType = Literal["integer", "number", "text", "boolean", "time"]

#: Text that stands for itself: no separator, no quote, nothing escaped, and not empty (an empty field is missing).
_PLAIN = re.compile(r'[^,"\\\n\r\0]+').fullmatch
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\0", '"': '""'})
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANING = {"\\": "\\", "n": "\n", "r": "\r", "0": "\0"}


@dataclass(frozen=True)
class LogColumn:
    """One column of a log: its name and how its fields are written."""

    name: str
    type: ColumnType


def text_field(text: str) -> str:
    """A text as one field. Line breaks and NUL are escaped, so that one LF is one record.

    >>> text_field("plain"), text_field(""), text_field('a,"b"'), text_field("two\\nlines")
    ('plain', '""', '"a,""b\"""', '"two\\\\nlines"')
    """
    return text if _PLAIN(text) else f'"{text.translate(_ESCAPES)}"'


def unescape(text: str) -> str:
    """Undo the backslash escapes of `text_field`, after the CSV quoting is gone.

    >>> unescape("two\\\\nlines") == "two\\nlines"
    True
    """
    return _ESCAPED.sub(lambda match: _MEANING.get(match[1], match[0]), text)


def _nothing_or(encode: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "" if value is None else encode(value)


#: How a value of each type becomes a field; None becomes the empty field. repr gives a float's shortest exact form.
FIELD_ENCODERS: dict[ColumnType, Callable[[Any], str]] = {
    "integer": _nothing_or(str),
    "number": _nothing_or(repr),
    "text": _nothing_or(text_field),
    "boolean": _nothing_or(lambda value: "true" if value else "false"),
    "time": _nothing_or(str),
}


def header_line(columns: Sequence[LogColumn]) -> bytes:
    """The first line of a segment, LF included."""
    return ",".join(text_field(column.name) for column in columns).encode() + b"\n"


def id_checksum(segment_id: str) -> int:
    """Where the checksum of every line of a segment starts from."""
    return zlib.crc32(segment_id.encode())


def seal_line(seq: int, payload: bytes, id_crc: int) -> bytes:
    """A complete line from its number and its fields, `payload` being all between the two."""
    return seal_lines((payload,), seq, id_crc)


def seal_lines(payloads: Iterable[bytes], first_seq: int, id_crc: int) -> bytes:
    """Complete lines, one behind the other, numbered from `first_seq` on."""
    crc32, pieces = zlib.crc32, list[bytes]()
    for seq, payload in enumerate(payloads, first_seq):
        number = b"%d," % seq
        # Piece by piece: the fields are copied once, when all lines are put together.
        checksum = crc32(b",", crc32(payload, crc32(number, id_crc)))
        pieces += (number, payload, b",%d\n" % checksum)
    return b"".join(pieces)


def is_intact(line: bytes, id_crc: int) -> bool:
    """Whether a line (without its LF) carries the right checksum for its segment."""
    cut = line.rfind(b",") + 1
    return b"%d" % zlib.crc32(line[:cut], id_crc) == line[cut:]
