"""Several versions of one model: promoted under load, split, asked by name, and not in use for a reason."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import metrics_folder
from gateway.registry.changes import Changes
from gateway.registry.pointer import Split
from tests.logs import prediction_rows
from tests.models import register_linear, register_numbers, register_regression
from tests.running import Place, Running, gateway, request
from tests.tools import wait_until

ROW = {f"x{index}": 0.5 for index in range(5)}
SWITCHES = 20


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """`numbers` with three versions, of which the first serves; nothing runs."""
    place = Place(tmp_path)
    register_numbers(place.registry, place.root / "in", rows=300)
    for _ in range(2):
        register_linear(place.registry, place.root / "in")
    return place


def changes(place: Place) -> Changes:
    """Changes without the check of the artifact, which tests/gateway/registry/test_changes.py shows."""
    return Changes(place.registry, lambda name, version: None, time.time)


def in_use(place: Place, name: str = "numbers") -> dict[str, Any]:
    """What one of the workers says of a model."""
    found = request(place.gateway_port, "GET", "/models").json["models"]
    return next(model for model in found if model["name"] == name)


def follows(place: Place, **expected: Any) -> None:
    """Wait until every worker (whichever is asked) says so."""
    wait_until(
        lambda: all(expected.items() <= in_use(place).items() for _ in range(20)), 20, f"the workers to say {expected}"
    )


def total(place: Place, name: str, **labels: str) -> float:
    """A counter of the gateway, summed over its workers."""
    return sum(
        sample.value
        for family in metrics_folder.collect(place.paths.gateway_metrics)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def logged(place: Place, version: str) -> Counter[str]:
    """The request ids in a version's prediction log."""
    rows = prediction_rows(place.paths.live, place.registry.card("numbers", version))
    return Counter(row["request_id"] for row in rows)


class Client(threading.Thread):
    """Asks on one connection until told to stop: single rows, which the lane takes, and batches, which it does not."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        super().__init__()
        self.statuses: Counter[int] = Counter()
        self.answered: dict[str, list[str]] = {}
        self.failure: Exception | None = None
        self._port = port
        self._stop_event = stop

    def run(self) -> None:
        """Ask; whatever breaks ends this client and is kept."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        bodies = [json.dumps(ROW), json.dumps({"instances": [ROW, ROW]})]
        try:
            while not self._stop_event.is_set():
                for body in bodies:
                    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    answer = json.loads(response.read())
                    self.statuses[response.status] += 1
                    self.answered.setdefault(answer.get("model_version", ""), []).append(answer["request_id"])
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.failure = error
        finally:
            connection.close()


def test_promoting_back_and_forth_under_load_drops_no_request(place: Place) -> None:
    """Twenty switches: every request is a 200, and each answer stands in the log of the version that it names."""
    stop = threading.Event()
    with gateway(place):
        clients = [Client(place.gateway_port, stop) for _ in range(4)]
        for client in clients:
            client.start()
        try:
            for number in range(SWITCHES):
                if number % 2 == 0:
                    serves = changes(place).promote("numbers", "2").after.versions["numbers"]
                else:
                    serves = changes(place).rollback("numbers").after.versions["numbers"]
                follows(place, version=serves)
        finally:
            stop.set()
            for client in clients:
                client.join()
    assert [client.failure for client in clients] == [None] * 4
    assert {status for client in clients for status in client.statuses} == {200}
    for version in ("1", "2"):
        answered = [request_id for client in clients for request_id in client.answered[version]]
        assert len(answered) > 50
        # A batch has two rows under one id.
        assert logged(place, version).keys() == set(answered)
    assert [line["action"] for line in audit(place)][-SWITCHES:] == ["promote", "rollback"] * (SWITCHES // 2)


def audit(place: Place) -> list[dict[str, str]]:
    """The audit file's lines."""
    return [json.loads(line) for line in (place.paths.models / "audit.jsonl").read_text().splitlines()]


def test_a_bad_artifact_in_a_hand_edited_pointer_keeps_the_old_version_serving(place: Place) -> None:
    """It says why, everywhere where somebody may look; the file put back, the version serves."""
    artifact = place.registry.folder("numbers", "2") / "model.skops"
    content = artifact.read_bytes()
    artifact.write_bytes(content[:-1] + b"?")
    pointer = place.paths.models / "serving.json"
    with gateway(place) as running:
        pointer.write_text(pointer.read_text().replace('"numbers": "1"', '"numbers": "2"'))
        failures = wait_until(
            lambda: request(place.gateway_port, "GET", "/models").json["failures"], 20, "the gateway to notice"
        )
        assert failures["numbers"].startswith("version 2: ")
        assert "SHA-256" in failures["numbers"]
        ready = request(place.gateway_port, "GET", "/ready")
        assert ready.status == 200
        assert "SHA-256" in ready.json["failures"]["numbers"]
        assert {request(place.gateway_port, "POST", "/predict", ROW).json["model_version"] for _ in range(10)} == {"1"}
        assert "numbers 2 cannot be served" in running.output()
        assert total(place, "model_load_failures_total", model_name="numbers", model_version="2") >= 1
        refused = request(place.gateway_port, "POST", "/models/numbers/versions/2/predict", ROW)
        assert refused.status == 503
        assert "SHA-256" in refused.json["detail"]
        artifact.write_bytes(content)
        pointer.write_text(pointer.read_text())
        follows(place, version="2")


def test_a_version_is_asked_by_name_while_it_is_in_use(place: Place) -> None:
    """Serving, in a split or as a shadow; for any other the refusal says what brings it into use."""
    made = changes(place)
    with gateway(place):
        path = "/models/numbers/versions/{}/predict"
        assert request(place.gateway_port, "POST", path.format(1), ROW).json["model_version"] == "1"
        refused = request(place.gateway_port, "POST", path.format(2), ROW)
        assert refused.status == 404
        assert "in use: 1; 'make promote'" in refused.json["detail"]
        assert request(place.gateway_port, "POST", "/models/absent/versions/1/predict", ROW).status == 404
        made.split("numbers", "2", 0.5)
        made.shadow("numbers", "3")
        for _ in range(10):
            # No worker denies what another one has loaded already.
            assert request(place.gateway_port, "POST", path.format(2), ROW).json["model_version"] == "2"
        answer = request(place.gateway_port, "POST", path.format(3), {"instances": [ROW, ROW]})
        assert (answer.status, answer.json["model_version"]) == (200, "3")
        assert logged(place, "3") == {answer.json["request_id"]: 2}
        assert len(logged(place, "2")) == 10
        shown = request(place.gateway_port, "GET", "/models/numbers/versions/3").json
        assert (shown["version"], shown["scoring"]["estimator"]) == ("3", "LogisticRegression")
        assert request(place.gateway_port, "POST", path.format(2), {"x0": 1}).status == 422
        assert request(place.gateway_port, "GET", path.format(2)).status == 405


@pytest.fixture
def split(place: Place) -> Iterator[tuple[Place, Running]]:
    """A gateway in which version 2 has 30 % of the requests."""
    changes(place).split("numbers", "2", 0.3)
    with gateway(place) as running:
        yield place, running


def test_a_split_has_its_share_in_the_lane_and_in_flask(split: tuple[Place, Running]) -> None:
    """Of independent requests, each version logs and counts what it answered; ending the split ends it."""
    place, _ = split
    assert in_use(place)["split"] == {"version": "2", "share": 0.3}
    answers: dict[str, Counter[str]] = {"lane": Counter(), "flask": Counter()}
    ids: dict[str, set[str]] = {"1": set(), "2": set()}
    connection = http.client.HTTPConnection("127.0.0.1", place.gateway_port, timeout=30)
    for way, body in (("lane", json.dumps(ROW)), ("flask", json.dumps({"instances": [ROW]}))):
        for _ in range(600):
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            answers[way][answer["model_version"]] += 1
            ids[answer["model_version"]].add(answer["request_id"])
    connection.close()
    for way, counts in answers.items():
        # Five standard deviations of 600 independent draws.
        assert 0.2 < counts["2"] / 600 < 0.4, way
    for version in ("1", "2"):
        assert logged(place, version).keys() == ids[version]
        assert total(place, "model_predictions_total", model_version=version) == len(ids[version])
    changes(place).end_split("numbers")
    follows(place, split=None)
    assert request(place.gateway_port, "POST", "/models/numbers/versions/2/predict", ROW).status == 404


def test_a_client_meets_one_version_throughout(split: tuple[Place, Running]) -> None:
    """Whichever worker is asked, in whichever way; over many clients the share holds."""
    place, _ = split
    met: dict[str, set[str]] = {}
    for number in range(150):
        client = f"client-{number}"
        for body in (ROW, {"instances": [ROW]}, ROW):
            answer = request(place.gateway_port, "POST", "/predict", body, {"X-Request-ID": client})
            met.setdefault(client, set()).add(answer.json["model_version"])
        tensors = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in ROW.items()]
        infer = request(place.gateway_port, "POST", "/v2/models/numbers/infer", {"id": client, "inputs": tensors})
        met[client].add(infer.json["model_version"])
    assert all(len(versions) == 1 for versions in met.values())
    share = sum(versions == {"2"} for versions in met.values()) / len(met)
    assert 0.11 < share < 0.49


def test_a_split_with_a_version_of_other_inputs_is_a_fault_beside_what_serves(place: Place) -> None:
    """Only a pointer edited by hand can say so; the serving version answers everything."""
    regression = register_regression(place.registry, place.root / "in", name="numbers")
    serving = place.registry.serving().with_split("numbers", Split(regression.version, 0.5))
    place.registry.set_serving(serving)
    with gateway(place):
        found = request(place.gateway_port, "GET", "/models").json
        assert "has another task than 1" in found["failures"]["numbers"]
        assert found["models"][0]["split"] is None
        assert {request(place.gateway_port, "POST", "/predict", ROW).json["model_version"] for _ in range(20)} == {"1"}


def test_the_commands_as_they_are_typed_change_a_running_gateway(place: Place) -> None:
    """Promote, split, shadow, and back; a version whose file changed is refused, and nothing happens."""
    with gateway(place):
        (place.registry.folder("numbers", "3") / "model.skops").write_bytes(b"garbage")
        assert place.run("-m", "gateway.versions", "promote", "numbers", "2").returncode == 0
        follows(place, version="2", split=None, shadow=None)
        refused = place.run("-m", "gateway.versions", "promote", "numbers", "3")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.count("\n") == 1
        assert "SHA-256" in refused.stderr
        assert place.run("-m", "gateway.versions", "split", "numbers", "1", "--share", "0.2").returncode == 0
        follows(place, version="2", split={"version": "1", "share": 0.2})
        assert place.run("-m", "gateway.versions", "rollback", "numbers").returncode == 0
        # Version 1 serves again, all of it.
        follows(place, version="1", split=None)
    assert [line["action"] for line in audit(place)][3:] == ["promote", "split", "rollback"]
