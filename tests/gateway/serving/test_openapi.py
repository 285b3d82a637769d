"""The OpenAPI document says what the gateway does: schemathesis and a browser take it at its word."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate
from selenium.webdriver.common.by import By

from benchmarks import contract, hostile
from benchmarks.answers import Answers, Logged, logged
from benchmarks.fuzz import judge
from gateway.registry import ModelCard
from tests.browser import browser
from tests.models import register_mixed, register_numbers, register_regression
from tests.running import Place, Running, gateway, request, started, wait_for
from tests.tools import wait_until

#: Routes that the document leaves out: itself, and the page that shows it. What is under /v2 the protocol describes.
NOT_DESCRIBED = {"/openapi.json", "/docs", "/docs/<name>"}
BODY_BYTES_MAX = 100_000


def document(place: Place) -> dict[str, Any]:
    """What /openapi.json says now."""
    answer = request(place.gateway_port, "GET", "/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = answer.json
    return found


def operations(found: dict[str, Any]) -> set[tuple[str, str]]:
    """Path and method of every operation of a document."""
    return {
        (path, method.upper())
        for path, item in found["paths"].items()
        for method in item
        if method in ("get", "post", "put", "delete", "patch")
    }


def test_the_document_is_openapi_3_1(served: Place) -> None:
    """Valid by the specification's own schema, and of the version that it names."""
    found = document(served)
    assert found["openapi"] == "3.1.0"
    validate(found)


def test_features_are_described_as_they_are_validated(served: Place) -> None:
    """Types, null, categories and bounds are those of the schema that decides; observed ranges are no bounds."""
    row = document(served)["components"]["schemas"]["mixed.Row"]
    assert row["additionalProperties"] is False
    assert row["required"] == ["amount", "job", "known", "visits"]
    properties = row["properties"]
    assert properties["amount"]["type"] == ["number", "null"]
    assert properties["visits"]["type"] == "integer"
    assert properties["visits"]["maximum"] == 2**53
    assert properties["visits"]["x-observed-range"] == [0, 19]
    assert properties["known"] == {"type": "boolean"}
    assert properties["job"]["type"] == ["string", "null"]
    assert set(properties["job"]["enum"]) == {"clerk", "student", 'a, "b"', None}


def test_a_batch_is_described_with_its_limit(served: Place) -> None:
    """One to as many objects as the settings say."""
    batch = document(served)["components"]["schemas"]["numbers.Batch"]
    instances = batch["properties"]["instances"]
    assert (instances["minItems"], instances["maxItems"]) == (1, 10_000)


def test_the_examples_of_the_document_are_accepted(served: Place) -> None:
    """What the page fills in for somebody who tries is a row that the model answers."""
    features = document(served)["components"]["schemas"]["numbers.Row"]["properties"]
    row = {name: feature["examples"][0] for name, feature in features.items()}
    assert request(served.gateway_port, "POST", "/models/numbers/predict", row).status == 200


def test_every_route_is_described(served: Place) -> None:
    """A route that nobody described fails here; one per model stands for the route with its name."""
    script = (
        "import json; from gateway.serving.app import create_app;"
        "print(json.dumps([[rule.rule, sorted(rule.methods)] for rule in create_app().url_map.iter_rules()]))"
    )
    done = served.run("-c", script)
    assert done.returncode == 0, done.stderr
    described = {
        (path.replace("/models/numbers/", "/models/{name}/").replace("/versions/1/", "/versions/{version}/"), method)
        for path, method in operations(document(served))
    }
    routes = {
        (rule.replace("<name>", "{name}").replace("<version>", "{version}"), method)
        for rule, methods in json.loads(done.stdout)
        for method in methods
        if rule not in NOT_DESCRIBED and not rule.startswith("/v2") and method not in ("HEAD", "OPTIONS")
    }
    assert routes <= described


def test_the_document_follows_what_serves(tmp_path: Path) -> None:
    """Without a model there is nothing to ask; a registered one is described within a moment, without a restart."""
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_WORKERS": "1"})
    (tmp_path / "models").mkdir()
    with gateway_without_models(place):
        empty = document(place)
        validate(empty)
        assert set(empty["paths"]) == {"/health", "/ready", "/models"}
        register_numbers(place.registry, tmp_path / "in", rows=300)
        wait_until(lambda: "/models/numbers/predict" in document(place)["paths"], 20, "the model to be described")
        found = document(place)
        validate(found)
        assert "/predict" in found["paths"]


@contextlib.contextmanager
def gateway_without_models(place: Place) -> Iterator[Running]:
    """A gateway that is alive and not ready."""
    with started(place, "-m", "gateway") as running:
        wait_for(running, place.gateway_port, "/health")
        yield running


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, list[ModelCard]]]:
    """A gateway with small limits and three models; its own log must have no exception."""
    settings = {
        "SENTINEL_GATEWAY_INSTANCES_MAX": "20",
        "SENTINEL_GATEWAY_BODY_BYTES_MAX": str(BODY_BYTES_MAX),
        "SENTINEL_GATEWAY_RECEIVE_SECONDS": "1",
    }
    place = Place(tmp_path_factory.mktemp("small"), settings=settings)
    registers = (register_numbers, register_mixed, register_regression)
    cards = [register(place.registry, place.root / "in") for register in registers]
    with gateway(place) as running:
        yield place, cards
        assert "Traceback" not in running.output()


def test_the_gateway_keeps_to_its_document(small: tuple[Place, list[ModelCard]]) -> None:
    """Right requests are answered and wrong ones refused, as described, and the log has a row for each answer."""
    place, cards = small
    before = logged(place.paths.live, cards)
    answers, findings = contract.run(place.gateway_port, 15, 1, place.root)
    assert findings == ""
    assert judge(answers, logged(place.paths.live, cards) - before) == []
    assert answers.cases > 500
    assert {200, 404, 405, 413, 415, 422} <= set(answers.statuses)
    assert answers.rows
    assert answers.labels


def test_no_request_makes_it_fail_or_is_recorded_unanswered(small: tuple[Place, list[ModelCard]]) -> None:
    """Wrong JSON, values, headers, framing: no 5xx, problem documents, and the log has what was answered."""
    place, cards = small
    before = logged(place.paths.live, cards)
    answers = hostile.run(place.gateway_port, cards, 300, 1, BODY_BYTES_MAX)
    assert judge(answers, logged(place.paths.live, cards) - before) == []
    assert answers.cases == 300
    assert {200, 400, 405, 415, 422, 431} <= set(answers.statuses)
    assert answers.rows


def test_the_comparison_with_the_log_fails_where_it_must() -> None:
    """A row too many, a row too few, a label too many and a 5xx are each found; without them nothing is."""
    told = Answers(rows=Counter(a=2, b=1), labels=1)
    assert judge(told, Logged(Counter(a=2, b=1), 1)) == []
    assert len(judge(told, Logged(Counter(a=3, b=1), 1))) == 1
    assert len(judge(told, Logged(Counter(a=2), 1))) == 1
    assert len(judge(told, Logged(Counter(a=2, b=1), 2))) == 1
    told.take(503, "application/problem+json", b"{}", "GET /")
    assert judge(told, Logged(Counter(a=2, b=1), 1))


@pytest.mark.e2e
def test_the_page_shows_and_tries_every_operation(served: Place, tmp_path: Path) -> None:
    """In a browser: nothing on the console, nothing asked elsewhere, and a prediction comes back."""
    home = f"http://127.0.0.1:{served.gateway_port}"
    count = len(operations(document(served)))
    with browser(tmp_path / "profile") as chromium:
        page = chromium.open(f"{home}/docs")
        find = page.driver.find_elements
        wait_until(lambda: len(find(By.CSS_SELECTOR, ".opblock")) == count, 30, "the operations")
        assert "/models/mixed/predict" in page.text
        asked = "#operations-predictions-predict"
        for button in (".opblock-summary-control", ".try-out__btn", ".execute"):
            (found,) = wait_until(lambda part=button: find(By.CSS_SELECTOR, f"{asked} {part}"), 10, button)
            found.click()
        shown = f"{asked} .live-responses-table"
        wait_until(lambda: '"model_name": "numbers"' in find(By.CSS_SELECTOR, shown)[0].text, 10, "the answer")
        page.screenshot(tmp_path / "docs.png")
        assert [entry for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"] == []
        assert page.errors == []
        assert page.requested
        assert [url for url in page.requested if not url.startswith(home + "/")] == []


def test_the_page_comes_under_a_strict_policy(served: Place) -> None:
    """No inline script or style, nothing from elsewhere, no frame."""
    answer = request(served.gateway_port, "GET", "/docs")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["nothing.js", "..%2fopenapi.py", "%2e%2e/app.py", "index.html", "docs.html"])
def test_the_page_has_its_own_files_and_no_others(served: Place, name: str) -> None:
    """A name is looked up in a list, never in a folder."""
    assert request(served.gateway_port, "GET", f"/docs/{name}").status == 404
