"""Inference with an unmodified tritonclient: the answers of /predict, in the log like any other."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from gateway import VERSION
from gateway.metrics_folder import collect
from tests.gateway.serving.v2.triton import assert_same, logged, recorded, tensor, texts
from tests.models import COLUMNS, number_table
from tests.running import ROOT, Place, request
from tests.tools import wait_until

COUNTED = ("model_predictions_total", "model_prediction_errors_total", "model_inference_duration_seconds_count")
MATRIX = number_table(7, seed=3)[COLUMNS].to_numpy()


def instances(matrix: Any) -> list[dict[str, Any]]:
    """The rows of a matrix as objects of features, each number as the double that it is."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in np.asarray(matrix, dtype=float).tolist()]


def columns(matrix: Any, binary: bool = True) -> list[InferInput]:
    """A matrix as a tensor per feature."""
    return [tensor(name, np.ascontiguousarray(matrix[:, index]), binary=binary) for index, name in enumerate(COLUMNS)]


def test_health_and_metadata(client: InferenceServerClient) -> None:
    """What a client can ask before it sends anything."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mixed")
    assert client.is_model_ready("mixed", "1")
    assert not client.is_model_ready("mixed", "2")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata() == {
        "name": "sentinelml",
        "version": VERSION,
        "extensions": ["binary_tensor_data"],
    }
    assert client.get_model_metadata("mixed", "1") == client.get_model_metadata("mixed")
    assert client.get_model_metadata("mixed") == {
        "name": "mixed",
        "versions": ["1"],
        "platform": "sklearn_skops",
        "inputs": [
            {"name": "amount", "datatype": "FP64", "shape": [-1]},
            {"name": "visits", "datatype": "INT64", "shape": [-1]},
            {"name": "job", "datatype": "BYTES", "shape": [-1]},
            {"name": "known", "datatype": "BOOL", "shape": [-1]},
        ],
        "outputs": [
            {"name": "predict", "datatype": "BYTES", "shape": [-1]},
            {"name": "confidence", "datatype": "FP64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
        ],
    }


def test_the_version_is_the_projects() -> None:
    """There is one version, written twice."""
    assert f'version = "{VERSION}"\n' in (ROOT / "pyproject.toml").read_text()


def test_outputs_follow_the_task(client: InferenceServerClient) -> None:
    """Classes keep their type; a regression has a value and nothing else."""
    found = {
        name: [(output["name"], output["datatype"], output["shape"]) for output in metadata["outputs"]]
        for name in ("numbers", "colours", "flags", "prices")
        for metadata in [client.get_model_metadata(name)]
    }
    rest = ("confidence", "FP64", [-1])
    assert found == {
        "numbers": [("predict", "INT64", [-1]), rest, ("probabilities", "FP64", [-1, 2])],
        "colours": [("predict", "BYTES", [-1]), rest, ("probabilities", "FP64", [-1, 3])],
        "flags": [("predict", "BOOL", [-1]), rest, ("probabilities", "FP64", [-1, 2])],
        "prices": [("predict", "FP64", [-1])],
    }


@pytest.mark.parametrize("name", ["numbers", "colours", "prices"])
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_one_matrix_of_all_features(
    place: Place, client: InferenceServerClient, name: str, rows: int, binary: bool
) -> None:
    """The default mode of the client, and plain JSON: any name, the model's order."""
    matrix = MATRIX[:rows]
    outputs = None if binary else [InferRequestedOutput("predict", binary_data=False)]
    result = client.infer(name, [tensor("input-0", matrix, binary=binary)], request_id="m-1", outputs=outputs)
    if binary:
        assert_same(place, result, name, instances(matrix))
    else:
        assert [[row[column] for column in COLUMNS] for row in logged(place, result)] == matrix.tolist()
        assert len(result.get_output("predict")["data"]) == rows


@pytest.mark.parametrize("name", ["numbers", "colours", "prices"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_a_tensor_per_feature(place: Place, client: InferenceServerClient, name: str, binary: bool) -> None:
    """In any order, flat or as one column."""
    inputs = columns(MATRIX, binary)[::-1]
    result = client.infer(name, inputs, "1", request_id="c-1")
    assert_same(place, result, name, instances(MATRIX))
    upright = columns(MATRIX.reshape(-1, 5, 1), binary)
    assert_same(place, client.infer(name, upright), name, instances(MATRIX))


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize(
    "dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"], ids=lambda name: np.dtype(name).name
)
def test_numbers_may_have_any_numeric_datatype(
    place: Place, client: InferenceServerClient, dtype: str, binary: bool
) -> None:
    """What is scored and logged is the double that equals the element."""
    matrix = np.abs(MATRIX * 10).astype(dtype)
    result = client.infer("numbers", [tensor("x", matrix, binary=binary)])
    assert_same(place, result, "numbers", instances(matrix))


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_mixed_datatypes(place: Place, client: InferenceServerClient, binary: bool) -> None:
    """A pipeline of numbers, integers, texts and booleans; no text is a missing one."""
    inputs = [
        tensor("amount", np.array([1.5, 2.5, 1e-300]), binary=binary),
        tensor("visits", np.array([3, 4, 5]), binary=binary),
        tensor("job", texts("clerk", 'a, "b"', ""), binary=binary),
        tensor("known", np.array([True, False, True]), binary=binary),
    ]
    rows = [
        {"amount": 1.5, "visits": 3, "job": "clerk", "known": True},
        {"amount": 2.5, "visits": 4, "job": 'a, "b"', "known": False},
        {"amount": 1e-300, "visits": 5, "job": None, "known": True},
    ]
    assert_same(place, client.infer("mixed", inputs, request_id="mixed"), "mixed", rows)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_one_feature_is_a_matrix_and_a_column(
    place: Place, client: InferenceServerClient, shape: tuple[int, ...]
) -> None:
    """A single tensor holds all features, whatever its name."""
    values = np.array([0.25, 0.75]).reshape(shape)
    for name in ("x0", "anything"):
        assert_same(place, client.infer("counts", [tensor(name, values)]), "counts", [{"x0": 0.25}, {"x0": 0.75}])


def test_nan_is_missing(place: Place, client: InferenceServerClient) -> None:
    """Integers and booleans that may be missing come as floats, as the metadata says."""
    described = client.get_model_metadata("flags")["inputs"]
    assert [(tensor["name"], tensor["datatype"]) for tensor in described] == [("count", "FP64"), ("flag", "FP64")]
    rows = [{"count": 7, "flag": None}, {"count": None, "flag": True}, {"count": 0, "flag": False}]
    matrix = np.array([[7, np.nan], [np.nan, 1], [0, 0]])
    assert_same(place, client.infer("flags", [tensor("rows", matrix)]), "flags", rows)
    apart = [tensor("count", matrix[:, 0].astype("f4")), tensor("flag", matrix[:, 1].astype("f4"))]
    assert_same(place, client.infer("flags", apart), "flags", rows)
    whole = [tensor("count", np.array([7])), tensor("flag", np.array([True]))]
    assert_same(place, client.infer("flags", whole), "flags", [{"count": 7, "flag": True}])


def test_null_is_missing(place: Place) -> None:
    """In JSON, in any datatype; nested data is read as flat data is, and integers may be written as 3.0."""
    inputs = [
        {"name": "amount", "shape": [2, 1], "datatype": "FP32", "data": [[None], [0.1]]},
        {"name": "visits", "shape": [2, 1], "datatype": "INT64", "data": [[3.0], [4]]},
        {"name": "job", "shape": [2], "datatype": "BYTES", "data": [None, "clerk"]},
        {"name": "known", "shape": [2], "datatype": "BOOL", "data": [True, False]},
    ]
    answer = request(place.gateway_port, "POST", "/v2/models/mixed/infer", {"inputs": inputs, "id": None})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json
    assert "id" not in document
    (predict, confidence, probabilities) = document["outputs"]
    assert (predict["shape"], confidence["shape"], probabilities["shape"]) == ([2], [2], [2, 2])
    assert len(probabilities["data"]) == 4


def test_fp32_is_rounded_however_it_comes(place: Place) -> None:
    """0.1 in an FP32 tensor is the FP32 next to 0.1: what is scored is what is logged."""
    inputs = [{"name": "x", "shape": [1, 5], "datatype": "FP32", "data": [0.1, 1, 2, 3, 4]}]
    answer = request(place.gateway_port, "POST", "/v2/models/numbers/infer", {"inputs": inputs})
    rows = recorded(place, "numbers", answer.json["parameters"]["request_id"])
    assert [row["x0"] for row in rows] == [float(np.float32(0.1))]


def test_outputs_are_those_asked_for(place: Place, client: InferenceServerClient) -> None:
    """In their order, each in its own form; all are logged all the same."""
    asked = [InferRequestedOutput("probabilities"), InferRequestedOutput("predict", binary_data=False)]
    result = client.infer("colours", [tensor("x", MATRIX)], outputs=asked)
    first, second = result.get_response()["outputs"]
    assert (first["name"], first["shape"], first["parameters"]) == (
        "probabilities",
        [7, 3],
        {"binary_data_size": 7 * 3 * 8},
    )
    assert (second["name"], second["datatype"], second["data"]) == (
        "predict",
        "BYTES",
        [row["prediction"] for row in logged(place, result)],
    )
    assert result.as_numpy("confidence") is None


def test_an_answer_is_found_again(place: Place, client: InferenceServerClient) -> None:
    """By the client's id, or ours from the response's parameters, which a label may name."""
    result = client.infer("numbers", [tensor("x", MATRIX[:1])], request_id="order-17")
    ours = result.get_response()["parameters"]["request_id"]
    (row,) = logged(place, result)
    assert (row["client_id"], row["request_id"]) == ("order-17", ours)
    assert request(place.gateway_port, "POST", "/feedback", {"request_id": ours, "label": 1}).status == 200
    by_header = client.infer("numbers", [tensor("x", MATRIX[:1])], headers={"X-Request-ID": "h-1"})
    (row,) = recorded(place, "numbers", by_header.get_response()["parameters"]["request_id"])
    assert row["client_id"] == "h-1"


def test_an_id_that_cannot_be_kept_is_echoed(place: Place) -> None:
    """The protocol says so; the log keeps printable ASCII of a sane length."""
    for sent in ("gr\u00fc\u00df dich", "x" * 200, "two\nlines"):
        inputs = [{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [0, 1, 2, 3, 4]}]
        answer = request(place.gateway_port, "POST", "/v2/models/numbers/infer", {"id": sent, "inputs": inputs}).json
        assert answer["id"] == sent
        (row,) = recorded(place, "numbers", answer["parameters"]["request_id"])
        assert row["client_id"] is None


@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream", ""])
def test_a_client_need_not_say_what_it_sends(place: Place, content_type: str) -> None:
    """Triton's does not."""
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 5], "datatype": "INT64", "data": [0] * 5}]}).encode()
    headers = {"Content-Type": content_type}
    assert request(place.gateway_port, "POST", "/v2/models/numbers/infer", body, headers).status == 200


def test_parameters_that_say_nothing_here_are_ignored(place: Place, client: InferenceServerClient) -> None:
    """A sequence, a priority, a timeout, a client's own, and what other servers need."""
    result = client.infer(
        "numbers",
        [tensor("x", MATRIX)],
        sequence_id=3,
        sequence_start=True,
        priority=1,
        timeout=10,
        parameters={"content_type": "np"},
    )
    assert_same(place, result, "numbers", instances(MATRIX))


def test_requests_at_once(place: Place, client: InferenceServerClient) -> None:
    """As many rows as are allowed, from the client's own concurrency."""
    matrix = number_table(500, seed=9)[COLUMNS].to_numpy()
    pending = [client.async_infer("numbers", [tensor("x", matrix)], request_id=f"a-{index}") for index in range(4)]
    for found in pending:
        assert_same(place, found.get_result(), "numbers", instances(matrix))


def test_metrics_count_what_v2_answers_and_refuses(place: Place, client: InferenceServerClient) -> None:
    """Rows by class, and errors by kind, as for any other request."""
    before = counted(place)
    result = client.infer("colours", [tensor("x", MATRIX)])
    assert request(place.gateway_port, "POST", "/v2/models/colours/infer", {"inputs": []}).status == 422
    wanted = Counter([("model_prediction_errors_total", "invalid"), ("model_inference_duration_seconds_count", "")])
    for label in result.as_numpy("predict").tolist():
        wanted["model_predictions_total", label.decode()] += 1
    wait_until(lambda: counted(place) - before == wanted, 20, "the answer to be counted")


def counted(place: Place) -> Counter[tuple[str, str]]:
    """What is counted of the model `colours`, by metric and by class or kind of error."""
    found: Counter[tuple[str, str]] = Counter()
    for metric in collect(place.paths.gateway_metrics):
        for sample in metric.samples:
            if sample.labels.get("model_name") == "colours" and sample.name in COUNTED:
                kind = sample.labels.get("predicted_class", sample.labels.get("error_type", ""))
                found[sample.name, kind] += int(sample.value)
    return found
