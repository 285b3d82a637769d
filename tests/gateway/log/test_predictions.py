"""A row's way into the prediction log: every value as what it is, whatever stands beside it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.log.predictions import PredictionEncoder
from gateway.registry import Feature
from tests.gateway.cards import card

NUMBERS = (Feature("a", "number", nullable=True), Feature("b", "integer", nullable=True), Feature("c", "boolean"))
MIXED = (*NUMBERS, Feature("d", "category", nullable=True, categories=("null", "x,y")))


def fields(features: tuple[Feature, ...], values: tuple[object, ...]) -> list[str]:
    """The features' fields of one row; none of them may hold a comma."""
    encoder = PredictionEncoder(dataclasses.replace(card(), features=features))
    line = encoder.encode("id", "time", 0, None, values, "1", 0.5, (0.5, 0.5), 1.0).decode()
    return line.split(",")[4 : 4 + len(features)]


@given(st.one_of(st.floats(), st.none()), st.one_of(st.integers(-(2**53), 2**53), st.none()), st.booleans())
def test_numbers_come_back_as_they_were(a: float | None, b: int | None, c: bool) -> None:
    """To the last bit; a missing value is an empty field, and nothing else is one."""
    for features, values in ((NUMBERS, (a, b, c)), (MIXED, (a, b, c, "null"))):
        found = fields(features, values)
        assert (found[0] == "") == (a is None)
        if a is not None:
            assert float(found[0]) == a or (math.isnan(a) and math.isnan(float(found[0])))
            assert math.copysign(1, float(found[0])) == math.copysign(1, a) or math.isnan(a)
        assert found[1] == ("" if b is None else str(b))
        assert found[2] == ("true" if c else "false")
        assert found[3:] == (["null"] if len(values) == 4 else [])


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_never_looks_missing(odd: float) -> None:
    """The gateway lets none of it in; whoever writes it all the same finds it again."""
    assert fields(NUMBERS, (odd, None, True)) == [repr(odd), "", "true"]
    assert fields(MIXED, (odd, None, True, None)) == [repr(odd), "", "true", ""]


NUMBER = st.one_of(st.floats(), st.none())


@given(
    st.sampled_from([NUMBERS, MIXED]),
    st.lists(st.tuples(NUMBER, st.one_of(st.integers(-(2**53), 2**53), st.none()), st.booleans()), min_size=1),
    st.lists(st.floats(), min_size=3, max_size=3),
    st.booleans(),
)
def test_rows_together_are_written_as_each_alone(
    features: tuple[Feature, ...], rows: list[tuple[object, ...]], shares: list[float], scored: bool
) -> None:
    encoder = PredictionEncoder(dataclasses.replace(card(), features=features))
    rows = [(*row, "x,y" if row[2] else None)[: len(features)] for row in rows]
    answers = ["1" if row[2] else 'odd "one"' for row in rows]
    first, *others = shares
    confidences, probabilities = ([first] * len(rows), [others] * len(rows)) if scored else (None, None)
    together = encoder.encode_rows("id", "time", 7, "a,b", rows, answers, confidences, probabilities, 1.5)
    own = (first, others) if scored else (None, ())
    alone = [
        encoder.encode("id", "time", 7 + at, "a,b", row, answer, own[0], own[1], 1.5)
        for at, (row, answer) in enumerate(zip(rows, answers, strict=True))
    ]
    assert together == alone
