"""A tensor's bytes and its elements are the same thing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.v2.datatypes import DATATYPES, BadElements, Datatype, from_bytes, from_json, to_bytes


def elements_of(datatype: Datatype) -> st.SearchStrategy[Any]:
    """Values that the datatype can hold."""
    match datatype.kind:
        case "boolean":
            return st.booleans()
        case "integer":
            bounds = np.iinfo(str(datatype.code))
            return st.integers(int(bounds.min), int(bounds.max))
        case "float":
            width: Any = 8 * np.dtype(datatype.code).itemsize
            return st.floats(width=width, allow_nan=False)
        case _:
            return st.text()


tensors = st.sampled_from(list(DATATYPES.values())).flatmap(
    lambda datatype: st.tuples(st.just(datatype), st.lists(elements_of(datatype), min_size=1, max_size=8))
)


@given(tensors)
def test_elements_come_back_from_bytes_and_from_json(tensor: tuple[Datatype, list[Any]]) -> None:
    """Every datatype, every value that it has, with its type."""
    datatype, elements = tensor
    data = to_bytes(datatype, elements)
    assert as_text(from_bytes(datatype, data, len(elements))) == as_text(elements)
    finite = [element for element in elements if not (isinstance(element, float) and math.isinf(element))]
    assert as_text(from_json(datatype, finite)) == as_text(finite)


@given(tensors, st.data())
def test_no_other_number_of_bytes_is_a_tensor(tensor: tuple[Datatype, list[Any]], data: st.DataObject) -> None:
    """Cut anywhere, or with something behind it."""
    datatype, elements = tensor
    whole = to_bytes(datatype, elements)
    for wrong in (whole[: data.draw(st.integers(0, len(whole) - 1))], whole + b"\0"):
        with pytest.raises(BadElements):
            from_bytes(datatype, wrong, len(elements))


@given(st.sampled_from(list(DATATYPES.values())), st.binary(max_size=64), st.integers(1, 8))
def test_any_bytes_are_elements_or_refused(datatype: Datatype, data: bytes, count: int) -> None:
    """Nothing else happens, and what is read has the number that was announced."""
    try:
        found = from_bytes(datatype, data, count)
    except BadElements:
        return
    assert len(found) == count


def test_golden_bytes() -> None:
    """As the extension's specification has them: little-endian, a length before each text."""
    assert to_bytes(DATATYPES["BYTES"], ["a", "\u00e9"]) == b"\1\0\0\0a\2\0\0\0\xc3\xa9"
    assert to_bytes(DATATYPES["INT64"], [1, -1]) == b"\1" + bytes(7) + b"\xff" * 8
    assert to_bytes(DATATYPES["FP64"], [1.0]) == b"\0\0\0\0\0\0\xf0\x3f"
    assert to_bytes(DATATYPES["BOOL"], [True, False]) == b"\1\0"


def as_text(values: list[Any]) -> list[tuple[type, str]]:
    """Types and bits."""
    return [(type(value), repr(value)) for value in values]
