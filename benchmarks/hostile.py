"""Requests as no decent client sends them: broken JSON, hostile values, headers, framing, byte for byte on a socket.

Most cases have one thing wrong, so that it is that thing which is met; some have everything wrong, some nothing.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from benchmarks.answers import Answers
from benchmarks.hostile_bodies import labels, mangled, odd_documents, right_rows, rows, sizes
from gateway.registry import ModelCard

#: Behind every case, so that the gateway ends the connection when it has answered, whatever it made of the case.
_LAST = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
_TIMEOUT_SECONDS = 30


def run(port: int, cards: Sequence[ModelCard], cases: int, seed_: int, body_bytes_max: int) -> Answers:
    """Send that many cases to the gateway on that port, one after another.

    Args:
        cards: the models that serve, the default one first.
        body_bytes_max: the gateway's limit, so that cases reach beyond it.
    """
    answers = Answers()

    @seed(seed_)
    @settings(
        max_examples=cases,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=requests(cards, body_bytes_max))
    def send(data: bytes) -> None:
        answers.cases += 1
        replies = list(_replies(port, data + _LAST))
        if not replies:
            answers.unanswered += 1
        for status, content_type, body in replies:
            answers.take(status, content_type, body, repr(data[:300]))

    send()
    return answers


def requests(cards: Sequence[ModelCard], body_bytes_max: int) -> SearchStrategy[bytes]:
    """Whole requests as bytes: right but for one thing, wrong in several, now and then right."""
    served = [(b"/predict", cards[0]), *((f"/models/{card.name}/predict".encode(), card) for card in cards)]
    right = st.one_of([st.tuples(st.just(path), right_rows(card)) for path, card in served])
    values = st.one_of([st.tuples(st.just(path), rows(card)) for path, card in served])
    told = st.tuples(st.just(b"/feedback"), labels(cards[0]))
    paths = st.sampled_from([b"/feedback", *(path for path, _ in served)])
    bytes_ = st.one_of(
        st.tuples(paths, mangled(st.one_of([right_rows(card) for card in cards]))),
        st.tuples(paths, odd_documents() | sizes(body_bytes_max)),
    )
    usual_head, usual_framing = _head(st.just([])), _right_framing()
    kinds = [
        _built(right, usual_head, usual_framing),
        _built(values, usual_head, usual_framing),
        _built(told, usual_head, usual_framing),
        _built(bytes_, usual_head, usual_framing),
        _built(right, _head(_header_faults()), usual_framing),
        _built(right, usual_head, _framings()),
        _built(st.one_of(values, told, bytes_), _head(_header_faults()), _framings()),
        _request_lines(),
    ]
    # Chosen first, so that each kind has its share however many forms it has.
    return st.sampled_from(range(len(kinds))).flatmap(kinds.__getitem__)


def _built(
    asked: SearchStrategy[tuple[bytes, bytes]],
    heads: SearchStrategy[Callable[[bytes], bytes]],
    framings: SearchStrategy[Callable[[bytes], bytes]],
) -> SearchStrategy[bytes]:
    return st.builds(lambda pair, head, frame: head(pair[0]) + frame(pair[1]), asked, heads, framings)


_JSON_TYPE = (b"Content-Type", b"application/json")
_FAULTS = [
    *((b"Content-Type", value) for value in (b"", b"text/plain", b"application/jsonx", b"application/json;charset=x")),
    *((b"Content-Type", value) for value in (b"application/json, text/html", b"\xff\xfe", b"multipart/form-data")),
    *((b"Content-Encoding", value) for value in (b"gzip", b"identity", b"br, gzip", b"")),
    *(
        (b"X-Request-ID", value)
        for value in (b"=cmd|' /C calc'!A0", b'a, "b"', b"\xe9", b"x" * 300, b"a\tb", b"", b"a\0b")
    ),
    *((b"X-Request-ID", value) for value in (b"<script>alert(1)</script>", b"../../etc/passwd", b"%0d%0aX: y")),
    *((b"Expect", value) for value in (b"100-continue", b"200-ok")),
    *((b"Upgrade", value) for value in (b"h2c", b"websocket")),
    (b"Connection", b"close"),
    (b"Connection", b"upgrade, HTTP2-Settings"),
    (b"HTTP2-Settings", b"AAMAAABkAAQAAP__"),
    (b"Transfer-Encoding", b"gzip"),
    (b"Content-Length", b"7"),
    (b"Host", b"second"),
    (b"X-Forwarded-Proto", b"https"),
    (b"Script_Name", b"/x"),
    (b"X-Big", b"x" * 9000),
    (b"X-Bigger", b"x" * 70_000),
    (b"Bad Name", b"x"),
    (b"", b"x"),
    (b"X", b"folded\r\n line"),
    (b"X", b"bare\rreturn"),
    (b"X", b"bare\nnewline"),
    (b"Range", b"bytes=0-1"),
    (b"If-Match", b'"x"'),
    (b"Accept", b"text/html"),
    (b"Cookie", b"a=b; c"),
    (b"Authorization", b"Bearer x"),
]


def _header_faults() -> SearchStrategy[list[tuple[bytes, bytes]]]:
    many = st.sampled_from([50, 150, 400]).map(lambda count: [(b"X-%d" % index, b"x") for index in range(count)])
    return st.lists(st.sampled_from(_FAULTS), min_size=1, max_size=3) | many


def _head(faults: SearchStrategy[list[tuple[bytes, bytes]]]) -> SearchStrategy[Callable[[bytes], bytes]]:
    """From a path to the head of a POST without the lines that frame its body."""

    def build(more: list[tuple[bytes, bytes]]) -> Callable[[bytes], bytes]:
        # What stands here replaces the usual type half of the time, else both are sent.
        kinds = {name for name, _ in more}
        usual = [] if b"Content-Type" in kinds and len(more) % 2 else [_JSON_TYPE]
        lines = b"".join(b"%b: %b\r\n" % field for field in [(b"Host", b"h"), *usual, *more])
        return lambda path: b"POST %b HTTP/1.1\r\n%b" % (path, lines)

    return faults.map(build)


def _right_framing() -> SearchStrategy[Callable[[bytes], bytes]]:
    return st.sampled_from([_with_length, _with_length, _in_chunks])


def _framings() -> SearchStrategy[Callable[[bytes], bytes]]:
    """How a body follows its head: truly, or not."""
    wrong_lengths = st.sampled_from(
        [
            b"-1",
            b"+5",
            b"1e3",
            b"0x5",
            b"",
            b"5, 5",
            b"99999999999",
            b"9" * 30,
            b"5\r\nContent-Length: 6",
            b" 5",
            b"\xb2",
        ]
    )
    lies = st.sampled_from([-5, -1, 1]).map(lambda by: lambda body: _length_line(max(0, len(body) + by)) + body)
    named = wrong_lengths.map(lambda value: lambda body: b"Content-Length: %b\r\n\r\n" % value + body)
    sizes = st.sampled_from([b"zz", b"-1", b"0x5", b"5;a=b", b"5 ", b"FFFFFFFFF", b"", b"5\n"])
    chunks = sizes.map(
        lambda size: lambda body: b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n" + body + b"\r\n0\r\n\r\n"
    )
    codings = st.sampled_from(
        [b"chunked, chunked", b"gzip, chunked", b"chunked, identity", b"identity", b"xchunked", b"\x0bchunked"]
    )
    coded = codings.map(lambda coding: lambda body: _in_chunks(body).replace(b"chunked", coding, 1))
    both = st.just(lambda body: b"Content-Length: %d\r\n" % len(body) + _in_chunks(body))
    none = st.just(lambda body: b"\r\n" + body)
    late = st.just(lambda body: _in_chunks(body)[:-2] + b"X-Late: 1\r\n\r\n")
    return st.one_of(_right_framing(), lies, named, chunks, coded, both, none, late)


def _length_line(length: int) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % length


def _with_length(body: bytes) -> bytes:
    return _length_line(len(body)) + body


def _in_chunks(body: bytes) -> bytes:
    parts = [body[at : at + 100] for at in range(0, len(body), 100)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


# Not HEAD, whose answers say a length and have no body.
_METHODS = [b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT"]
_NO_METHODS = [b"post", b"PO ST", b"", b"\0", b"P" * 300]
_PATHS = [b"/predict", b"/feedback", b"/models", b"/ready", b"/models/nobody", b"/models/nobody/predict", b"/docs"]
_ODD_PATHS = [
    *(b"/models/..%2f..%2fetc/predict", b"/models/%00/predict", b"/models/" + b"a" * 200 + b"/predict", b"/../models"),
    *(b"//predict", b"/predict/", b"/predict?x=1", b"/predict#a", b"http://h/predict", b"*", b"", b"predict", b"/\0"),
    *(b"/%ff%fe", b"/\xff\xfe", b"/docs/../app.py", b"/docs/..%2fopenapi.py", b"/docs/%2fetc%2fpasswd"),
    *(b"/" + b"x" * 5000, b"/" + b"x" * 70_000, b"/models/\r\n/predict"),
]
_VERSIONS = [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 ", b"HTTPS/1.1", b"", b"1"]
_HOSTS = [b"", b"Host: a\r\nHost: b\r\n", b"Host: \xff\r\n", b"no header\r\n", b"Host : h\r\n"]
_NO_REQUESTS = [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n\r\n\r\n\r\n"]


def _request_lines() -> SearchStrategy[bytes]:
    """Requests with something odd in the first lines, and bytes that are no request at all."""
    methods, paths = st.sampled_from([*_METHODS, b"POST"]), st.sampled_from(_PATHS)
    usual, host = st.just(b"HTTP/1.1"), st.just(b"Host: h\r\n")

    def of(*parts: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
        return st.tuples(*parts).map(lambda found: b"%b %b %b\r\n%b\r\n" % found)

    return st.one_of(
        of(methods, paths, usual, host),
        of(methods, st.sampled_from(_ODD_PATHS), usual, host),
        of(st.sampled_from(_NO_METHODS), paths, usual, host),
        of(methods, paths, st.sampled_from(_VERSIONS), host),
        of(methods, paths, usual, st.sampled_from(_HOSTS)),
        st.binary(min_size=1, max_size=100).map(lambda junk: junk + b"\r\n\r\n"),
        st.sampled_from(_NO_REQUESTS),
    )


def _replies(port: int, data: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Status, media type and body of every answer on a connection of its own, but for the one to `_LAST`."""
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as connection:
        # It may refuse and close before it has read all.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        stream = connection.makefile("rb")
        with contextlib.suppress(ConnectionResetError):
            while line := stream.readline():
                status = int(line.split()[1])
                headers = dict[str, str]()
                while (line := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                if status < 200:
                    continue
                body = stream.read(int(headers.get("content-length", 0)))
                if body != b'{"status":"ok"}':
                    yield status, headers.get("content-type", ""), body
