"""The whole loop on real files: register, serve, log, label, compare, report, scrape.

No drift on rows drawn at random from the time that the model was made in, drift on later ones, and the columns
that are known to have moved are named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from drift_engine.results import Result, ResultStore
from gateway.registry.register import register
from tests.browser import browser
from tests.e2e.traffic import as_rows, replay
from tests.logs import prediction_rows
from tests.prometheus import prometheus
from tests.running import Place, exporter, request, started
from tests.tools import wait_until

pytestmark = pytest.mark.e2e

SEED = 20261120
FITTED, REFERENCE, LIVE = 8000, 4000, 1500
#: Known from the data's documentation: the economy turned in 2008/2009.
BANK_INDICES = {"emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed"}
#: Constant until the Victorian market joined, and not after.
ELEC2_MOVED = {"vicprice", "vicdemand", "transfer"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place with a running gateway and exporter."""
    place = Place(tmp_path)
    with gateway_without_models(place), exporter(place):
        yield place


def gateway_without_models(place: Place) -> Any:
    """The gateway as it starts before anything is registered."""
    return started(place, "-m", "gateway")


@pytest.mark.alone
def test_bank_marketing(place: Place, shared_data: Callable[[str], Path]) -> None:
    """The financial crisis shows: all five economic indices are named, accuracy falls, the report can be read."""
    table = pd.read_csv(shared_data("bank_additional_full.csv.gz"), sep=";").drop(columns="duration")
    early, late = table.iloc[:20_000], table.iloc[27_690:]
    same = fit_and_register(place, "bank", early, "y")
    late = late[known_levels(late, pd.read_csv(place.root / "in" / "reference.csv"))]

    before = run(place, "bank", *replay(place, "bank", same, "y"))
    assert verdicts(before) == (False, False)
    assert before.performance.outcome == "ok"
    assert before.concept_drift.detected is False

    # The scheduler runs it this time, asked over HTTP through the exporter, as the report page would.
    with started(place, "scheduler.py", "--interval", "1h"):
        wait_until(lambda: newest(place, "bank").run_id != before.run_id, 90, "the scheduler's first run")
        first = latest(place, "bank").run_id
        replay(place, "bank", late.sample(LIVE, random_state=SEED), "y")
        asked = request(place.exporter_port, "POST", "/monitoring/run", {"model_name": "bank"})
        assert asked.status == 202
        wait_until(
            lambda: latest(place, "bank").run_id != first and result(place, "bank").rows.read >= LIVE,
            120,
            "the run that was asked for",
        )
    after = result(place, "bank")
    assert verdicts(after) == (True, True)
    assert drifted(after) >= BANK_INDICES
    assert after.performance.outcome == "ok"
    assert after.concept_drift.detected is True
    assert after.retraining.decision == "recommended"
    check_in_prometheus(place, "bank", after)
    check_in_chromium(place, "bank", after)


def test_elec2(place: Place, shared_data: Callable[[str], Path]) -> None:
    """The Victorian market's three columns are named, and the same window gives the same numbers twice."""
    table = pd.read_csv(shared_data("elec2.csv.gz")).drop(columns=["date", "nswprice"])
    early, late = table.iloc[:17_424], table.iloc[17_424:]
    same = fit_and_register(place, "elec2", early, "class")

    before = run(place, "elec2", *replay(place, "elec2", same, "class"))
    assert verdicts(before)[0] is False

    window = replay(place, "elec2", late.sample(LIVE, random_state=SEED), "class")
    after = run(place, "elec2", *window)
    assert after.data_drift.detected is True
    assert drifted(after) >= ELEC2_MOVED
    again = run(place, "elec2", *window)
    assert numbers(again) == numbers(after)
    assert again.run_id != after.run_id


def test_an_unseen_level_is_refused_and_named(place: Place, shared_data: Callable[[str], Path]) -> None:
    """A month that the model never met is a 422 that says so, and no row."""
    table = pd.read_csv(shared_data("bank_additional_full.csv.gz"), sep=";").drop(columns="duration")
    fit_and_register(place, "bank", table.iloc[:20_000], "y")
    row = as_rows(table.iloc[[27_690]].drop(columns="y"))[0]
    refused = request(place.gateway_port, "POST", "/models/bank/predict", row)
    assert refused.status == 422
    assert [error["pointer"] for error in refused.json["errors"]] == ["/month"]
    assert prediction_rows(place.paths.live, place.registry.resolve("bank")) == []


def fit_and_register(place: Place, name: str, early: pd.DataFrame, target: str) -> pd.DataFrame:
    """Fit on a random part of the early rows, register another part as reference, return a third as live traffic.

    Only rows with levels that the reference shows are returned: the others would be refused.
    """
    shuffled = early.sample(len(early), random_state=SEED)
    fitted = shuffled.iloc[:FITTED]
    reference = shuffled.iloc[FITTED : FITTED + REFERENCE].sort_index()
    X = fitted.drop(columns=target)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    texts = make_column_selector(dtype_exclude=np.number)
    model = make_pipeline(
        make_column_transformer((encoder, texts), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=60, random_state=0),
    ).fit(X, fitted[target])
    folder = place.root / "in"
    folder.mkdir()
    skops.io.dump(model, folder / "model.skops")
    reference.to_csv(folder / "reference.csv", index=False)
    register(folder / "model.skops", folder / "reference.csv", target, name, registry=place.registry, now=1.77e9)
    wait_until(lambda: request(place.gateway_port, "GET", "/ready").status == 200, 60, "a ready gateway")
    rest = shuffled.iloc[FITTED + REFERENCE :]
    return rest[known_levels(rest, reference)].iloc[:LIVE]


def known_levels(table: pd.DataFrame, reference: pd.DataFrame) -> pd.Series[bool]:
    """Which rows have only levels that occur in the reference."""
    known = pd.Series(True, index=table.index)
    for column in table.select_dtypes(exclude=np.number):
        known &= table[column].isin(set(reference[column]))
    return known


def run(place: Place, name: str, since: str, until: str) -> Result:
    """A drift run over [since, until) by the command line, and its result."""
    done = place.run("-m", "drift_engine", "run", "--name", name, "--since", since, "--until", until)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return newest(place, name)


def newest(place: Place, name: str) -> Result:
    """The result of the run with the newest id, whatever its window."""
    store = ResultStore(place.paths.reports)
    place_of = next(found for found in store.runs() if found.model_name == name)
    return store.result(name, "1", place_of.run_id)


def latest(place: Place, name: str) -> Any:
    """The committed pointer; fails while there is none."""
    found = ResultStore(place.paths.reports).latest(name, "1")
    assert found is not None
    return found


def result(place: Place, name: str) -> Result:
    """The result that the pointer names."""
    return ResultStore(place.paths.reports).result(name, "1", latest(place, name).run_id)


def verdicts(found: Result) -> tuple[bool | None, bool | None]:
    """Data drift and prediction drift."""
    return found.data_drift.detected, found.prediction_drift.detected


def drifted(found: Result) -> set[str]:
    """The columns that moved."""
    return {column.column for column in found.data_drift.columns if column.detected}


def numbers(found: Result) -> dict[str, Any]:
    """A result without what must differ between two runs: its id, the one it replaces, and its times."""
    document: dict[str, Any] = json.loads(json.dumps(_as_json(found)))
    for name in ("run_id", "supersedes", "started_at", "finished_at", "duration_seconds"):
        del document[name]
    return document


def _as_json(found: Result) -> Any:
    from drift_engine.results.store import encode_result

    return json.loads(encode_result(found))


def check_in_prometheus(place: Place, name: str, expected: Result) -> None:
    """A real Prometheus scrapes the exporter and answers with the run's figures and the gateway's counts."""
    labels = f'{{model_name="{name}",model_version="1"}}'
    with prometheus(place.root / "prometheus", place.exporter_port) as server:
        wait_until(lambda: server.value(f"model_data_drift_detected{labels}") == 1, 30, "the verdict in Prometheus")
        assert server.value(f"model_drift_score{labels}") == expected.data_drift.score
        assert server.value(f"model_prediction_drift_detected{labels}") == 1
        assert server.value(f"model_drifted_columns_ratio{labels}") == expected.data_drift.drifted_ratio
        assert server.value(f'model_drift_outcome{{model_name="{name}",model_version="1",outcome="ok"}}') == 1
        accuracy = expected.performance.metric("accuracy")
        assert accuracy is not None
        assert {float(found["value"][1]) for found in server.query(f"model_accuracy{labels}")} == {accuracy.value}
        counted = server.value(f"sum(model_predictions_total{labels})")
        assert counted == 2 * LIVE
        scores = {found["metric"]["feature"] for found in server.query(f"model_feature_drift_score{labels}")}
        assert scores >= BANK_INDICES


def check_in_chromium(place: Place, name: str, expected: Result) -> None:
    """The library and the report render without a console error and ask nobody but the exporter for anything."""
    home = f"http://127.0.0.1:{place.exporter_port}"
    report = f"{home}/reports/{name}/1/{expected.run_id}/report.html"
    with browser(place.root / "chromium") as chromium:
        library = chromium.open(home + "/")
        assert library.errors == []
        assert [url for url in library.requested if not url.startswith(home + "/")] == []
        assert expected.run_id in library.driver.page_source
        page = chromium.open(report)
        assert page.errors == []
        assert page.requested == [report]
        for column in BANK_INDICES:
            assert column in page.text
        page.screenshot(place.root / "report.png")
