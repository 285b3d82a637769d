"""Bad V2 requests: a 4xx in the protocol's own form that says all that is wrong; nothing of it is logged."""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests.gateway.serving.v2.triton import tensor
from tests.logs import prediction_rows
from tests.models import COLUMNS, register_numbers
from tests.running import Answer, Place, request, started, wait_for

NAMES = ("numbers", "mixed", "flags", "counts")
MATRIX = {"name": "x", "shape": [2, 5], "datatype": "FP64", "data": list(range(10))}
COLUMN = {"shape": [2], "datatype": "FP64", "data": [0.5, 1]}
MIXED = {
    "amount": {"name": "amount", "shape": [2], "datatype": "FP64", "data": [1.5, None]},
    "visits": {"name": "visits", "shape": [2], "datatype": "INT64", "data": [1, 2]},
    "job": {"name": "job", "shape": [2], "datatype": "BYTES", "data": ["clerk", None]},
    "known": {"name": "known", "shape": [2], "datatype": "BOOL", "data": [True, False]},
}


def infer(place: Place, body: Any, name: str = "numbers", headers: dict[str, str] | None = None) -> Answer:
    """One inference request."""
    return request(place.gateway_port, "POST", f"/v2/models/{name}/infer", body, headers)


def refusal(answer: Answer, status: int) -> str:
    """The sentence of a refusal, after checking its form."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json"), answer.body
    document = answer.json
    assert set(document) == {"error", "request_id"}
    assert type(document["error"]) is str
    return str(document["error"])


def framed(document: Any, binary: bytes) -> tuple[bytes, dict[str, str]]:
    """A body with binary data, and its headers."""
    text = json.dumps(document).encode()
    return text + binary, {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(text)),
    }


def counts(place: Place) -> list[int]:
    """How many rows each model's log has."""
    return [len(prediction_rows(place.paths.live, place.registry.resolve(name))) for name in NAMES]


@pytest.fixture
def quiet(place: Place) -> Iterator[Place]:
    """The place; afterwards no row may have been logged."""
    before = counts(place)
    yield place
    assert counts(place) == before


FORM: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no inputs": ({}, {"/inputs"}),
    "inputs that are no list": ({"inputs": MATRIX}, {"/inputs"}),
    "an empty list": ({"inputs": []}, {"/inputs"}),
    "an input that is no object": ({"inputs": [MATRIX, 7]}, {"/inputs/1"}),
    "an empty input": ({"inputs": [{}]}, {"/inputs/0/" + key for key in ("name", "datatype", "shape", "data")}),
    "an unknown datatype": ({"inputs": [{**MATRIX, "datatype": "BF16"}]}, {"/inputs/0/datatype"}),
    "a datatype that is no text": ({"inputs": [{**MATRIX, "datatype": ["FP64"]}]}, {"/inputs/0/datatype"}),
    "a shape of three": ({"inputs": [{**MATRIX, "shape": [2, 5, 1]}]}, {"/inputs/0/shape"}),
    "no shape at all": ({"inputs": [{**MATRIX, "shape": []}]}, {"/inputs/0/shape"}),
    "a negative shape": ({"inputs": [{**MATRIX, "shape": [-1, 5]}]}, {"/inputs/0/shape"}),
    "no rows": ({"inputs": [{**MATRIX, "shape": [0, 5], "data": []}]}, {"/inputs/0/shape"}),
    "a shape with a fraction": ({"inputs": [{**MATRIX, "shape": [2, 5.0]}]}, {"/inputs/0/shape"}),
    "a true shape": ({"inputs": [{**MATRIX, "shape": [True, 5]}]}, {"/inputs/0/shape"}),
    "a shape beyond 64 bits": ({"inputs": [{**MATRIX, "shape": [2**70, 5]}]}, {"/inputs/0/shape"}),
    "parameters that are a list": ({"inputs": [{**MATRIX, "parameters": [1]}]}, {"/inputs/0/parameters"}),
    "shared memory": (
        {"inputs": [{**MATRIX, "parameters": {"shared_memory_region": "r"}}]},
        {"/inputs/0/parameters/shared_memory_region"},
    ),
    "data twice": ({"inputs": [{**MATRIX, "parameters": {"binary_data_size": 80}}]}, {"/inputs/0/data"}),
    "a size that is no number": (
        {"inputs": [{**MATRIX, "parameters": {"binary_data_size": "80"}}]},
        {"/inputs/0/data", "/inputs/0/parameters/binary_data_size"},
    ),
    "an id that is a number": ({"id": 42, "inputs": [MATRIX]}, {"/id"}),
    "an id with a lone surrogate": ({"id": "\ud800", "inputs": [MATRIX]}, {"/id"}),
    "parameters that are a text": ({"parameters": "x", "inputs": [MATRIX]}, {"/parameters"}),
    "a flag that is none": (
        {"parameters": {"binary_data_output": 1}, "inputs": [MATRIX]},
        {"/parameters/binary_data_output"},
    ),
    "outputs that are an object": ({"outputs": {"name": "predict"}, "inputs": [MATRIX]}, {"/outputs"}),
    "unknown outputs": (
        {"outputs": [{"name": "logits"}, {}, "predict", {"name": "predict"}, {"name": "predict"}], "inputs": [MATRIX]},
        {"/outputs/0/name", "/outputs/1/name", "/outputs/2", "/outputs/4/name"},
    ),
    "another form of output": (
        {
            "outputs": [{"name": "predict", "parameters": {"classification": 2, "binary_data": "yes"}}],
            "inputs": [MATRIX],
        },
        {"/outputs/0/parameters/classification", "/outputs/0/parameters/binary_data"},
    ),
    "a matrix that is too narrow": ({"inputs": [{**MATRIX, "shape": [2, 4]}]}, {"/inputs/0/shape"}),
    "one column alone": ({"inputs": [{**COLUMN, "name": "x0"}]}, {"/inputs/0/shape"}),
    "a column too few": ({"inputs": [{**COLUMN, "name": name} for name in COLUMNS[1:]]}, {"/inputs"}),
    "columns twice and unknown": (
        {"inputs": [{**COLUMN, "name": name} for name in [*COLUMNS, "x0", "y"]]},
        {"/inputs/5/name", "/inputs/6/name"},
    ),
    "columns of several lengths": (
        {"inputs": [{**COLUMN, "name": name, "shape": [2 + (name == "x3")]} for name in COLUMNS]},
        {"/inputs/3/shape"},
    ),
    "too few elements": ({"inputs": [{**MATRIX, "data": [1.0]}]}, {"/inputs/0/data"}),
    "ragged rows": ({"inputs": [{**MATRIX, "data": [[1, 2, 3, 4, 5], [1, 2]]}]}, {"/inputs/0/data"}),
    "an element that is a list": (
        {"inputs": [{**MATRIX, "data": [0, 1, [2], 3, 4, 5, 6, 7, 8, 9]}]},
        {"/inputs/0/data/2"},
    ),
    "texts for numbers": (
        {"inputs": [{**MATRIX, "data": ["0", *range(8), True]}]},
        {f"/inputs/0/data/{i}" for i in (0, 9)},
    ),
    "a fraction in INT64": (
        {"inputs": [{**MATRIX, "datatype": "INT64", "data": [0.5, *range(8), 1e300]}]},
        {f"/inputs/0/data/{i}" for i in (0, 9)},
    ),
    "more than INT8 holds": (
        {"inputs": [{**MATRIX, "datatype": "INT8", "data": [128, *range(8), -129]}]},
        {f"/inputs/0/data/{i}" for i in (0, 9)},
    ),
    "more than FP16 holds": (
        {"inputs": [{**MATRIX, "datatype": "FP16", "data": [7e4, *range(8), 10**400]}]},
        {f"/inputs/0/data/{i}" for i in (0, 9)},
    ),
}

VALUES: dict[str, tuple[str, list[dict[str, Any]], set[str]]] = {
    "null where not nullable": ("numbers", [{**MATRIX, "data": [None, *range(9)]}], {"/inputs/0/data/0"}),
    "nested data": (
        "numbers",
        [{**MATRIX, "data": [[0, 1, 2, 3, 4], [0, 1, None, 3, 2**53 + 1]]}],
        {"/inputs/0/data/1/2", "/inputs/0/data/1/4"},
    ),
    "beyond float32, and 400 digits": (
        "numbers",
        [{**MATRIX, "data": [1e39, *range(8), 10**400]}],
        {"/inputs/0/data/0", "/inputs/0/data/9"},
    ),
    "2^53 + 1 in INT64": (
        "numbers",
        [{**MATRIX, "datatype": "INT64", "data": [2**53 + 1, *range(9)]}],
        {"/inputs/0/data/0"},
    ),
    "booleans for numbers": (
        "numbers",
        [{**MATRIX, "datatype": "BOOL", "data": [True] * 10}],
        {f"/inputs/0/data/{i}" for i in range(10)},
    ),
    "texts that look like numbers": (
        "numbers",
        [{**MATRIX, "datatype": "BYTES", "data": ["1.5"] * 10}],
        {f"/inputs/0/data/{i}" for i in range(10)},
    ),
    "an unknown level, an empty one, a fraction, no boolean": (
        "mixed",
        [
            MIXED["amount"],
            {**MIXED["visits"], "datatype": "FP64", "data": [1.5, None]},
            {**MIXED["job"], "data": ["astronaut", "\ud800"]},
            {**MIXED["known"], "datatype": "INT64", "data": [2, None]},
        ],
        {"/inputs/1/data/0", "/inputs/1/data/1", "/inputs/2/data/0", "/inputs/2/data/1", "/inputs/3/data/0"}
        | {"/inputs/3/data/1"},
    ),
    "a number for a level": (
        "mixed",
        [MIXED["amount"], MIXED["visits"], {**MIXED["job"], "datatype": "INT64", "data": [1, 2]}, MIXED["known"]],
        {"/inputs/2/data/0", "/inputs/2/data/1"},
    ),
    "a matrix for a model of several types": (
        "mixed",
        [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 1]}],
        {"/inputs/0/data/2"},
    ),
}


@pytest.mark.parametrize("case", FORM)
def test_what_is_no_inference_request_is_422(quiet: Place, case: str) -> None:
    """With a JSON pointer to every place that is wrong."""
    document, pointers = FORM[case]
    assert pointers_in(refusal(infer(quiet, document), 422)) == pointers


@pytest.mark.parametrize("case", VALUES)
def test_values_are_held_to_the_rules_of_predict(quiet: Place, case: str) -> None:
    """Named where the client put them, whatever the form."""
    name, inputs, pointers = VALUES[case]
    assert pointers_in(refusal(infer(quiet, {"inputs": inputs}, name), 422)) == pointers


def test_rows_without_a_finite_answer_are_named(quiet: Place) -> None:
    """The model's verdict on a row is no value's fault."""
    inputs = [{"name": "x0", "shape": [3], "datatype": "FP64", "data": [0.5, 1e30, 0.5]}]
    error = refusal(infer(quiet, {"inputs": inputs}, "counts"), 422)
    assert error == "the model has no finite answer to these values: /inputs row 1 has no finite answer"


def pointers_in(error: str) -> set[str]:
    """The places that a refusal names."""
    _, _, faults = error.partition(": ")
    return {fault.split(" ")[0] for fault in faults.split("; ")}


def doubles(*values: float) -> bytes:
    """Numbers as a tensor's bytes."""
    return struct.pack(f"<{len(values)}d", *values)


def levels(*values: bytes) -> bytes:
    """Texts as a tensor's bytes."""
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


JOBS = levels(b"clerk", b"student")


@pytest.mark.parametrize(
    ("changed", "binary", "place_named"),
    [
        ("amount", doubles(1, float("inf")), "/inputs/0/data/1"),
        ("amount", doubles(1), "/inputs/0/data"),
        ("amount", doubles(1, 2, 3), "/inputs/0/data"),
        ("visits", doubles(1), "/inputs/1/data"),
        ("known", b"\x01\x02", "/inputs/3/data/1"),
        ("job", JOBS[:-1], "/inputs/2/data"),
        ("job", JOBS[:3], "/inputs/2/data"),
        ("job", JOBS + b"\0", "/inputs/2/data"),
        ("job", levels(b"clerk"), "/inputs/2/data"),
        ("job", levels(b"clerk", b"clerk", b""), "/inputs/2/data"),
        ("job", levels(b"clerk", b"\xff"), "/inputs/2/data/1"),
        ("job", b"\xff\xff\xff\xff" + b"x" * 9, "/inputs/2/data"),
        ("job", b"", "/inputs/2/data"),
    ],
)
def test_binary_data_that_is_not_the_tensor_is_422(quiet: Place, changed: str, binary: bytes, place_named: str) -> None:
    """Too short, too long, no boolean, no text; the other tensors are read where they are."""
    item = {key: value for key, value in MIXED[changed].items() if key != "data"}
    item["parameters"] = {"binary_data_size": len(binary)}
    body, headers = framed({"inputs": [*(MIXED | {changed: item}).values()]}, binary)
    assert place_named in pointers_in(refusal(infer(quiet, body, "mixed", headers), 422))


@pytest.mark.parametrize("behind", [b"", b"\0", doubles(*range(10)) + b"\0"])
def test_bytes_that_nobody_announced_are_422(quiet: Place, behind: bytes) -> None:
    """All that follows the JSON belongs to a tensor."""
    item = {key: value for key, value in MATRIX.items() if key != "data"}
    body, headers = framed({"inputs": [{**item, "parameters": {"binary_data_size": 80}}]}, behind)
    assert pointers_in(refusal(infer(quiet, body, headers=headers), 422)) == {"/inputs"}


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "\u00b2", "99999999999999999999", "5000", "3", "0"])
def test_a_wrong_header_length_is_400(quiet: Place, length: str) -> None:
    """The JSON object ends where the client says, and nowhere else."""
    headers = {"Content-Type": "application/json", "Inference-Header-Content-Length": length}
    refusal(infer(quiet, json.dumps({"inputs": [MATRIX]}).encode(), headers=headers), 400)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"inputs": [{"data": [NaN]}]}', b"\xff", b"[" * 100_000, doubles(1, 2, 3, 4, 5)]
)
def test_what_is_not_json_is_400(quiet: Place, body: bytes) -> None:
    """The parser is /predict's; NaN is no JSON, and null means it."""
    refusal(infer(quiet, body), 400)


def test_another_media_type_is_415(quiet: Place) -> None:
    """So is a compressed body."""
    body = json.dumps({"inputs": [MATRIX]}).encode()
    refusal(infer(quiet, body, headers={"Content-Type": "text/plain"}), 415)
    refusal(infer(quiet, body, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}), 415)
    refusal(infer(quiet, body, headers={"Content-Type": "", "Origin": "https://elsewhere.example"}), 415)


def test_limits_are_those_of_predict(quiet: Place) -> None:
    """Rows and bytes; what the event loop refuses has the protocol's form too."""
    shape = {**MATRIX, "shape": [501, 5], "data": []}
    assert "501 instances" in refusal(infer(quiet, {"inputs": [shape]}), 413)
    refusal(infer(quiet, b" " * 250_001), 413)
    connection = http.client.HTTPConnection("127.0.0.1", quiet.gateway_port, timeout=30)
    connection.putrequest("POST", "/v2/models/numbers/infer")
    connection.putheader("Content-Length", "250001")
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, set(json.loads(response.read()))) == (413, {"error", "request_id"})
    connection.close()
    with socket.create_connection(("127.0.0.1", quiet.gateway_port), timeout=30) as other:
        other.sendall(b"POST /predict?x=/v2/ HTTP/1.1\r\nHost: h\r\nContent-Length: 250001\r\n\r\n")
        assert b"application/problem+json" in other.recv(65_536)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/models/nobody/infer", 404),
        ("POST", "/v2/models/numbers/versions/2/infer", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/numbers/versions/..%2f1", 404),
        ("GET", "/v2/models/nobody/ready", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/numbers/infer", 405),
        ("POST", "/v2", 405),
    ],
)
def test_what_is_not_there(quiet: Place, method: str, path: str, status: int) -> None:
    """Paths, models, versions and methods."""
    body = {"inputs": [MATRIX]} if method == "POST" else None
    refusal(request(quiet.gateway_port, method, path, body), status)


def test_tritonclient_shows_the_refusal(quiet: Place, client: InferenceServerClient) -> None:
    """Its exception says what was wrong and where."""
    matrix = np.zeros((2, 5))
    matrix[1, 2] = np.nan
    with pytest.raises(InferenceServerException, match="/inputs/0/data/7 must not be null") as caught:
        client.infer("numbers", [tensor("x", matrix)])
    assert caught.value.status() == "422"
    with pytest.raises(InferenceServerException, match="classification is not supported"):
        client.infer(
            "numbers", [tensor("x", np.zeros((2, 5)))], outputs=[InferRequestedOutput("predict", class_count=2)]
        )
    with pytest.raises(InferenceServerException, match="no model of that name serves"):
        client.infer("nobody", [tensor("x", np.zeros((2, 5)))])


def test_damaged_requests_never_fail_and_every_answer_is_logged(place: Place) -> None:
    """Good requests with bytes changed, cut out and put in: 200 or 4xx, and as many rows as were answered."""
    rng = random.Random(20261121)
    item = {key: value for key, value in MIXED["amount"].items() if key != "data"}
    binary = {**item, "parameters": {"binary_data_size": 16}}
    good = [
        framed({"inputs": [MATRIX]}, b""),
        framed({"inputs": [binary, MIXED["visits"], MIXED["job"], MIXED["known"]]}, doubles(1.5, float("nan"))),
        framed({"inputs": list(MIXED.values()), "outputs": [{"name": "predict"}]}, b""),
    ]
    before, answered, statuses = sum(counts(place)), 0, set()
    connection = http.client.HTTPConnection("127.0.0.1", place.gateway_port, timeout=30)
    for number in range(1500):
        body, headers = good[number % 3]
        damaged = bytearray(body)
        for _ in range(rng.choice([0, 1, 1, 2, 5])):
            at = rng.randrange(len(damaged))
            damaged[at : at + rng.randrange(3)] = rng.choice([b"", b"0", b"9", b'"', b"-", b"]", rng.randbytes(1)])
        path = "/v2/models/numbers/infer" if number % 3 == 0 else "/v2/models/mixed/infer"
        connection.request("POST", path, bytes(damaged), headers)
        response = connection.getresponse()
        text = response.read()
        statuses.add(response.status)
        assert response.status in (200, 400, 413, 422), (damaged, text)
        if response.status == 200:
            document, _ = json.JSONDecoder().raw_decode(text.decode("latin-1"))
            answered += document["outputs"][0]["shape"][0]
    connection.close()
    assert {200, 400, 422} <= statuses
    assert sum(counts(place)) - before == answered


def test_without_a_log_nothing_is_answered(tmp_path: Path) -> None:
    """Not ready, says who asks; 503, says who infers: no answer leaves unrecorded."""
    place = Place(tmp_path)
    register_numbers(place.registry, tmp_path / "in", rows=300)
    place.paths.data.mkdir(exist_ok=True)
    place.paths.live.write_text("in the way")
    with started(place, "-m", "gateway") as running:
        wait_for(running, place.gateway_port, "/v2/health/live")
        client = InferenceServerClient(f"127.0.0.1:{place.gateway_port}")
        try:
            assert not client.is_server_ready()
            assert not client.is_model_ready("numbers")
            unready = request(place.gateway_port, "GET", "/v2/models/numbers/ready")
            assert (unready.status, unready.json["name"], unready.json["ready"]) == (503, "numbers", False)
            assert "cannot record" in unready.json["error"]
            with pytest.raises(InferenceServerException) as caught:
                client.infer("numbers", [tensor("x", np.zeros((2, 5)))])
            assert caught.value.status() == "503"
        finally:
            client.close()
