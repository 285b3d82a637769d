"""Bad input is a clear 4xx with every fault at once; nothing of it is logged and nothing breaks."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest

from tests.logs import label_rows, prediction_rows
from tests.running import Answer, Place, request

GOOD = {"x0": 0.1, "x1": -0.2, "x2": 3.0, "x3": 4.0, "x4": 5.0}
TEXT = json.dumps(GOOD)


def changed(**changes: Any) -> dict[str, Any]:
    """The good row with some values replaced."""
    return {**GOOD, **changes}


def nested(depth: int) -> bytes:
    """An array in an array, `depth` deep."""
    return b"[" * depth + b"]" * depth


MALFORMED = {
    "empty": b"",
    "truncated": TEXT[:-5].encode(),
    "trailing garbage": TEXT.encode() + b"x",
    "two documents": (TEXT + TEXT).encode(),
    "trailing comma": (TEXT[:-1] + ",}").encode(),
    "single quotes": TEXT.replace('"', "'").encode(),
    "NaN": TEXT.replace("0.1", "NaN").encode(),
    "Infinity": TEXT.replace("0.1", "-Infinity").encode(),
    "1e999": TEXT.replace("0.1", "1e999").encode(),
    "an integer of 5,000 digits": TEXT.replace("0.1", "9" * 5000).encode(),
    "a key twice": (TEXT[:-1] + ', "x0": 1}').encode(),
    "nested 500 deep": nested(500),
    "nested 100,000 deep": nested(100_000),
    "UTF-16": TEXT.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "invalid UTF-8": TEXT.replace("x0", "x\u00e9").encode("latin-1"),
    "a NUL": TEXT.encode() + b"\0",
    "an array": b"[1, 2]",
    "null": b"null",
    "a string": b'"x0"',
}

INVALID: dict[str, tuple[Any, set[str]]] = {
    "no features": ({}, {"/x0", "/x1", "/x2", "/x3", "/x4"}),
    "unknown features": (changed(__proto__=1, **{"a/b": 2}), {"/__proto__", "/a~1b"}),
    "a text for a number": (changed(x0="1.5"), {"/x0"}),
    "true for a number": (changed(x0=True), {"/x0"}),
    "null where not nullable": (changed(x0=None), {"/x0"}),
    "an object for a scalar": (changed(x0={"a": 1}, x1=[1]), {"/x0", "/x1"}),
    "2^53 + 1": (changed(x0=2**53 + 1), {"/x0"}),
    "beyond float32": (changed(x0=1e39), {"/x0"}),
    "zero instances": ({"instances": []}, {"/instances"}),
    "instances that are no list": ({"instances": GOOD}, {"/instances"}),
    "a key beside instances": ({"instances": [GOOD], "x0": 1}, {"/x0"}),
    "faults in several rows": (
        {"instances": [GOOD, changed(x1="a"), 7, changed(x2=None)]},
        {"/instances/1/x1", "/instances/2", "/instances/3/x2"},
    ),
}

INVALID_MIXED: dict[str, tuple[Any, set[str]]] = {
    "an unknown category": ({"job": "astronaut"}, {"/job"}),
    "a fraction for an integer": ({"visits": 1.5}, {"/visits"}),
    "a number for a boolean": ({"known": 1}, {"/known"}),
    "a lone surrogate": ({"job": "\ud800"}, {"/job"}),
    "a text beyond the limit": ({"job": "x" * 5000}, {"/job"}),
}


def problem(answer: Answer) -> dict[str, Any]:
    """The answer as a problem document, after checking that it is a well-formed one."""
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json
    assert document["status"] == answer.status
    assert {"type", "title", "detail", "request_id"} <= set(document)
    return document


@pytest.fixture
def port(served: Place) -> Any:
    """The gateway's port; afterwards no row may have been logged in any of its logs."""
    cards = [served.registry.resolve(name) for name in ("numbers", "mixed")]
    before = [len(prediction_rows(served.paths.live, card)) for card in cards]
    yield served.gateway_port
    assert [len(prediction_rows(served.paths.live, card)) for card in cards] == before


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_one_json_object_is_400(port: int, name: str) -> None:
    """The parser is strict where Python's is not."""
    assert problem(request(port, "POST", "/predict", MALFORMED[name]))["status"] == 400


@pytest.mark.parametrize("name", INVALID)
def test_values_that_do_not_fit_are_422_each_with_its_pointer(port: int, name: str) -> None:
    """All faults of a request come in one answer."""
    body, pointers = INVALID[name]
    document = problem(request(port, "POST", "/predict", body))
    assert document["status"] == 422
    assert {error["pointer"] for error in document["errors"]} == pointers


@pytest.mark.parametrize("name", INVALID_MIXED)
def test_categories_integers_and_booleans_are_exact(port: int, name: str) -> None:
    """Types are those of the reference, without conversion."""
    change, pointers = INVALID_MIXED[name]
    body = {"amount": 1.0, "visits": 1, "job": None, "known": True, **change}
    document = problem(request(port, "POST", "/models/mixed/predict", body))
    assert document["status"] == 422
    assert {error["pointer"] for error in document["errors"]} == pointers


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_media_type_is_415(port: int, content_type: str | None) -> None:
    """Only application/json is read."""
    headers = {"Content-Type": content_type} if content_type else {"Content-Type": ""}
    assert problem(request(port, "POST", "/predict", TEXT.encode(), headers))["status"] == 415


def test_a_compressed_body_is_415(port: int) -> None:
    """A small body that unpacks to a huge one gets no chance."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert problem(request(port, "POST", "/predict", b"\x1f\x8b", headers))["status"] == 415


def test_a_charset_parameter_is_fine(served: Place) -> None:
    """application/json; charset=utf-8 is what many clients send."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert request(served.gateway_port, "POST", "/predict", TEXT.encode(), headers).status == 200


def test_a_body_over_the_limit_is_413_with_and_without_a_length(port: int) -> None:
    """Announced or chunked, no more than the limit is read."""
    assert problem(request(port, "POST", "/predict", b" " * 250_001))["status"] == 413
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(
        "POST",
        "/predict",
        iter([b" " * 150_000] * 2),
        {"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        encode_chunked=True,
    )
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Type"]) == (413, "application/problem+json")
    connection.close()


def test_a_chunked_body_within_the_limit_is_answered(served: Place) -> None:
    """Chunks are as good as a length."""
    connection = http.client.HTTPConnection("127.0.0.1", served.gateway_port, timeout=30)
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/predict", iter([TEXT[:9].encode(), TEXT[9:].encode()]), headers, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()


def test_too_many_instances_are_413(port: int) -> None:
    """A batch has a bound of its own beside the body's size."""
    document = problem(request(port, "POST", "/predict", b'{"instances":[' + b"0," * 10_000 + b"0]}"))
    assert document["status"] == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/predict", 405), ("DELETE", "/models", 405)])
def test_a_wrong_method_is_405_and_says_what_is_allowed(port: int, method: str, path: str, status: int) -> None:
    """The Allow header is part of a proper 405."""
    answer = request(port, method, path)
    assert problem(answer)["status"] == status
    assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["/models/none/predict", "/models/..%2f..%2fetc/predict", "/models/%00/predict"])
def test_an_unknown_model_is_404(port: int, path: str) -> None:
    """A hostile name is just a name that does not serve; what serves is said."""
    document = problem(request(port, "POST", path, GOOD))
    assert document["status"] == 404


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"label": 1}, {""}),
        ({"label": 1, "request_id": "x", "client_id": "y"}, {"", "/request_id"}),
        ({"request_id": "6f1b3c1e-8c0e-4c3b-9a53-0c2f6f1b3c1e"}, {"/label"}),
        ({"client_id": "a", "label": 7}, {"/label"}),
        ({"client_id": "a", "label": 1, "instance": -1}, {"/instance"}),
        ({"client_id": "a", "label": 1, "observed_at": "yesterday"}, {"/observed_at"}),
        ({"client_id": "a", "label": 1, "observed_at": "2026-01-01T00:00:00"}, {"/observed_at"}),
        ({"client_id": "a", "label": 1, "extra": 1}, {"/extra"}),
        ({"client_id": "\u00e4", "label": 1}, {"/client_id"}),
        ({"client_id": "x" * 129, "label": 1}, {"/client_id"}),
        ({"request_id": None, "label": 1}, {"/request_id"}),
        ({"model_name": "prices", "client_id": "a", "label": 10**400}, {"/label"}),
        ({"client_id": "a", "label": 1, "model_name": 7}, {"/model_name"}),
        ({"labels": []}, {"/labels"}),
        ({"labels": {"client_id": "a", "label": 1}}, {"/labels"}),
        ({"labels": [{"client_id": "a", "label": 1}], "label": 1, "model_name": 7}, {"/label", "/model_name"}),
        ({"labels": [{"client_id": "a", "label": 1}, 3, {"label": 7}]}, {"/labels/1", "/labels/2", "/labels/2/label"}),
        ({"labels": [{"client_id": "a", "label": 1, "model_name": "numbers"}]}, {"/labels/0/model_name"}),
    ],
)
def test_a_label_that_cannot_be_used_is_422(port: int, body: dict[str, Any], pointers: set[str]) -> None:
    """/feedback names its faults like /predict."""
    document = problem(request(port, "POST", "/feedback", body))
    assert document["status"] == 422
    assert {error["pointer"] for error in document["errors"]} == pointers


def test_an_empty_model_name_is_not_the_default_model(port: int) -> None:
    """Whoever sends a name means a model, and a label for the wrong one would never be found."""
    body = {"client_id": "empty-name", "label": 1, "model_name": ""}
    assert problem(request(port, "POST", "/feedback", body))["status"] == 404


def test_a_wrong_label_in_a_list_keeps_the_others_out_too(served: Place) -> None:
    """All or nothing: a client can send the list again when it is right, and too long a list is refused as such."""
    right = {"client_id": "all-or-nothing", "label": 1}
    assert problem(request(served.gateway_port, "POST", "/feedback", {"labels": [right, {}]}))["status"] == 422
    many = b'{"labels":[' + b"0," * 10_000 + b"0]}"
    assert problem(request(served.gateway_port, "POST", "/feedback", many))["status"] == 413
    found = label_rows(served.paths.live, served.registry.resolve("numbers"))
    assert "all-or-nothing" not in {row["client_id"] for row in found}


def test_a_client_that_leaves_in_the_middle_harms_nobody(port: int) -> None:
    """A body that ends early is dropped; the next client is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
    assert request(port, "GET", "/health").status == 200


POST = b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
        (POST.replace(b"POST /predict", b"PUT /health") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 405),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: h\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    ],
    ids=["coding", "chunk", "chunk that nobody reads", "length", "version", "address", "headers"],
)
def test_what_is_no_http_is_a_problem_and_the_last_request(port: int, sent: bytes, status: int) -> None:
    """One answer, with a request_id and no 5xx; behind bytes whose end nobody can tell no request is believed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(sent + POST + b"Content-Length: %d\r\n\r\n" % len(TEXT) + TEXT.encode())
        received = sock.makefile("rb").read()
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/problem+json" in head
    document = json.loads(body)
    assert document["status"] == status
    assert document["request_id"]
