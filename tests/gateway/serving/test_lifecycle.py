"""The gateway over time: new models, bad artifacts, a log that cannot be written, and an orderly end."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import threading
from pathlib import Path

import pytest

from tests.logs import prediction_rows
from tests.models import register_counts, register_numbers, register_regression
from tests.running import Answer, Place, gateway, request, started, wait_for
from tests.tools import free_port, wait_until

ROW = {f"x{index}": 0.5 for index in range(5)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place with one registered model and nothing running."""
    place = Place(tmp_path)
    register_numbers(place.registry, place.root / "in")
    return place


def test_without_a_model_the_gateway_lives_is_not_ready_and_says_why(tmp_path: Path) -> None:
    """An empty registry is a state, not a crash; the first registered model is served without a restart."""
    place = Place(tmp_path)
    with started(place, "-m", "gateway") as running:
        wait_for(running, place.gateway_port, "/health")
        ready = request(place.gateway_port, "GET", "/ready")
        assert (ready.status, ready.json["reasons"]) == (503, ["no model is registered"])
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 503
        register_numbers(place.registry, place.root / "in")
        assert all(request(place.gateway_port, "POST", "/predict", ROW).status == 200 for _ in range(10))
        assert request(place.gateway_port, "GET", "/ready").status == 200


def test_a_model_registered_while_others_serve_is_served(place: Place) -> None:
    """Registering disturbs nobody: the first model answers before, meanwhile and after."""
    with gateway(place):
        assert request(place.gateway_port, "POST", "/models/prices/predict", ROW).status == 404
        register_regression(place.registry, place.root / "in")
        for _ in range(10):
            # No worker denies it, however lately it looked at the registry.
            assert request(place.gateway_port, "POST", "/models/prices/predict", ROW).status == 200
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 200


def test_a_changed_artifact_is_not_served_and_the_others_are(place: Place) -> None:
    """A file that is not the registered one is refused by its hash, by name, and never loaded."""
    card = register_regression(place.registry, place.root / "in")
    artifact = place.registry.folder("prices", "1") / card.artifact.record.file
    artifact.write_bytes(b"garbage")
    with started(place, "-m", "gateway") as running:
        wait_for(running, place.gateway_port, "/health")
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 200
        refused = request(place.gateway_port, "POST", "/models/prices/predict", ROW)
        assert refused.status == 503
        assert "SHA-256" in refused.json["detail"]
        assert "SHA-256" in request(place.gateway_port, "GET", "/models").json["failures"]["prices"]
        ready = request(place.gateway_port, "GET", "/ready")
        assert ready.status == 200
        assert "SHA-256" in ready.json["failures"]["prices"]


def test_no_disk_no_answer_and_readiness_follows(place: Place) -> None:
    """With its folder gone and its place taken, every request is refused with 503; nothing needs a restart after."""
    with gateway(place):
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 200
        log_folder = place.paths.live / "numbers" / "1"
        shutil.rmtree(log_folder)
        log_folder.write_text("in the way")
        for _ in range(4):
            refused = request(place.gateway_port, "POST", "/predict", ROW)
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
        # Each worker's own look at the disk may be a second old.
        wait_until(lambda: request(place.gateway_port, "GET", "/ready").status == 503, 10, "readiness to turn red")
        log_folder.unlink()
        wait_until(lambda: request(place.gateway_port, "GET", "/ready").status == 200, 10, "readiness to come back")
        # A worker that nobody asked meanwhile refuses its first row: its segment went with the folder.
        answer = wait_until(lambda: _if_answered(request(place.gateway_port, "POST", "/predict", ROW)), 10, "an answer")
    rows = prediction_rows(place.paths.live, place.registry.resolve())
    assert [row["request_id"] for row in rows] == [answer.json["request_id"]]


def _if_answered(answer: Answer) -> Answer | None:
    return answer if answer.status == 200 else None


def test_sigterm_under_load_answers_what_is_under_way_and_exits_0(place: Place) -> None:
    """Every answer that a client got is in the log; segments are whole; the heartbeat is taken back."""
    answered: list[str] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            try:
                answer = request(place.gateway_port, "POST", "/predict", ROW)
            except OSError:
                continue
            if answer.status == 200:
                answered.append(answer.json["request_id"])

    with gateway(place) as running:
        clients = [threading.Thread(target=client) for _ in range(4)]
        for thread in clients:
            thread.start()
        wait_until(lambda: len(answered) > 50, 30, "traffic")
        assert (place.paths.state / "heartbeats" / "gateway.json").exists()
        assert running.stop(signal.SIGTERM) == 0
        stop.set()
        for thread in clients:
            thread.join()
    logged = [row["request_id"] for row in prediction_rows(place.paths.live, place.registry.resolve())]
    assert set(answered) <= set(logged)
    assert len(logged) == len(set(logged))
    assert not (place.paths.state / "heartbeats" / "gateway.json").exists()


def test_wrong_settings_are_all_named_before_anything_starts(tmp_path: Path) -> None:
    """Exit code 2 and one line per fault."""
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_WORKERS": "none", "SENTINEL_GATEWAY_DURABILITY": "maybe"})
    done = place.run("-m", "gateway")
    assert done.returncode == 2
    assert "SENTINEL_GATEWAY_WORKERS" in done.stderr
    assert "SENTINEL_GATEWAY_DURABILITY" in done.stderr


def test_a_second_gateway_on_the_same_port_leaves_the_first_ones_metrics_alone(place: Place) -> None:
    """It ends without having touched anything that the running one writes."""
    with gateway(place):
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 200
        before = {path.name for path in place.paths.gateway_metrics.iterdir()}
        second = place.run("-m", "gateway")
        assert second.returncode == 1
        assert "in use" in second.stderr
        assert before <= {path.name for path in place.paths.gateway_metrics.iterdir()}


def test_a_metrics_folder_with_foreign_files_is_refused(place: Place) -> None:
    """Emptying a folder that holds something else would be a costly mistake of a setting."""
    place.paths.gateway_metrics.mkdir()
    (place.paths.gateway_metrics / "thesis.txt").write_text("years of work")
    refused = place.run("-m", "gateway")
    assert refused.returncode == 2
    assert "thesis.txt" in refused.stderr


def test_a_second_gateway_does_not_count_in_the_first_ones_folder(place: Place) -> None:
    """On another port, but over the same data: it says so and ends, and the first one's counts stay."""
    with gateway(place):
        assert request(place.gateway_port, "POST", "/predict", ROW).status == 200
        before = {path.name for path in place.paths.gateway_metrics.iterdir()}
        second = dataclasses.replace(place, gateway_port=free_port()).run("-m", "gateway")
        assert second.returncode == 2
        assert "another gateway counts in" in second.stderr
        assert before <= {path.name for path in place.paths.gateway_metrics.iterdir()}


def test_a_registry_that_vanishes_does_not_stop_what_serves(place: Place) -> None:
    """A file that is gone is a mistake of somebody's, not a wish to serve nothing."""
    with gateway(place) as running:
        (place.paths.models / "serving.json").rename(place.root / "elsewhere.json")
        wait_until(lambda: "going on with what serves" in running.output(), 10, "the gateway to notice")
        assert all(request(place.gateway_port, "POST", "/predict", ROW).status == 200 for _ in range(5))


def test_an_answer_that_is_no_number_is_refused_and_not_logged(place: Place) -> None:
    """A model far outside what it knows may answer infinity: that is a 422 with the row, and no line."""
    card = register_counts(place.registry, place.root / "in")
    with gateway(place):
        path = "/models/counts/predict"
        far, near = {"x0": 1e6}, {"x0": 1.0}
        alone = request(place.gateway_port, "POST", path, far)
        batch = request(place.gateway_port, "POST", path, {"instances": [near, far]})
        assert (alone.status, batch.status) == (422, 422)
        assert [error["pointer"] for error in batch.json["errors"]] == ["/instances/1"]
        assert request(place.gateway_port, "POST", path, near).status == 200
    assert len(prediction_rows(place.paths.live, card)) == 1
