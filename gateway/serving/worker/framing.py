"""The framing of an HTTP/1 request: where it ends, and whether it asks for a prediction in the plain way.

This is no HTTP parser and gives no verdicts: gunicorn's parser does, later, on the same bytes. What is found here
decides when a request is whole, so that no thread ever waits for the rest of it; a client that lies about the length
gets gunicorn's answer to what it sent. Only a request for a prediction whose every line is of the one form that
nobody reads in two ways (RFC 9112) is taken at its word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: No head of this length is complete any more.
HEAD_BYTES_MAX = 65_536

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_CONTINUE = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\r\n]*)?\r\n")
_CHUNK_LINE_BYTES_MAX = 256

_NAME = rb"([A-Za-z0-9][A-Za-z0-9_-]{0,63})"
_PREDICT = re.compile(rb"POST (/predict|/models/%b/predict|/v2/models/%b/infer) HTTP/1\.1" % (_NAME, _NAME))
_TARGET = re.compile(rb"[A-Z]{1,20} ([!->@-~]{1,2048})[ ?]")
_FIELDS = re.compile(rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*)+")
_PLAIN_LENGTH = re.compile(rb"[0-9]{1,15}")
_JSON_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))
#: Fields that change how a request is read, or what must be said before it is answered.
_UNUSUAL = frozenset(
    (
        *(b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"http2-settings", b"trailer", b"te"),
        b"inference-header-content-length",
    )
)


@dataclass(frozen=True, slots=True)
class PlainPrediction:
    """What a plain request for a prediction says beside its body.

    `path` as sent; `model_name`: None for the default model; `client_id` and `authorization`: X-Request-ID
    and Authorization as sent; `keep_alive`: the client wants to go on with this connection; `is_v2`: the body is an
    inference request of the Open Inference Protocol.
    """

    path: str
    model_name: str | None
    client_id: str
    authorization: str
    keep_alive: bool
    is_v2: bool


@dataclass(frozen=True, slots=True)
class Head:
    """A complete head.

    Attributes:
        bytes: its length, the empty line included.
        body_bytes: the length of the body; None when it comes in chunks.
        expects_continue: the client waits for a 100 before it sends the body.
        prediction: what it asks for, if that is a prediction, plainly.
        asks_for_life: it is the question whether this process lives.
    """

    bytes: int
    body_bytes: int | None
    expects_continue: bool
    prediction: PlainPrediction | None
    asks_for_life: bool = False


def read_head(received: bytearray) -> Head | None:
    """The head at the start of `received`; None while it is incomplete."""
    end = received.find(_HEAD_END, 0, HEAD_BYTES_MAX)
    if end < 0:
        return None
    # With the line break that ends its last line.
    head = bytes(received[: end + 2])
    length = _LENGTH.search(head)
    chunked = _CHUNKED.search(head)
    return Head(
        bytes=end + len(_HEAD_END),
        body_bytes=None if chunked else int(length[1]) if length else 0,
        expects_continue=_CONTINUE.search(head) is not None,
        prediction=None if chunked or not head.startswith(b"POST ") else _plain_prediction(head),
        asks_for_life=head.startswith((b"GET /health ", b"GET /v2/health/live ")),
    )


def read_path(received: bytearray) -> str:
    """The path that `received` begins to ask for, "" if that is not there yet. Decides only how a refusal looks."""
    target = _TARGET.match(received)
    return target[1].decode("latin-1") if target else ""


def skip_chunks(received: bytearray, at: int) -> tuple[int, bool]:
    """Go over the whole chunks from `at`, where one begins: the place where the next begins, and whether it ends there.

    What is no chunk is an end too: there is nothing to wait for.
    """
    while True:
        line_end = received.find(b"\r\n", at, at + _CHUNK_LINE_BYTES_MAX)
        if line_end < 0:
            return at, len(received) - at >= _CHUNK_LINE_BYTES_MAX
        size = _CHUNK_SIZE.fullmatch(received, at, line_end + 2)
        if size is None:
            return at, True
        count = int(size[1], 16)
        if count == 0:
            # After the last chunk, an empty line ends the trailer fields, of which there are usually none.
            trailer_end = received.find(_HEAD_END, line_end, line_end + HEAD_BYTES_MAX)
            return at, trailer_end >= 0 or len(received) - line_end >= HEAD_BYTES_MAX
        following = line_end + 2 + count + 2
        if len(received) < following:
            return at, False
        at = following


def _plain_prediction(head: bytes) -> PlainPrediction | None:
    """`head` ends with the line break of its last line."""
    line_end = head.find(b"\r\n")
    asked = _PREDICT.fullmatch(head, 0, line_end)
    if asked is None or _FIELDS.fullmatch(head, line_end, len(head) - 2) is None:
        return None
    fields: dict[bytes, bytes] = {}
    for field in head[line_end + 2 : -2].split(b"\r\n"):
        name, _, value = field.partition(b":")
        fields[name.lower()] = value.strip(b" \t")
    # A field that stands twice is for the parser, whatever it is.
    if len(fields) != head.count(b"\r\n") - 1 or not _UNUSUAL.isdisjoint(fields) or not fields.get(b"host"):
        return None
    connection = fields.get(b"connection", b"keep-alive").lower()
    if (
        fields.get(b"content-type", b"").lower() not in _JSON_TYPES
        or _PLAIN_LENGTH.fullmatch(fields.get(b"content-length", b"")) is None
        or connection not in (b"keep-alive", b"close")
    ):
        return None
    return PlainPrediction(
        path=asked[1].decode(),
        model_name=name.decode() if (name := asked[2] or asked[3]) else None,
        client_id=fields.get(b"x-request-id", b"").decode("ascii"),
        authorization=fields.get(b"authorization", b"").decode("ascii"),
        keep_alive=connection == b"keep-alive",
        is_v2=asked[3] is not None,
    )
