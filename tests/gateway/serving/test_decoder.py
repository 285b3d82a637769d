"""The compiled way in never disagrees with validation: what it takes, validation takes, with the same values."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.registry import Feature, ModelCard
from gateway.serving.body import parse_object
from gateway.serving.decoder import RowDecoder
from gateway.serving.problems import Problem
from gateway.serving.validation import PredictionInput
from tests.gateway.cards import card

LIMITS = {"instances_max": 20, "text_length_max": 12}
NUMBERS = tuple(Feature(f"x{index}", "number") for index in range(3))
MIXED = (
    Feature("amount", "number", nullable=True),
    Feature("visits", "integer"),
    Feature("job", "category", nullable=True, categories=("clerk", "null", "longer than twelve", 'a "b"', "été", "")),
    Feature("known", "boolean", nullable=True),
)


def model(features: tuple[Feature, ...]) -> ModelCard:
    """A card with these features."""
    return dataclasses.replace(card(), features=features)


def verdict(features: tuple[Feature, ...], body: bytes) -> list[tuple[Any, ...]] | None:
    """The rows that validation makes of a body, None when it refuses it."""
    try:
        rows, _ = PredictionInput(model(features), **LIMITS).rows(parse_object(body))
    except Problem:
        return None
    return [tuple(row) for row in rows]


def decoded(features: tuple[Feature, ...], body: bytes) -> list[tuple[Any, ...]] | None:
    """The rows that the decoder makes of a body, None when it leaves it to validation."""
    decoder = RowDecoder(model(features), **LIMITS)
    row = decoder.row(body)
    rows = decoder.rows(body) if row is None else [row]
    return None if rows is None else [tuple(row) for row in rows]


def exactly(rows: list[tuple[Any, ...]]) -> list[list[tuple[type, str]]]:
    """Types and bits: 1 is not 1.0, and -0.0 is not 0.0."""
    return [[(type(value), repr(value)) for value in row] for row in rows]


# Names as a registry may hold them: dots, spaces, quotes, what JSON escapes, what is not ASCII.
plain_names = st.sampled_from(["x0", "V1", "a.b", "a b", "größe", "__proto__", "instances", "42"])
names = st.one_of(plain_names, st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8))
plain_texts = st.sampled_from(["red", "green", "null", "true", "é"])
texts = st.one_of(
    plain_texts,
    st.sampled_from(["", "null", "true", '"', "\\", "a,b", "\n", "\x00", "\u2028", "ß", "😀"]),
    st.text(max_size=14),
)
plain_numbers = st.one_of(st.floats(-1e9, 1e9), st.floats(-1, 1), st.integers(-1000, 1000))
numbers = st.one_of(
    plain_numbers,
    st.floats(),
    st.integers(),
    st.sampled_from([0, -0.0, 2**53, 2**53 + 1, -(2**53), 2.0**53, 1e308, 5e-324, 3.4028234663852886e38, 3.0]),
)
values = st.one_of(numbers, texts, st.none(), st.booleans(), st.just([]), st.just({}))
TYPES = st.sampled_from(["number", "integer", "category", "boolean"])


@st.composite
def schemas(draw: st.DrawFn) -> tuple[Feature, ...]:
    """One to five features of any type, nullable or not, under any names."""
    found = []
    # Most schemas are of the plain kind: with one odd name, or one odd value, the decoder is out of it.
    pool, levels_of = draw(st.sampled_from([(plain_names, plain_texts)] * 3 + [(names, texts)]))
    for name in draw(st.lists(pool, min_size=1, max_size=5, unique=True)):
        kind = draw(TYPES)
        levels = tuple(draw(st.lists(levels_of, min_size=1, max_size=4, unique=True))) if kind == "category" else None
        least, most = sorted(draw(st.tuples(plain_numbers, plain_numbers)))
        bounds = (float(least), float(most)) if kind in ("number", "integer") else (None, None)
        unseen = draw(st.sampled_from([None, None, "accept", "reject"]))
        found.append(Feature(name, kind, draw(st.booleans()), levels, *bounds, unseen=unseen))
    return tuple(found)


def fitting(draw: st.DrawFn, feature: Feature, odd: bool) -> Any:
    """A value that is right for the feature, or with `odd` perhaps a little beyond."""
    if feature.nullable and draw(st.integers(0, 4)) == 0:
        return None
    match feature.type:
        case "number":
            return draw(numbers if odd else plain_numbers)
        case "integer":
            return draw(st.integers(-(2**54), 2**54) if odd else st.integers(-1000, 1000))
        case "boolean":
            return draw(st.booleans())
        case _:
            return draw(st.sampled_from(feature.categories or ("",)))


@st.composite
def requests(draw: st.DrawFn) -> tuple[tuple[Feature, ...], bytes]:
    """A schema and a body for it: mostly right, often wrong in one place, in the spellings that JSON allows."""
    features = draw(schemas())
    odd = draw(st.booleans())

    def instance() -> str:
        pairs = [(feature.name, fitting(draw, feature, odd)) for feature in features]
        match draw(st.integers(0, 5 if odd else 40)):
            case 0:
                pairs[0] = (pairs[0][0], draw(values))
            case 1:
                pairs.append((draw(st.one_of(names, st.just(pairs[0][0]))), draw(values)))
            case 2:
                pairs.pop()
            case 3:
                pairs = list(draw(st.permutations(pairs)))
            case _:
                pass
        ascii_only, gap = draw(st.booleans()), draw(st.sampled_from(["", "", " ", "\n", "\t", "\x0b"]))
        inside = ("," + gap).join(
            json.dumps(name, ensure_ascii=ascii_only) + gap + ":" + json.dumps(value, ensure_ascii=ascii_only)
            for name, value in pairs
        )
        return "{" + gap + inside + "}"

    if draw(st.booleans()):
        return features, (instance() + draw(st.sampled_from(["", "", "", " \n", "x", "{}"]))).encode(
            "utf-8", "surrogatepass"
        )
    rows = [instance() for _ in range(draw(st.integers(0, 4)))]
    more = draw(st.sampled_from(["", "", ', "more": 1', ', "instances": []']))
    return features, f'{{"instances": [{", ".join(rows)}]{more}}}'.encode("utf-8", "surrogatepass")


@given(requests())
@example((NUMBERS, b'{"x0": 1, "x1": 2, "x2": 9007199254740993}'))
@example((NUMBERS, b'{"x0": 1, "x1": 2, "x2": 3, "x0": 4}'))
@example((NUMBERS, b'{"x0": 1, "x1": 2, "x\\u0032": 3}'))
@example((NUMBERS, b'\xef\xbb\xbf{"x0": 1, "x1": 2, "x2": 3}'))
@example((NUMBERS, b'{"x0": 1, "x1": 2, "x2": 1e999}'))
@example((MIXED, b'{"amount": 1, "visits": 3.0, "job": "clerk", "known": true}'))
def test_what_the_decoder_takes_validation_takes_with_equal_values(request_: tuple[tuple[Feature, ...], bytes]) -> None:
    """On generated schemas and bodies, right and wrong: the decoder may pass, but never differ."""
    features, body = request_
    rows = decoded(features, body)
    if rows is None:
        return
    expected = verdict(features, body)
    assert expected is not None, "the decoder took what validation refuses"
    assert exactly(rows) == exactly(expected)


@given(requests())
@example((NUMBERS, b'{"instances": [{"x0": 1, "x1": 2, "x2": 9007199254740993}]}'))
@example((MIXED, b'{"instances": [{"amount": 1, "visits": 3.0, "job": "clerk", "known": true}]}'))
def test_what_is_converted_validation_takes_with_equal_values(request_: tuple[tuple[Feature, ...], bytes]) -> None:
    """Objects that are there already, from tensors, are held to the same."""
    features, body = request_
    try:
        document = parse_object(body)
    except Problem:
        return
    instances = document.get("instances")
    instances = instances if isinstance(instances, list) and instances else [document]
    rows = RowDecoder(model(features), **LIMITS).convert(instances)
    if rows is not None:
        expected = PredictionInput(model(features), **LIMITS).batch(instances)
        assert exactly([tuple(row) for row in rows]) == exactly([tuple(row) for row in expected])


@given(st.lists(st.tuples(*[st.floats(-1e15, 1e15)] * 3), min_size=1, max_size=20), st.booleans())
def test_plain_rows_of_numbers_are_the_decoders(rows: list[tuple[float, ...]], alone: bool) -> None:
    """Otherwise it would be right and of no use."""
    objects = [dict(zip(("x0", "x1", "x2"), row, strict=True)) for row in rows]
    body = json.dumps(objects[0] if alone else {"instances": objects}).encode()
    found = decoded(NUMBERS, body)
    assert found is not None
    assert exactly(found) == exactly(rows[:1] if alone else rows)
    converted = RowDecoder(model(NUMBERS), **LIMITS).convert(objects)
    assert converted is not None
    assert exactly([tuple(row) for row in converted]) == exactly(rows)


@pytest.mark.parametrize("job", ["clerk", "null", "été", None])
def test_plain_mixed_rows_are_the_decoders(job: str | None) -> None:
    """Categories that are written as they are, missing values, booleans."""
    body = json.dumps({"amount": None, "visits": 7, "job": job, "known": None}, ensure_ascii=False).encode()
    assert decoded(MIXED, body) == [(None, 7, job, None)]


def test_unseen_categories_are_the_decoders_where_they_are_accepted() -> None:
    """Any text without an escape, within the limit."""
    features = (Feature("job", "category", categories=("clerk",), unseen="accept"),)
    assert decoded(features, '{"job": "été, \u2028"}'.encode()) == [("été, \u2028",)]
    assert decoded(features, b'{"job": "longer than twelve"}') is None


def test_numbers_beyond_the_range_are_left_to_validation_where_they_are_rejected() -> None:
    """Which names the range."""
    features = (Feature("age", "integer", minimum=18.0, maximum=90.0, unseen="reject"),)
    assert decoded(features, b'{"age": 18}') == [(18,)]
    assert decoded(features, b'{"age": 91}') is None
    with pytest.raises(Problem) as caught:
        PredictionInput(model(features), **LIMITS).rows({"age": 91})
    assert [fault.detail for fault in caught.value.faults] == ["must be from 18 to 90, as in the reference"]


@pytest.mark.parametrize("job", ['a "b"', "longer than twelve", "unheard of"])
def test_what_is_not_plain_is_left_to_validation(job: str) -> None:
    """Escapes, texts over the limit, unknown levels."""
    body = json.dumps({"amount": 1.5, "visits": 7, "job": job, "known": True}).encode()
    assert decoded(MIXED, body) is None


def test_a_batch_over_the_limit_is_left_to_validation() -> None:
    """Which says 413."""
    rows = [{"x0": 0.0, "x1": 0.0, "x2": math.pi}] * (LIMITS["instances_max"] + 1)
    assert decoded(NUMBERS, json.dumps({"instances": rows}).encode()) is None
