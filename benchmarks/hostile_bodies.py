"""Bodies as no decent client sends them: JSON put together from tokens, of which each can be wrong, and worse."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from gateway.registry import Feature, ModelCard

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


def rows(card: ModelCard) -> SearchStrategy[bytes]:
    """Rows and batches of a model, right and wrong ones."""
    row = st.one_of(_right_row(card), _row(card))
    batch = st.lists(row, max_size=4).map(lambda rows: '{"instances": [' + ",".join(rows) + "]}")
    return st.one_of(row, batch).map(lambda text: text.encode("utf-8", "surrogatepass"))


def right_rows(card: ModelCard) -> SearchStrategy[bytes]:
    """Rows and batches of a model that it answers."""
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


def labels(card: ModelCard) -> SearchStrategy[bytes]:
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


def mangled(bodies: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
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


def odd_documents() -> SearchStrategy[bytes]:
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


def sizes(body_bytes_max: int) -> SearchStrategy[bytes]:
    """Bodies round the limits on bytes and on instances."""
    return st.one_of(
        st.sampled_from([body_bytes_max - 1, body_bytes_max, body_bytes_max + 1]).map(lambda size: b" " * size),
        st.sampled_from([b"instances", b"labels"]).map(lambda key: b'{"%b":[' % key + b"0," * 2000 + b"0]}"),
    )
