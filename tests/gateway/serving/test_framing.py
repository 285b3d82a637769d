"""Where a request ends is found without reading it; gunicorn's own parser is the judge of what is found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.serving.worker.framing import HEAD_BYTES_MAX, read_head, read_path, skip_chunks

PLAIN = b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class WouldWait(Exception):
    """The parser asked for bytes that are not there: in the gateway a thread would stand still."""


def parsed(data: bytes) -> tuple[Any, bytes]:
    """What gunicorn reads from these bytes alone: the request and its body. Raises WouldWait, ParseException."""

    def source() -> Iterator[bytes]:
        yield data
        raise WouldWait

    request = next(RequestParser(Config(), source(), ("127.0.0.1", 1)))
    return request, request.body.read()


def end_of(data: bytes) -> int | None:
    """How many bytes belong to the first request as far as framing can tell; None while it is not whole."""
    head = read_head(bytearray(data))
    if head is None:
        return None
    if head.body_bytes is not None:
        end = head.bytes + head.body_bytes
        return end if len(data) >= end else None
    _, ended = skip_chunks(bytearray(data), head.bytes)
    return len(data) if ended else None


methods = st.sampled_from([b"POST"] * 4 + [b"GET", b"post", b"P0ST", b"HEAD", b""])
targets = st.sampled_from(
    [b"/predict"] * 3
    + [
        b"/models/m/predict",
        b"/v2/models/m/infer",
        b"/v2/models/m/versions/1/infer",
        b"/models/../predict",
        b"/predict?x=1",
        b"*",
        b"http://h/predict",
        b"/\xff",
    ]
)
versions = st.sampled_from([b"HTTP/1.1"] * 5 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1"])
names = st.sampled_from(
    b"Content-Length|content-length|Transfer-Encoding|X-Request-ID|X-Request-Id|Connection|Expect|Content-Type|Host|"
    b"Upgrade|TE|Accept|Inference-Header-Content-Length|Content-Length | Folded|X_Y|Bad\x00||Trailer".split(b"|")
)
field_values = st.one_of(
    st.sampled_from(
        b"0|2|5|05|+5|5,5|-1|0x5|chunked|gzip, chunked|identity|close|keep-alive|application/json|100-continue|| |a\tb|"
        b"\xe9|a\rb|a\nb|h2c|id-1|a, b".split(b"|")
    ),
    st.binary(max_size=6),
)
separators = st.sampled_from([b": "] * 6 + [b":", b" : ", b":\t", b""])
fields = st.tuples(names, separators, field_values).map(b"".join)
bodies = st.one_of(
    st.sampled_from(
        [
            b"",
            b"{}",
            b"12345",
            b"5\r\n12345\r\n0\r\n\r\n",
            b"0\r\n\r\n",
            b"0\r\nA: b\r\n\r\n",
            b"5;x=y\r\n12345\r\n0\r\n\r\n",
        ]
    ),
    st.sampled_from(
        [
            b"zz\r\n",
            b"5\r\n12345",
            b"5\r\n1234567\r\n0\r\n\r\n",
            b"-5\r\n",
            b"5 \r\n12345\r\n0\r\n\r\n",
            b"FFFFFFFFF\r\n",
        ]
    ),
    st.binary(max_size=12),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request, plain or strange, with a body that may fit it, and perhaps more behind it."""
    body = draw(bodies)
    if draw(st.booleans()):
        head = [
            b"POST /predict HTTP/1.1",
            b"Host: h",
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(body),
        ]
    else:
        head = [b" ".join((draw(methods), draw(targets), draw(versions)))]
    for field in draw(st.lists(fields, max_size=2)):
        head.insert(draw(st.integers(1, len(head))), field)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


@given(requests())
@example(PLAIN.replace(b"Host: h", b"Host: h\r\nTransfer-Encoding: identity"))
@example(PLAIN.replace(b"Content-Length: 2", b"Content-Length: 1\r\nContent-Length: 5"))
@example(b"POST /predict HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\nzz\r\n")
def test_what_is_called_whole_is_whole_for_the_parser(data: bytes) -> None:
    """Handed over whole, no request makes gunicorn wait: it reads it, or refuses it."""
    if end_of(data) is None:
        return
    with contextlib.suppress(ParseException, StopIteration):
        parsed(data)


@given(requests())
@example(PLAIN + PLAIN)
def test_a_plain_prediction_is_what_the_parser_reads(data: bytes) -> None:
    """Taken at its word only where gunicorn reads the same: method, path, body, the client's id, what follows."""
    head = read_head(bytearray(data))
    if head is None or head.prediction is None or end_of(data) is None:
        return
    assert head.body_bytes is not None
    request, body = parsed(data)
    assert (request.method, request.path, request.version) == ("POST", head.prediction.path, (1, 1))
    assert body == data[head.bytes : head.bytes + head.body_bytes]
    sent = dict(request.headers)
    assert sent.get("X-REQUEST-ID", "") == head.prediction.client_id
    assert sent["CONTENT-TYPE"].lower().startswith("application/json")
    assert request.should_close() is not head.prediction.keep_alive
    assert head.prediction.is_v2 == request.path.startswith("/v2")
    # Behind JSON of that length the body would be binary.
    assert "INFERENCE-HEADER-CONTENT-LENGTH" not in sent


@pytest.mark.parametrize(
    ("path", "model_name", "is_v2"),
    [
        (b"/predict", None, False),
        (b"/models/fraud-2/predict", "fraud-2", False),
        (b"/v2/models/fraud-2/infer", "fraud-2", True),
    ],
)
def test_a_plain_prediction_names_its_model_and_dialect(path: bytes, model_name: str | None, is_v2: bool) -> None:
    head = read_head(bytearray(PLAIN.replace(b"/predict", path)))
    assert head is not None
    assert head.prediction is not None
    assert (head.prediction.path, head.prediction.model_name) == (path.decode(), model_name)
    assert head.prediction.is_v2 == is_v2


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 2",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Content-Encoding: gzip",
        b"Upgrade: h2c",
        b" folded: yes",
        b"Name : spaced",
        b"Latin: \xe9",
        b"Host: other",
    ],
)
def test_one_strange_line_makes_a_request_the_parsers(line: bytes) -> None:
    """A second length, another coding, anything that two readers may read in two ways."""
    head = read_head(bytearray(PLAIN))
    assert head is not None
    assert head.prediction is not None
    strange = read_head(bytearray(PLAIN.replace(b"Host: h", b"Host: h\r\n" + line)))
    assert strange is not None
    assert strange.prediction is None


def test_a_head_is_found_when_its_last_byte_is_there() -> None:
    """Byte by byte: nothing before, the same from then on."""
    end = PLAIN.index(b"\r\n\r\n") + 4
    assert all(read_head(bytearray(PLAIN[:cut])) is None for cut in range(end))
    assert all(read_head(bytearray(PLAIN[:cut])) == read_head(bytearray(PLAIN)) for cut in range(end, len(PLAIN) + 1))


@pytest.mark.parametrize("trailer", [b"", b"A: b\r\n"])
def test_chunks_end_where_the_last_one_ends(trailer: bytes) -> None:
    """Byte by byte, going on from where the last look ended; no chunk is looked at twice."""
    whole = b"3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n" + trailer + b"\r\n"
    at, seen = 0, []
    for cut in range(len(whole) + 1):
        at, ended = skip_chunks(bytearray(whole[:cut]), at)
        seen.append((at, ended))
    assert [ended for _, ended in seen] == [False] * len(whole) + [True]
    assert sorted({at for at, _ in seen}) == [0, 8, 27]


@pytest.mark.parametrize("garbage", [b"xyz\r\n", b"-1\r\n", b"1" * 300, b"0\r\n" + b"a" * HEAD_BYTES_MAX])
def test_what_is_no_chunk_is_not_waited_for(garbage: bytes) -> None:
    """The parser says what is wrong with it."""
    assert skip_chunks(bytearray(garbage), 0)[1]


@pytest.mark.parametrize(
    ("received", "path"),
    [
        (b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h", "/v2/models/m/infer"),
        (b"GET /a?b=/v2/ HTTP/1.1\r\n", "/a"),
        (b"POST /v2/mod", ""),
        (b"POST /caf\xe9 HTTP/1.1\r\n", ""),
        (b"\x16\x03\x01\x02", ""),
        (b"", ""),
    ],
)
def test_a_path_is_read_when_it_is_there(received: bytes, path: str) -> None:
    """A refusal takes the form that is spoken there."""
    assert read_path(bytearray(received)) == path
