"""What clients do to the worker: dawdle, hurry, stop reading, go away, ask in every way that HTTP allows."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.logs import prediction_rows
from tests.models import mixed_table, number_table, register_numbers
from tests.running import Place, Running, gateway, gateway_metrics, request, started, wait_for
from tests.tools import wait_until

ROW = {f"x{index}": 0.5 for index in range(5)}
BODY = json.dumps(ROW).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
PREDICT = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
RECEIVE_SECONDS = 2
BODY_BYTES_MAX = 100_000
#: What each row of the log has for itself.
_OF_ITS_OWN = ("seq", "request_id", "timestamp", "latency_ms", "crc32")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Running]]:
    """A gateway of one worker with one thread: whatever holds that thread holds everything that needs one."""
    settings = {
        "SENTINEL_GATEWAY_WORKERS": "1",
        "SENTINEL_GATEWAY_THREADS": "1",
        "SENTINEL_GATEWAY_RECEIVE_SECONDS": str(RECEIVE_SECONDS),
        "SENTINEL_GATEWAY_BODY_BYTES_MAX": str(BODY_BYTES_MAX),
    }
    place = Place(tmp_path_factory.mktemp("alone"), settings=settings)
    register_numbers(place.registry, place.root / "in", rows=300)
    with gateway(place) as running:
        yield place, running


def connect(place: Place) -> socket.socket:
    """A connection to the gateway."""
    return socket.create_connection(("127.0.0.1", place.gateway_port), timeout=20)


class Reader:
    """Reads answers from a connection, one after another."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rb")

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name and body of the next answer; ConnectionError at the end."""
        line = self._stream.readline()
        if not line:
            raise ConnectionError("no more answers")
        status, headers = int(line.split()[1]), dict[str, str]()
        while (line := self._stream.readline()) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self._stream.read(int(headers.get("content-length", 0)))

    def is_at_end(self) -> bool:
        """Whether the gateway has closed the connection."""
        return self._stream.read(1) == b""


def answers(place: Place, data: bytes, count: int) -> list[tuple[int, dict[str, str], bytes]]:
    """What comes back on one connection for these bytes."""
    with connect(place) as connection:
        connection.sendall(data)
        reader = Reader(connection)
        return [reader.answer() for _ in range(count)]


@pytest.mark.parametrize(
    "half",
    [
        PREDICT[:20],
        PREDICT[:-10],
        HEALTH[:-2],
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        HEAD + b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n",
        b"POST /predict HTTP/1.0\r\nContent-Length: 50\r\n\r\n{",
        b"GET / HTTP/1.1\r\nContent-Length: 50\r\nContent-Length: 50\r\n\r\n",
    ],
    ids=["head", "body", "no body", "chunks", "expects 100", "HTTP/1.0", "two lengths"],
)
def test_half_a_request_holds_no_thread_and_is_refused_in_time(alone: tuple[Place, Running], half: bytes) -> None:
    """Forty of them, and the only thread answers others at once; each gets its 408 when its time is over."""
    place, _ = alone
    with contextlib.ExitStack() as stack:
        begun = time.monotonic()
        slow = [stack.enter_context(connect(place)) for _ in range(40)]
        for connection in slow:
            connection.sendall(half)
        assert request(place.gateway_port, "GET", "/health").status == 200
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 200
        assert time.monotonic() - begun < RECEIVE_SECONDS
        for connection in slow:
            reader = Reader(connection)
            status, headers, body = reader.answer()
            if status == 100:
                status, headers, body = reader.answer()
            assert (status, headers["connection"]) == (408, "close")
            assert json.loads(body)["status"] == 408
            assert reader.is_at_end()
        assert time.monotonic() - begun >= RECEIVE_SECONDS


def test_a_request_may_come_byte_by_byte(alone: tuple[Place, Running]) -> None:
    """And leaves its connection ready for the next."""
    place, _ = alone
    with connect(place) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = Reader(connection)
        for data in (PREDICT, HEALTH, PREDICT):
            for byte in data:
                connection.sendall(bytes([byte]))
            assert reader.answer()[0] == 200


def test_requests_may_come_all_at_once(alone: tuple[Place, Running]) -> None:
    """Pipelined ones are answered in their order, whichever way each of them goes."""
    place, _ = alone
    kinds = [PREDICT, HEALTH, PREDICT, PREDICT, HEALTH, HEALTH, PREDICT] * 5
    found = answers(place, b"".join(kinds), len(kinds))
    assert all(status == 200 for status, _, _ in found)
    assert [b"prediction" in body for _, _, body in found] == [kind is PREDICT for kind in kinds]


def test_a_client_that_sends_and_never_reads_is_let_go(alone: tuple[Place, Running]) -> None:
    """Its answers fill its socket, then its requests fill a bounded buffer, then its time is over."""
    place, running = alone
    with connect(place) as connection:
        connection.settimeout(0.5)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 60:
                with contextlib.suppress(TimeoutError):
                    connection.sendall(PREDICT * 100)
        assert time.monotonic() - began < 60, "it was served without ever reading"
        assert request(place.gateway_port, "GET", "/health").status == 200
        assert running.process.poll() is None


def test_a_client_that_goes_away_is_recorded_all_the_same(alone: tuple[Place, Running]) -> None:
    """The row was asked for and may be answered: it stays, and the next client is served."""
    place, _ = alone
    card = place.registry.resolve()
    before = len(prediction_rows(place.paths.live, card))
    for _ in range(20):
        with connect(place) as connection:
            connection.sendall(PREDICT)
            # A reset, not an orderly end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert request(place.gateway_port, "POST", "/predict", ROW).status == 200
    assert before < len(prediction_rows(place.paths.live, card)) <= before + 21


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"Content-Length: 100001\r\n\r\n", 413),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n", 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"fff0\r\n" + bytes(0xFFF0) + b"\r\n") * 4, 413),
        (HEAD + b"X: " + bytes(b"x" * 70_000), 431),
        (b"POST /predict HTTP/1.1\r\nBad Header\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    ],
    ids=["length", "length, before the body", "chunks", "head", "no header", "TLS"],
)
def test_what_nobody_will_read_is_refused_at_once(alone: tuple[Place, Running], data: bytes, status: int) -> None:
    """Without waiting for the rest of it, and the connection ends."""
    place, _ = alone
    began = time.monotonic()
    with connect(place) as connection:
        connection.sendall(data)
        reader = Reader(connection)
        found, headers, _ = reader.answer()
        assert (found, headers["connection"]) == (status, "close")
        assert reader.is_at_end()
    assert time.monotonic() - began < RECEIVE_SECONDS


def test_a_closing_request_is_the_last(alone: tuple[Place, Running]) -> None:
    """Connection: close is answered in kind, and what came behind it is not."""
    place, _ = alone
    closing = PREDICT.replace(b"Host: h", b"Host: h\r\nConnection: close")
    with connect(place) as connection:
        connection.sendall(closing + PREDICT)
        reader = Reader(connection)
        status, headers, _ = reader.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert reader.is_at_end()


def chunked(body: bytes) -> bytes:
    """A body in chunks of 7 bytes."""
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def ways(path: bytes, body: bytes) -> dict[str, bytes]:
    """The same request in several spellings; only the first one goes without a thread."""
    line = b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX-Request-ID: c-1\r\n" % path
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return {
        "plain": line + length + body,
        "chunked": line + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body),
        "a parameter": line.replace(b"json\r\n", b"json; v=1\r\n") + length + body,
        "HTTP/1.0": line.replace(b"HTTP/1.1", b"HTTP/1.0") + length + body,
    }


def cases() -> list[tuple[bytes, dict[str, Any]]]:
    """Rows for each of the three models, right and wrong ones."""
    numbers = number_table(8, seed=11).drop(columns="y").to_dict(orient="records")
    mixed = [
        {name: None if value is None or value != value else value for name, value in row.items()}
        for row in mixed_table(12, seed=12).drop(columns="outcome").to_dict(orient="records")
    ]
    wrong = [{}, {**ROW, "x0": "1"}, {**ROW, "more": 1}, {**ROW, "x0": 2**53 + 1}, {**ROW, "x0": None}]
    return [
        *((b"/predict", row) for row in [*numbers, *wrong]),
        *((b"/models/prices/predict", row) for row in numbers),
        *((b"/models/mixed/predict", row) for row in mixed),
        (b"/models/nobody/predict", ROW),
    ]


def test_the_lane_answers_and_records_what_flask_does(served: Place) -> None:
    """However a request is spelled: same status, same answer, same line in the log, but for ids and times."""
    for path, row in cases():
        found = {}
        for way, data in ways(path, json.dumps(row).encode()).items():
            status, _, body = answers(served, data, 1)[0]
            found[way] = status, json.loads(body)
        recorded = {way: line_of(served, answer) for way, (_, answer) in found.items()}
        first, *others = (without_times(*each) for each in found.values())
        assert all(other == first for other in others), (path, row)
        assert len({repr(line) for line in recorded.values()}) == 1, (path, row)
        assert (recorded["plain"] is None) == (first[0] != 200)


def batches() -> list[tuple[bytes, list[dict[str, Any]]]]:
    """Rows for each of the three models, few and many, and many with a wrong one among them."""
    found = []
    for path, row in cases():
        found += [(path, [row] * 3), (path, [row] * 400)]
    return [*found, (b"/predict", [ROW] * 400 + [{**ROW, "x0": "1"}]), (b"/predict", [])]


def test_a_batch_is_answered_and_recorded_as_flask_does(served: Place) -> None:
    """Without Flask or with it: same status, same answers in the same order, same lines in the log."""
    for path, rows in batches():
        body = json.dumps({"instances": rows}).encode()
        every_way = ways(path, body)
        found, recorded = [], []
        for way in ("plain", "a parameter"):
            status, _, answer = answers(served, every_way[way], 1)[0]
            found.append(without_times(status, json.loads(answer)))
            recorded.append(lines_of(served, json.loads(answer)))
        assert found[0] == found[1], (path, len(rows))
        assert recorded[0] == recorded[1], (path, len(rows))
        assert len(recorded[0]) == (len(rows) if found[0][0] == 200 else 0)


def inferences() -> list[dict[str, Any]]:
    """Inference requests, few rows and many: plain ones, and such as are left to Flask or refused."""
    found: list[dict[str, Any]] = []
    for count in (1, 3, 900):
        tensor = {"name": "rows", "shape": [count, 5], "datatype": "FP64", "data": [0.5, 1, -2.25, 1e-3, 3] * count}
        named = {"id": "order 17", "inputs": [tensor]}
        found += [
            {"inputs": [tensor]},
            named,
            {**named, "outputs": [{"name": "probabilities"}, {"name": "predict"}]},
            {**named, "id": "é"},
            {**named, "id": ""},
            {**named, "parameters": {"priority": 1}},
            {**named, "outputs": [{"name": "else"}]},
            {"inputs": [{**tensor, "shape": [count, 4]}]},
            {"inputs": [{**tensor, "data": ["1", *tensor["data"][1:]]}]},
        ]
    return found


def test_an_inference_request_is_answered_and_recorded_as_flask_does(served: Place) -> None:
    """Without Flask or with it: same status, same tensors, same lines in the log."""
    for document in inferences():
        found, recorded = [], []
        for _, data in ways(b"/v2/models/demo/infer", json.dumps(document).encode()).items():
            status, _, body = answers(served, data, 1)[0]
            answer = json.loads(body)
            answer |= answer.pop("parameters", {})
            found.append(without_times(status, answer))
            recorded.append(lines_of(served, answer))
        assert all(other == found[0] for other in found), document
        assert all(other == recorded[0] for other in recorded), document
        rows = document["inputs"][0]["shape"][0]
        assert len(recorded[0]) == (rows if found[0][0] == 200 else 0)


def test_batches_share_a_connection_with_other_requests(served: Place) -> None:
    """One behind the other, sent at once: each gets its own answer, and a closing one is the last."""
    body = json.dumps({"instances": [ROW] * 600}).encode()
    batch = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    found = answers(served, batch + PREDICT + HEALTH + batch, 4)
    assert [status for status, _, _ in found] == [200] * 4
    counts = [len(json.loads(answer).get("predictions", ())) for _, _, answer in found]
    assert counts == [600, 0, 0, 600]
    with connect(served) as connection:
        connection.sendall(batch.replace(b"Host: h", b"Host: h\r\nConnection: close") + PREDICT)
        reader = Reader(connection)
        status, headers, _ = reader.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert reader.is_at_end()


def without_times(status: int, answer: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What must be equal."""
    return status, {name: value for name, value in answer.items() if name not in ("request_id", "timestamp")}


def lines_of(place: Place, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A batch's rows in the log, but for what differs from request to request."""
    if "model_name" not in answer:
        return []
    rows = prediction_rows(place.paths.live, place.registry.resolve(answer["model_name"]))
    mine = [row for row in rows if row["request_id"] == answer["request_id"]]
    return [{name: value for name, value in row.items() if name not in _OF_ITS_OWN} for row in mine]


def line_of(place: Place, answer: dict[str, Any]) -> dict[str, Any] | None:
    """An answer's row in the log, but for what differs from request to request."""
    if "model_name" not in answer:
        return None
    rows = prediction_rows(place.paths.live, place.registry.resolve(answer["model_name"]))
    (row,) = [row for row in rows if row["request_id"] == answer["request_id"]]
    assert row["timestamp"] == answer["timestamp"]
    return {name: value for name, value in row.items() if name not in _OF_ITS_OWN}


def test_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    """With as many as a worker may have, each new one takes the place of the one that was idle for longest."""
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_WORKERS": "1"})
    register_numbers(place.registry, tmp_path / "in", rows=300)
    few = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128));"
        " os.execv(sys.executable, [sys.executable, '-m', 'gateway'])"
    )
    with started(place, "-c", few) as running, contextlib.ExitStack() as stack:
        wait_for(running, place.gateway_port, "/ready")
        idle = [stack.enter_context(connect(place)) for _ in range(200)]
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 200
        newest = idle[-1]
        newest.sendall(PREDICT)
        assert Reader(newest).answer()[0] == 200
        assert Reader(idle[0]).is_at_end()
        assert running.output().count("Booting worker") == 1


def test_a_stopping_worker_waits_for_no_idle_or_half_client(tmp_path: Path) -> None:
    """Kept-alive connections and half a request do not keep it from an orderly end."""
    place = Place(tmp_path)
    register_numbers(place.registry, tmp_path / "in", rows=300)
    with gateway(place) as running, contextlib.ExitStack() as stack:
        for data in (PREDICT, HEALTH, PREDICT[:30]):
            connection = stack.enter_context(connect(place))
            connection.sendall(data)
            if data is not PREDICT[:30] and len(data) > 30:
                assert Reader(connection).answer()[0] == 200
        began = time.monotonic()
        assert running.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 10


def test_metrics_count_what_the_lane_answers(tmp_path: Path) -> None:
    """Predictions by class and the three phases, as for any other request."""
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_WORKERS": "1"})
    register_numbers(place.registry, tmp_path / "in", rows=300)
    with gateway(place):
        found = answers(place, PREDICT * 7, 7)
        assert [status for status, _, _ in found] == [200] * 7

        phase = "model_postprocessing_duration_seconds_count"
        wait_until(lambda: gateway_metrics(place).get(phase) == 7, 20, "seven to be counted")
        values = gateway_metrics(place)
        assert values["model_predictions_total"] == 7
        assert values["model_preprocessing_duration_seconds_count"] == 7
        assert values["model_inference_duration_seconds_count"] == 7
        assert values["model_rows_in_flight"] == 0
