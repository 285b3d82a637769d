"""Refused requests of a running gateway: whichever way they were asked, their causes are in the refusal log."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.log import refusals
from gateway.log.manifest import read_chain
from gateway.log.seal import seal
from gateway.registry import ModelCard
from gateway.serving.refusal_log import FLUSH_SECONDS
from tests.gateway.log.sealed import verified
from tests.logs import prediction_rows, refusal_rows
from tests.models import register_counts, register_mixed, register_numbers
from tests.processes import children
from tests.running import Place, gateway, request
from tests.tools import wait_until

ROW = {f"x{index}": 0.5 for index in range(5)}
WRONG = ROW | {"x0": "1.5"}
MIXED = {"amount": 1.5, "visits": 1, "job": "clerk", "known": True}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place with two registered models and nothing running."""
    place = Place(tmp_path)
    for register in (register_numbers, register_mixed):
        register(place.registry, place.root / "in")
    return place


def counted(place: Place, name: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Requests and rows of a model's refusal log by reason and feature."""
    requests: Counter[tuple[str, str]] = Counter()
    rows: Counter[tuple[str, str]] = Counter()
    for line in refusal_rows(place.paths.live, card_of(place, name)):
        requests[line["reason"], line["feature"]] += line["requests"]
        rows[line["reason"], line["feature"]] += line["rows"]
    return {key: (requests[key], rows[key]) for key in requests}


def card_of(place: Place, name: str) -> ModelCard:
    """A model's card."""
    return place.registry.resolve(name)


def test_every_way_of_asking_is_counted(place: Place) -> None:
    """A row, a batch, a named model and version, NaN; the lines are there when the gateway has ended."""
    numbers = "/models/numbers"
    asked: list[tuple[str, Any, int]] = [
        ("/predict", ROW, 200),
        ("/predict", {"instances": [ROW] * 3}, 200),
        ("/predict", WRONG, 422),
        (f"{numbers}/predict", {"instances": [ROW, WRONG, ROW]}, 422),
        (f"{numbers}/versions/1/predict", WRONG, 422),
        ("/predict", b'{"x0": NaN}', 400),
        # Of labels, of nobody, and of what has no content to speak of, nothing is counted.
        ("/feedback", {"request_id": "x", "label": 7}, 422),
        ("/models/nobody/predict", WRONG, 404),
        ("/models/mixed/versions/9/predict", WRONG, 404),
        ("/predict", {"instances": [ROW] * 10_001}, 413),
    ]
    with gateway(place) as running:
        for path, body, status in asked:
            assert request(place.gateway_port, "POST", path, body).status == status
        assert running.stop() == 0
    assert counted(place, "numbers") == {
        ("any", ""): (4, 6),
        ("wrong type", "x0"): (3, 5),
        ("malformed", ""): (1, 1),
    }
    examples = {line["reason"]: line["example"] for line in refusal_rows(place.paths.live, card_of(place, "numbers"))}
    assert examples["wrong type"] == '"1.5"'
    assert examples["malformed"] == "the body is not acceptable JSON: NaN is not a JSON number"
    assert len(prediction_rows(place.paths.live, card_of(place, "numbers"))) == 4
    assert refusals.segments(place.paths.live, "mixed", "1") == []


def test_the_open_inference_protocol_is_counted_too(place: Place) -> None:
    """Elements, values, tensors and rows that the model has no answer to, under the features' names."""
    register_counts(place.registry, place.root / "in")
    columns = {
        "amount": {"shape": [2], "datatype": "FP64", "data": [1.5, None]},
        "visits": {"shape": [2], "datatype": "INT64", "data": [1, 2]},
        "job": {"shape": [2], "datatype": "BYTES", "data": ["clerk", "astronaut"]},
        "known": {"shape": [2], "datatype": "BOOL", "data": [True, False]},
    }

    def tensors(**changes: dict[str, Any]) -> dict[str, Any]:
        return {"inputs": [{"name": name, **tensor, **changes.get(name, {})} for name, tensor in columns.items()]}

    matrix = {"name": "x", "shape": [2, 5], "datatype": "FP64", "data": [0, 1, 2, 3, 4, 0, 1, "2", 3, 4]}
    asked: list[tuple[str, Any, int]] = [
        ("mixed", tensors(), 422),
        ("mixed", tensors(job={"data": ["clerk", 7]}), 422),
        ("mixed", tensors(visits={"name": "visit"}), 422),
        ("mixed", tensors(visits={"data": [2**60, 1]}, job={"data": ["clerk", None]}), 422),
        ("mixed", tensors(visits={"datatype": "BF16"}), 422),
        ("numbers", {"inputs": [matrix]}, 422),
        ("counts", {"inputs": [{"name": "x", "shape": [3], "datatype": "FP64", "data": [1, 1e6, 1e6]}]}, 422),
    ]
    with gateway(place) as running:
        for name, body, status in asked:
            answer = request(place.gateway_port, "POST", f"/v2/models/{name}/infer", body)
            assert answer.status == status, answer.body
        assert running.stop() == 0
    assert counted(place, "mixed") == {
        ("any", ""): (5, 8),
        ("unseen category", "job"): (1, 2),
        ("wrong type", "job"): (1, 2),
        ("unknown field", ""): (1, 1),
        ("missing feature", "visits"): (1, 1),
        ("out of range", "visits"): (1, 2),
        ("wrong form", ""): (1, 1),
    }
    assert counted(place, "numbers") == {("any", ""): (1, 2), ("wrong type", "x2"): (1, 2)}
    assert counted(place, "counts") == {("any", ""): (1, 3), ("no finite answer", ""): (1, 3)}


def test_examples_can_be_switched_off(place: Place) -> None:
    """What clients send then stands in no refusal log."""
    place.settings["SENTINEL_GATEWAY_REFUSAL_EXAMPLES"] = "false"
    with gateway(place) as running:
        assert request(place.gateway_port, "POST", "/predict", ROW | {"x0": "a secret"}).status == 422
        assert running.stop() == 0
    assert counted(place, "numbers")["wrong type", "x0"] == (1, 1)
    assert all(b"secret" not in path.read_bytes() for path in place.paths.live.rglob("refusals-*.csv"))


def test_a_kill_loses_what_was_not_written_yet_and_no_more(place: Place) -> None:
    """What was refused some seconds before stays; nothing is torn, and the next seal takes it into the chain."""
    place.settings["SENTINEL_GATEWAY_WORKERS"] = "1"
    with gateway(place) as running:
        for _ in range(20):
            assert request(place.gateway_port, "POST", "/predict", WRONG).status == 422
        wait_until(
            lambda: counted(place, "numbers").get(("any", "")) == (20, 20), FLUSH_SECONDS + 10, "what was refused"
        )
        for _ in range(5):
            assert request(place.gateway_port, "POST", "/predict", WRONG).status == 422
        (worker,) = children(running.process.pid)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: request(place.gateway_port, "POST", "/predict", WRONG).status == 422, 60, "another worker")
        running.stop()
    requests, _ = counted(place, "numbers")["any", ""]
    assert 21 <= requests <= 26
    done = seal(place.paths.live, lambda: 1_795_132_800.0)
    assert [entry.corrupt_lines + entry.sequence_breaks for entry in done.sealed] == [0, 0]
    assert verified(place.paths.live).result.is_intact
    assert all(entry.path.startswith("numbers/1/refusals-") for entry in read_chain(place.paths.live).entries)


def test_a_flood_of_bad_requests_is_few_lines_and_holds_up_no_answer(place: Place) -> None:
    """2,000 of them, each with another unknown field and value: some lines a writing; valid requests are answered."""
    rng = np.random.default_rng(0)
    with gateway(place) as running:
        for number in range(2000):
            bad = {**MIXED, f"field{number}": 1, "job": f"level {rng.integers(1 << 60)}", "amount": str(number)}
            assert request(place.gateway_port, "POST", "/models/mixed/predict", bad).status == 422
            if number % 100 == 0:
                assert request(place.gateway_port, "POST", "/models/mixed/predict", MIXED).status == 200
        assert running.stop() == 0
    assert counted(place, "mixed")["any", ""] == (2000, 2000)
    lines = refusal_rows(place.paths.live, card_of(place, "mixed"))
    causes = {(line["reason"], line["feature"]) for line in lines}
    assert causes == {("any", ""), ("unknown field", ""), ("unseen category", "job"), ("wrong type", "amount")}
    writings = len({line["until"] for line in lines})
    assert len(lines) == writings * len(causes)
