"""Predicting over HTTP: the answer is the model's, and it is in the log, equal to the last digit."""

from __future__ import annotations

import uuid
from importlib.metadata import version
from typing import Any

import pytest
import skops.io

from gateway.clock import parse_utc
from tests.logs import label_rows, prediction_rows
from tests.models import COLUMNS, mixed_table, number_table
from tests.running import Place, request

ROW = {"x0": 0.1, "x1": -0.2, "x2": 1e-300, "x3": 12345.678, "x4": 0}
MIXED = {"amount": None, "visits": 7, "job": 'a, "b"', "known": True}


def logged(place: Place, name: str, request_id: str) -> list[dict[str, Any]]:
    """The log's rows of one request."""
    rows = prediction_rows(place.paths.live, place.registry.resolve(name))
    return [row for row in rows if row["request_id"] == request_id]


def test_one_object_gets_the_models_answer(served: Place) -> None:
    """Prediction, confidence and probabilities are scikit-learn's own, bit for bit."""
    model = skops.io.load(served.root / "in" / "numbers.skops", trusted=["sklearn.tree._tree.Tree"])
    table = number_table(20, seed=3)[COLUMNS]
    for row in table.to_dict(orient="records"):
        answer = request(served.gateway_port, "POST", "/predict", row).json
        expected = model.predict_proba(table.iloc[[0]].assign(**row))[0]
        assert answer["probabilities"] == {"0": expected[0], "1": expected[1]}
        assert answer["prediction"] == int(expected.argmax())
        assert answer["confidence"] == expected.max()


def test_an_answer_is_stamped_and_already_in_the_log(served: Place) -> None:
    """UUID, UTC time and model are in the answer; when it arrives, its line can be read, with equal content."""
    answer = request(served.gateway_port, "POST", "/predict", ROW).json
    assert set(answer) == {
        "request_id",
        "timestamp",
        "model_name",
        "model_version",
        "prediction",
        "confidence",
        "probabilities",
    }
    assert uuid.UUID(answer["request_id"]).version == 4
    parse_utc(answer["timestamp"])
    (row,) = logged(served, "numbers", answer["request_id"])
    assert {name: row[name] for name in ROW} == ROW
    assert (row["timestamp"], row["prediction"]) == (answer["timestamp"], str(answer["prediction"]))
    assert row["confidence"] == answer["confidence"]
    assert row["probability_1"] == answer["probabilities"]["1"]
    assert (row["instance"], row["client_id"]) == (0, None)
    assert row["latency_ms"] > 0


def test_a_batch_is_one_request_with_an_instance_per_row(served: Place) -> None:
    """Rows of a batch share the request id, keep their order, and answer as they would alone."""
    table = mixed_table(30, seed=5).drop(columns="outcome")
    rows = [
        {name: None if value != value or value is None else value for name, value in row.items()}
        for row in table.to_dict(orient="records")
    ]
    batch = request(served.gateway_port, "POST", "/models/mixed/predict", {"instances": rows}).json
    alone = [request(served.gateway_port, "POST", "/models/mixed/predict", row).json for row in rows[:5]]
    assert [item["prediction"] for item in batch["predictions"]][:5] == [item["prediction"] for item in alone]
    assert batch["predictions"][0]["probabilities"] == pytest.approx(alone[0]["probabilities"], abs=1e-12)
    found = logged(served, "mixed", batch["request_id"])
    assert [row["instance"] for row in found] == list(range(30))
    assert [row["prediction"] for row in found] == [item["prediction"] for item in batch["predictions"]]
    assert [row["job"] for row in found] == [row["job"] for row in rows]
    assert [row["amount"] for row in found] == [row["amount"] for row in rows]


def test_regression_answers_a_value_without_confidence(served: Place) -> None:
    """A number has no classes: confidence and probabilities are null, the value is logged exactly."""
    answer = request(served.gateway_port, "POST", "/models/prices/predict", ROW).json
    assert answer["prediction"] == pytest.approx(3 * 0.1 + 0.2 + 10)
    assert (answer["confidence"], answer["probabilities"]) == (None, None)
    (row,) = logged(served, "prices", answer["request_id"])
    assert row["prediction"] == answer["prediction"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("order-17", "order-17"), ("=cmd()", "=cmd()"), ("x" * 129, None), ("b\u00e4d", None), ("tab\there", None)],
)
def test_a_clients_own_id_is_kept_when_it_is_harmless(served: Place, sent: str, kept: str | None) -> None:
    """X-Request-ID becomes client_id; anything long or unprintable is dropped, and request_id stays ours."""
    headers = {"X-Request-ID": sent.encode("latin-1").decode("latin-1")}
    answer = request(served.gateway_port, "POST", "/predict", ROW, headers).json
    assert answer["request_id"] != sent
    (row,) = logged(served, "numbers", answer["request_id"])
    assert row["client_id"] == kept


def test_a_label_is_recorded_by_request_id_or_client_id(served: Place) -> None:
    """What turned out to be true is on disk when /feedback answers, in UTC whatever offset came in."""
    answer = request(served.gateway_port, "POST", "/predict", ROW).json
    body = {"request_id": answer["request_id"], "label": 1, "observed_at": "2026-01-01T01:00:00+01:00"}
    first = request(served.gateway_port, "POST", "/feedback", body)
    second = request(
        served.gateway_port,
        "POST",
        "/feedback",
        {"model_name": "mixed", "client_id": "c-1", "instance": 3, "label": "no"},
    )
    assert (first.status, second.status) == (200, 200)
    found = label_rows(served.paths.live, served.registry.resolve("numbers"))
    assert [
        (row["instance"], row["label"], row["observed_at"])
        for row in found
        if row["request_id"] == answer["request_id"]
    ] == [(0, "1", "2026-01-01T00:00:00.000000Z")]
    (row,) = [
        row for row in label_rows(served.paths.live, served.registry.resolve("mixed")) if row["client_id"] == "c-1"
    ]
    assert (row["request_id"], row["client_id"], row["instance"], row["label"]) == (None, "c-1", 3, "no")


def test_a_list_of_labels_is_recorded_together(served: Place) -> None:
    """One answer for all of them, once all of them are on disk, in their order and with one time."""
    items = [{"client_id": f"list-{number}", "instance": number, "label": "yes"} for number in range(200)]
    answer = request(served.gateway_port, "POST", "/feedback", {"model_name": "mixed", "labels": items})
    assert answer.status == 200
    assert {name: answer.json[name] for name in ("model_name", "labels")} == {"model_name": "mixed", "labels": 200}
    found = [
        row
        for row in label_rows(served.paths.live, served.registry.resolve("mixed"))
        if (row["client_id"] or "").startswith("list-")
    ]
    assert [(row["client_id"], row["instance"]) for row in found] == [(f"list-{at}", at) for at in range(200)]
    assert {row["received_at"] for row in found} == {answer.json["received_at"]}


def test_models_describe_their_input(served: Place) -> None:
    """A client can learn from the gateway what to send."""
    listing = request(served.gateway_port, "GET", "/models").json
    assert listing["default_model"] == "numbers"
    assert [model["name"] for model in listing["models"]] == ["mixed", "numbers", "prices"]
    described = request(served.gateway_port, "GET", "/models/mixed").json
    types = {feature["name"]: (feature["type"], feature["nullable"]) for feature in described["features"]}
    assert types == {
        "amount": ("number", True),
        "visits": ("integer", False),
        "job": ("category", True),
        "known": ("boolean", False),
    }


def test_models_say_what_scores_them(served: Place) -> None:
    """A tree ensemble is compiled; of others the reason is given."""
    engine = f"treelite {version('treelite')}"
    listing = request(served.gateway_port, "GET", "/models").json
    engines = {model["name"]: model["engine"] for model in listing["models"]}
    assert engines == {"mixed": "scikit-learn", "numbers": engine, "prices": "scikit-learn"}
    assert request(served.gateway_port, "GET", "/models/numbers").json["scoring"] == {
        "estimator": "RandomForestClassifier",
        "engine": engine,
        "why_not_compiled": None,
        "input_form": "array",
    }
    assert request(served.gateway_port, "GET", "/models/mixed").json["scoring"] == {
        "estimator": "Pipeline(ColumnTransformer, LogisticRegression)",
        "engine": "scikit-learn",
        "why_not_compiled": "LogisticRegression is none of the tree ensembles that are compiled",
        "input_form": "dataframe",
    }


def test_health_and_readiness(served: Place) -> None:
    """Alive and ready are two questions; both are yes here."""
    assert request(served.gateway_port, "GET", "/health").json == {"status": "ok"}
    assert request(served.gateway_port, "GET", "/ready").json == {"status": "ready", "reasons": [], "failures": {}}
