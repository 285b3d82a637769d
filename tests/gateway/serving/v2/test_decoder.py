"""The compiled way in of tensors never differs from the other one: what it takes, that takes, to the same values."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.registry import Feature, ModelCard
from gateway.serving.decoder import RowDecoder
from gateway.serving.models import ServedModel
from gateway.serving.problems import Problem
from gateway.serving.v2.decoder import TensorDecoder
from gateway.serving.v2.infer_request import InferRequest, read_request
from gateway.serving.validation import PredictionInput
from tests.gateway.cards import card

LIMITS = {"instances_max": 20, "text_length_max": 12}
NUMBERS = tuple(Feature(f"x{index}", "number") for index in range(3))
BOUNDED = (
    Feature("x0", "number", minimum=-5.0, maximum=5.0, unseen="reject"),
    Feature("x1", "number", nullable=True, minimum=-5.0, maximum=5.0, unseen="accept"),
    Feature("x2", "number", minimum=-5.0, maximum=5.0),
)
MATRIX = '{"inputs": [{"name": "rows", "shape": [1, 3], "datatype": "FP64", "data": [1, 2.5, 3]}]}'


def model(features: tuple[Feature, ...]) -> ModelCard:
    """A card with these features."""
    return dataclasses.replace(card(), features=features)


def read(features: tuple[Feature, ...], body: bytes) -> InferRequest | None:
    """What the other way makes of a body, None when it refuses it."""
    served = SimpleNamespace(
        card=model(features),
        input=PredictionInput(model(features), **LIMITS),
        decoder=RowDecoder(model(features), **LIMITS),
    )
    try:
        return read_request(cast("ServedModel", served), body, None)
    except Problem:
        return None


def decoder(features: tuple[Feature, ...]) -> TensorDecoder:
    """The compiled way."""
    return TensorDecoder(model(features), instances_max=LIMITS["instances_max"])


elements = st.one_of(st.floats(-6, 6), st.integers(-6, 6))
odd_elements = st.one_of(
    elements,
    st.sampled_from([None, True, "1", [], -0.0, 2**53, 2**53 + 1, 1e308, 5e-324, float("inf")]),
)
texts = st.sampled_from(["rows", "", "a", "é", '"', "\\", "\x00", "x0", "shape"])
outputs = st.lists(st.sampled_from(["predict", "confidence", "probabilities", "probabilities", "else"]), max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Inference requests: one tensor of three features, mostly right, often wrong in one place."""
    odd = draw(st.integers(0, 3)) == 0
    count = draw(st.integers(0 if odd else 1, 21 if odd else 5))
    data = draw(st.lists(odd_elements if odd else elements, min_size=3 * count, max_size=3 * count))
    tensor: dict[str, Any] = {
        "name": draw(texts) if odd else "rows",
        "shape": draw(st.sampled_from([[count, 3]] * 9 + [[count], [3, count], [count, 3, 1], [count, 3.0]])),
        "datatype": draw(st.sampled_from(["FP64"] * 9 + ["FP32", "INT64", "fp64"])),
        "data": [data[at : at + 3] for at in range(0, len(data), 3)] if odd and draw(st.booleans()) else data,
    }
    document: dict[str, Any] = {"inputs": [tensor]}
    if draw(st.booleans()):
        document["id"] = draw(st.one_of(texts, st.none(), st.integers())) if odd else "order 17"
    if draw(st.booleans()):
        document["outputs"] = [{"name": name} for name in draw(outputs)]
    match draw(st.integers(0, 12)):
        case 0:
            document[draw(st.sampled_from(["parameters", "else"]))] = {}
        case 1:
            tensor["parameters"] = {}
        case 2:
            document["inputs"] *= 2
        case 3:
            del tensor[draw(st.sampled_from(list(tensor)))]
        case _:
            pass
    body = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    if odd and draw(st.booleans()):
        name = draw(st.sampled_from(['"name"', '"shape"', '"inputs"', '"data"']))
        body = body.replace(name, f"{name}: [], {name}" if name == '"inputs"' else f"{name}: 1, {name}", 1)
    return (body + draw(st.sampled_from(["", "", "", " ", "x", "{}"]))).encode()


@pytest.mark.parametrize("features", [NUMBERS, BOUNDED], ids=["any numbers", "ranges"])
@given(requests())
@example(MATRIX.encode())
@example(MATRIX.replace("}]}", '}], "id": ""}').encode())
@example(MATRIX.replace("2.5", "9007199254740993").encode())
@example(MATRIX.replace('"shape"', '"shape": [1, 3], "shape"').encode())
@example(MATRIX.replace('"rows"', '"ro\\u0077s"').encode())
@example(MATRIX.replace("}]}", '}], "outputs": [{"name": "predict"}, {"name": "predict"}]}').encode())
def test_what_it_takes_the_other_way_takes_with_equal_values(features: tuple[Feature, ...], body: bytes) -> None:
    found = decoder(features).decode(body)
    if found is None:
        return
    expected = read(features, body)
    assert expected is not None, "it took what is refused"
    assert repr([tuple(row) for row in found.rows]) == repr([tuple(row) for row in expected.rows])
    assert found.outputs == expected.outputs
    assert found.id == expected.id
    np.testing.assert_array_equal(found.matrix, np.array(expected.rows, np.float64))


@given(st.lists(st.tuples(*[st.floats(-4, 4)] * 3), min_size=1, max_size=20), st.booleans(), outputs)
def test_plain_tensors_are_its_own(rows: list[tuple[float, ...]], named: bool, asked: list[str]) -> None:
    """Otherwise it would be right and of no use."""
    tensor = {
        "name": "x",
        "shape": [len(rows), 3],
        "datatype": "FP64",
        "data": [value for row in rows for value in row],
    }
    document: dict[str, Any] = {"inputs": [tensor]} | ({"id": "order-17"} if named else {})
    found = decoder(BOUNDED).decode(json.dumps(document).encode())
    assert found is not None
    assert [tuple(row) for row in found.rows] == rows
    assert found.id == ("order-17" if named else None)
    assert [output.tensor.name for output in found.outputs] == ["predict", "confidence", "probabilities"]
    again = decoder(BOUNDED).decode(json.dumps({**document, "outputs": [{"name": name} for name in asked]}).encode())
    if "else" in asked or len(set(asked)) < len(asked):
        assert again is None
    else:
        assert again is not None
        assert [output.tensor.name for output in again.outputs] == (asked or ["predict", "confidence", "probabilities"])


@pytest.mark.parametrize("kind", ["integer", "category", "boolean"])
def test_other_features_are_for_the_other_way(kind: Any) -> None:
    levels = ("a",) if kind == "category" else None
    assert decoder((*NUMBERS[:2], Feature("x2", kind, categories=levels))).decode(MATRIX.encode()) is None
