"""What the tests say with tritonclient: tensors in, arrays and log rows out."""

from __future__ import annotations

from typing import Any

import numpy as np
from tritonclient.http import InferInput, InferResult
from tritonclient.utils import np_to_triton_dtype

from tests.logs import prediction_rows
from tests.running import Place, request


def tensor(name: str, values: Any, *, binary: bool = True) -> InferInput:
    """An input tensor of the datatype that the array has."""
    array = np.asarray(values)
    found = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def texts(*values: str) -> Any:
    """An array that tritonclient sends as BYTES."""
    return np.array(values, dtype=object)


def recorded(place: Place, name: str, request_id: str) -> list[dict[str, Any]]:
    """The rows of one request in a model's log."""
    rows = prediction_rows(place.paths.live, place.registry.resolve(name))
    return [row for row in rows if row["request_id"] == request_id]


def logged(place: Place, result: InferResult) -> list[dict[str, Any]]:
    """The log's rows of one answer, in order; the answer must be in the log as what it says it is."""
    answer = result.get_response()
    assert answer["model_version"] == "1"
    found = recorded(place, answer["model_name"], answer["parameters"]["request_id"])
    assert [row["instance"] for row in found] == list(range(len(result.as_numpy("predict"))))
    assert {row["timestamp"] for row in found} == {answer["parameters"]["timestamp"]}
    assert {row["client_id"] for row in found} == {answer.get("id")}
    return found


def by_predict(place: Place, name: str, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows' answers from our own API."""
    answer = request(place.gateway_port, "POST", f"/models/{name}/predict", {"instances": instances})
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["predictions"]
    return found


def assert_same(place: Place, result: InferResult, name: str, instances: list[dict[str, Any]]) -> None:
    """The answer is what /predict says of the same rows, and both it and they are in the log, bit for bit."""
    expected = by_predict(place, name, instances)
    rows = logged(place, result)
    assert [{feature: row[feature] for feature in instances[0]} for row in rows] == instances
    predicted = [item.decode() if isinstance(item, bytes) else item for item in result.as_numpy("predict").tolist()]
    assert predicted == [item["prediction"] for item in expected]
    as_logged = [
        str(value).lower() if isinstance(value, bool) else value if isinstance(value, float) else str(value)
        for value in predicted
    ]
    assert [row["prediction"] for row in rows] == as_logged
    if expected[0]["probabilities"] is None:
        assert result.as_numpy("confidence") is None
        assert result.as_numpy("probabilities") is None
        return
    classes = list(expected[0]["probabilities"])
    assert result.as_numpy("confidence").tolist() == [item["confidence"] for item in expected]
    assert result.as_numpy("confidence").tolist() == [row["confidence"] for row in rows]
    assert result.as_numpy("probabilities").tolist() == [list(item["probabilities"].values()) for item in expected]
    assert result.as_numpy("probabilities").tolist() == [[row[f"probability_{c}"] for c in classes] for row in rows]
