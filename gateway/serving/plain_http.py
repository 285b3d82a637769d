"""The framing of a plain HTTP/1.1 request: where it ends, and whether it asks for a prediction in the usual way.

This is no HTTP parser and gives no verdicts. A head is plain when every line of it is of the one form that nobody
reads in two ways (RFC 9112); whatever is not, gunicorn's parser gets, byte for byte. So nothing is accepted
here that it would refuse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_BYTES_MAX = 8192

_HEAD_END = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,2000}) HTTP/1\.1")
_PREDICT = re.compile(rb"/predict|/models/([A-Za-z0-9][A-Za-z0-9_-]{0,63})/predict")
_FIELDS = re.compile(rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*)*")
_LENGTH = re.compile(rb"[0-9]{1,12}")
_JSON_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))
#: Fields that change how a request is read, or what must be said before it is answered.
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"http2-settings", b"trailer", b"te"))


@dataclass(frozen=True, slots=True)
class Head:
    """A complete plain head.

    Attributes:
        bytes: its length, the empty line included.
        total_bytes: its length and that of the body.
        predicts: it is a POST of uncompressed JSON for a prediction.
        model_name: of the model that is asked; None for the default one.
        client_id: what X-Request-ID says, as sent.
        keep_alive: the client wants to go on with this connection.
    """

    bytes: int
    total_bytes: int
    predicts: bool = False
    model_name: str | None = None
    client_id: str = ""
    keep_alive: bool = True


def is_complete(received: bytearray) -> bool:
    """Whether the head is all there, or will never be one that is plain."""
    return received.find(_HEAD_END, 0, HEAD_BYTES_MAX) >= 0 or len(received) >= HEAD_BYTES_MAX


def read_head(received: bytearray) -> Head | None:
    """The head at the start of `received`, which is complete; None for one that is not plain."""
    end = received.find(_HEAD_END, 0, HEAD_BYTES_MAX)
    if end < 0:
        return None
    head = bytes(received[:end])
    line_end = head.find(b"\r\n")
    line_end = end if line_end < 0 else line_end
    line = _REQUEST_LINE.fullmatch(head, 0, line_end)
    if line is None or _FIELDS.fullmatch(head, line_end) is None:
        return None
    fields: dict[bytes, bytes] = {}
    for field in head[line_end + 2 :].split(b"\r\n"):
        name, _, value = field.partition(b":")
        fields[name.lower()] = value.strip(b" \t")
    # Lines and names: a field that stands twice is for the parser, whatever it is.
    if len(fields) != head.count(b"\r\n", line_end) or b"host" not in fields or not _UNUSUAL.isdisjoint(fields):
        return None
    length = fields.get(b"content-length", b"0")
    connection = fields.get(b"connection", b"keep-alive").lower()
    if _LENGTH.fullmatch(length) is None or connection not in (b"keep-alive", b"close"):
        return None
    start = end + len(_HEAD_END)
    asked = _PREDICT.fullmatch(line[2]) if line[1] == b"POST" else None
    if (
        asked is None
        or fields.get(b"content-type", b"").lower() not in _JSON_TYPES
        or fields.get(b"content-encoding", b"identity") != b"identity"
    ):
        return Head(start, start + int(length))
    return Head(
        bytes=start,
        total_bytes=start + int(length),
        predicts=True,
        model_name=asked[1].decode() if asked[1] else None,
        client_id=fields.get(b"x-request-id", b"").decode("latin-1"),
        keep_alive=connection == b"keep-alive",
    )
