"""Values that the reference never showed: accepted or rejected, as was said when the model was registered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from gateway.registry import RegistryError
from tests.logs import prediction_rows
from tests.running import Place, gateway, request

from .workshop import Workshop, mixed

COLUMNS = ["amount", "visits", "job", "city", "known"]


def pipeline(handle_unknown: str) -> Pipeline:
    """A pipeline on the mixed table."""
    levels = OneHotEncoder(handle_unknown=handle_unknown)
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), ["amount", "visits"]),
            ("levels", make_pipeline(SimpleImputer(strategy="most_frequent"), levels), ["job", "city"]),
            ("flags", "passthrough", ["known"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A registry with nothing in it."""
    return Workshop(tmp_path)


def test_the_card_keeps_what_was_said(workshop: Workshop) -> None:
    """By name, or for all that have a choice; what is not named follows its type."""
    table = mixed(400)
    model = pipeline("ignore").fit(table[COLUMNS], table["y"])
    default = workshop.register(model, table)
    named = workshop.register(model, table, unseen={"job": "accept", "visits": "reject"})
    every = workshop.register(model, table, unseen={"*": "accept", "city": "reject"})
    accepting = [{f.name for f in card.features if f.accepts_unseen} for card in (default, named, every)]
    assert accepting == [
        {"amount", "visits", "known"},
        {"amount", "job", "known"},
        {"amount", "visits", "job", "known"},
    ]
    assert workshop.registry.card("demo", named.version) == named


@pytest.mark.parametrize(("name", "says"), [("nobody", "no feature 'nobody'"), ("known", "true or false")])
def test_what_makes_no_sense_is_refused(workshop: Workshop, name: str, says: str) -> None:
    """In one sentence, and nothing is registered."""
    table = mixed(400)
    model = pipeline("ignore").fit(table[COLUMNS], table["y"])
    with pytest.raises(RegistryError, match=says):
        workshop.register(model, table, unseen={name: "accept"})
    assert workshop.registry.names() == []


def test_a_model_that_fails_on_unseen_categories_cannot_accept_them(workshop: Workshop) -> None:
    """It is asked about one when it is registered, not by the first client that has one."""
    table = mixed(400)
    model = pipeline("error").fit(table[COLUMNS], table["y"])
    with pytest.raises(RegistryError, match="'job' cannot accept categories that the table does not show"):
        workshop.register(model, table, unseen={"job": "accept"})
    assert workshop.register(model, table, unseen={"amount": "reject"}).version == "1"


def test_the_gateway_does_what_was_said_and_the_drift_engine_counts_it(tmp_path: Path) -> None:
    """An unseen job is answered and logged, an unseen city is not; the next run names the job."""
    place = Place(tmp_path)
    workshop = Workshop(tmp_path)
    table = mixed(2000)
    model = pipeline("ignore").fit(table[COLUMNS], table["y"])
    card = workshop.register(model, table, unseen={"job": "accept", "visits": "reject"})
    good = {"amount": 10.0, "visits": 3, "job": "astronaut", "city": str(table["city"].dropna().iloc[0]), "known": True}
    wrong = {**good, "city": "Atlantis", "visits": 10_000}
    with gateway(place):
        for way in (good, {"instances": [good] * 400}):
            assert request(place.gateway_port, "POST", "/predict", way).status == 200
        refused = request(place.gateway_port, "POST", "/predict", wrong)
        assert {error["pointer"] for error in refused.json["errors"]} == {"/city", "/visits"}
        assert "as in the reference" in refused.body.decode()
        described = request(place.gateway_port, "GET", "/models/demo").json
        assert {f["name"]: f["unseen"] for f in described["features"]}["job"] == "accept"
    rows = prediction_rows(place.paths.live, card)
    assert {row["job"] for row in rows} == {"astronaut"}
    assert len(rows) == 401
    done = place.run("-m", "drift_engine", "run", "--window", "1h")
    assert done.returncode == 0, done.stderr
    (result,) = place.paths.reports.rglob("result.json")
    columns = {column["column"]: column for column in json.loads(result.read_text())["data_drift"]["columns"]}
    assert {check["name"] for check in columns["job"]["checks"] if check["detected"]} >= {"novel"}
    assert '"astronaut", which the reference never showed' in columns["job"]["sentence"]
