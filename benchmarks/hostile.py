"""Requests as no decent client sends them: broken JSON, hostile values, headers, framing, byte for byte on a socket.

Most cases have one thing wrong, so that it is that thing which is met; some have everything wrong, some nothing.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from benchmarks.answers import Answers
from gateway.registry import Feature, ModelCard

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
    right = st.one_of([st.tuples(st.just(path), _right_rows(card)) for path, card in served])
    values = st.one_of([st.tuples(st.just(path), _rows(card)) for path, card in served])
    labels = st.tuples(st.just(b"/feedback"), _labels(cards[0]))
    paths = st.sampled_from([b"/feedback", *(path for path, _ in served)])
    bytes_ = st.one_of(
        st.tuples(paths, _mangled(st.one_of([_right_rows(card) for card in cards]))),
        st.tuples(paths, _odd_documents() | _sizes(body_bytes_max)),
    )
    usual_head, usual_framing = _head(st.just([])), _right_framing()
    kinds = [
        _built(right, usual_head, usual_framing),
        _built(values, usual_head, usual_framing),
        _built(labels, usual_head, usual_framing),
        _built(bytes_, usual_head, usual_framing),
        _built(right, _head(_header_faults()), usual_framing),
        _built(right, usual_head, _framings()),
        _built(st.one_of(values, labels, bytes_), _head(_header_faults()), _framings()),
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


# Bodies: JSON put together from tokens, so that every token can be a wrong one.

_WRONG_TOKENS = [
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e39", "-3.5e38", "9007199254740993", "9" * 400, "9" * 5000),
    *("true", "null", '"1.5"', '""', "[1]", "[]", "{}", "0x10", "01", "1.", "+1", ".5", "1e", "-", "'a'", "None"),
    *(
        '"\\ud800"',
        '"\\u0000"',
        '"\x00"',
        '"\\x41"',
        '"=1+1"',
        '"<script>"',
        '"\u2028"',
        '"\n"',
        '"' + "x" * 5000 + '"',
    ),
    *("1.5", "-0", "-0.0", "1E2", "5e-324", "1e308", "3.0", "1e400", "false", '"yes"', "[" * 600 + "]" * 600),
]
_ODD_NAMES = [
    "",
    "__proto__",
    "constructor",
    "instances",
    "labels",
    "model_name",
    "a/b~c",
    "x0 ",
    "X0",
    "\u00e9",
    "x" * 300,
]


def _rows(card: ModelCard) -> SearchStrategy[bytes]:
    """Rows and batches of a model, right and wrong ones."""
    row = st.one_of(_right_row(card), _row(card))
    batch = st.lists(row, max_size=4).map(lambda rows: '{"instances": [' + ",".join(rows) + "]}")
    return st.one_of(row, batch).map(lambda text: text.encode("utf-8", "surrogatepass"))


def _right_rows(card: ModelCard) -> SearchStrategy[bytes]:
    row = _right_row(card)
    batch = st.lists(row, min_size=1, max_size=4).map(lambda rows: '{"instances": [' + ",".join(rows) + "]}")
    return st.one_of(row, batch).map(str.encode)


def _right_row(card: ModelCard) -> SearchStrategy[str]:
    return st.fixed_dictionaries({feature.name: _right_value(feature) for feature in card.features}).map(json.dumps)


def _right_value(feature: Feature) -> SearchStrategy[object]:
    kinds: dict[str, SearchStrategy[object]] = {
        "number": st.floats(-1e30, 1e30) | st.integers(-(2**53), 2**53),
        "integer": st.integers(-(2**53), 2**53),
        "boolean": st.booleans(),
        "category": st.sampled_from(feature.categories or ("",)),
    }
    return st.none() | kinds[feature.type] if feature.nullable else kinds[feature.type]


def _row(card: ModelCard) -> SearchStrategy[str]:
    """An object in which any value, name and separator may be wrong, and names may be missing or stand twice."""
    rights = {feature.name: _right_value(feature).map(json.dumps) for feature in card.features}
    wrong = st.sampled_from(_WRONG_TOKENS)
    member = st.sampled_from(list(rights)).flatmap(lambda name: st.tuples(st.just(name), rights[name] | wrong))
    odd = st.tuples(st.sampled_from(_ODD_NAMES), wrong)
    complete = st.tuples(*(st.tuples(st.just(name), value) for name, value in rights.items())).map(list)
    members = st.builds(lambda first, more: first + more, complete, st.lists(member | odd, max_size=2))
    changed = st.builds(
        lambda found, at, token: [(name, token if index == at else value) for index, (name, value) in enumerate(found)],
        complete,
        st.integers(0, len(rights) - 1),
        wrong,
    )
    return st.one_of(members, changed, st.lists(member | odd, max_size=6)).map(_object)


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in members) + "}"


def _labels(card: ModelCard) -> SearchStrategy[bytes]:
    """Labels, right and wrong ones."""
    wrong = st.sampled_from(_WRONG_TOKENS)
    values = {
        "client_id": st.sampled_from(['"a"', '"=1+1"', '"a, \\"b\\""']),
        "request_id": st.uuids().map(lambda value: f'"{value}"'),
        "label": st.sampled_from([json.dumps(label) for label in card.classes] or ["1.5"]),
        "instance": st.sampled_from(["0", "7", "-1", "1.0"]),
        "observed_at": st.sampled_from(['"2026-01-31T12:00:00Z"', '"0001-01-01T00:00:00+14:00"', '"2026"', '"now"']),
        "model_name": st.sampled_from([json.dumps(card.name), '"nobody"', '"../labels"']),
    }
    member = st.sampled_from(list(values)).flatmap(lambda name: st.tuples(st.just(name), values[name] | wrong))
    plain = st.tuples(*(st.tuples(st.just(name), values[name]) for name in ("client_id", "label"))).map(list)
    label = st.one_of(plain, st.builds(lambda a, b: a + b, plain, st.lists(member, max_size=2)), st.lists(member))
    items = st.lists(label.map(_object), max_size=4).map(lambda found: '{"labels": [' + ",".join(found) + "]}")
    return st.one_of(label.map(_object), items).map(lambda text: text.encode("utf-8", "surrogatepass"))


def _mangled(bodies: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """Bodies cut, doubled, with bytes changed or put in, in other encodings."""
    places = st.integers(0, 10_000)
    junk = st.sampled_from(
        [b"x", b"\0", b",", b"}", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"/**/", b"\\"]
    ) | st.binary(max_size=8)
    encodings = st.sampled_from(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037"])
    return st.one_of(
        st.builds(lambda body, at: body[: at % (len(body) + 1)], bodies, places),
        st.builds(lambda body, more: body + more, bodies, junk),
        st.builds(
            lambda body, at, new: body[: at % (len(body) + 1)] + new + body[at % (len(body) + 1) :],
            bodies,
            places,
            junk,
        ),
        st.builds(
            lambda body, at, new: body[: at % len(body)] + bytes([new]) + body[at % len(body) + 1 :] if body else b"",
            bodies,
            places,
            st.integers(0, 255),
        ),
        st.builds(lambda body, coding: body.decode("utf-8", "replace").encode(coding, "replace"), bodies, encodings),
        bodies.map(lambda body: body + body),
        bodies.map(lambda body: body.replace(b'"', b"'")),
        bodies.map(lambda body: body.replace(b"}", b",}", 1)),
    )


def _odd_documents() -> SearchStrategy[bytes]:
    """Any JSON, any bytes, and nesting."""
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    documents = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    )
    depths = st.sampled_from([1, 500, 1000, 30_000])
    return st.one_of(
        documents.map(lambda document: json.dumps(document).encode()),
        st.binary(max_size=200),
        depths.map(lambda depth: b"[" * depth + b"]" * depth),
        depths.map(lambda depth: b'{"x0":' * (depth // 2) + b"1" + b"}" * (depth // 2)),
        depths.map(lambda depth: b"[" * depth),
    )


def _sizes(body_bytes_max: int) -> SearchStrategy[bytes]:
    """Bodies round the limits on bytes and on instances."""
    return st.one_of(
        st.sampled_from([body_bytes_max - 1, body_bytes_max, body_bytes_max + 1]).map(lambda size: b" " * size),
        st.sampled_from([b"instances", b"labels"]).map(lambda key: b'{"%b":[' % key + b"0," * 2000 + b"0]}"),
    )


# Heads.

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


# Answers.


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
