"""A loaded model: what it answers does not depend on what scores its rows, and it knows what a row costs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from gateway.registry.check_rows import read_check_rows
from gateway.serving.scoring import Scorer
from gateway.serving.scoring.model import LoadedModel
from tests.gateway.registry.workshop import Workshop, mixed, numbers

#: As `make_app` does: scikit-learn says so on every row of the proven array form.
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


def prices(rows: int, seed: int) -> pd.DataFrame:
    """Three numbers and one that depends on them."""
    table = numbers(rows, seed)
    return table.assign(y=table["x0"] * 3 + table["x1"] ** 2)


def people(rows: int, seed: int) -> pd.DataFrame:
    """Numbers, texts and a boolean, some of them missing, as a CSV file is read."""
    table = mixed(rows, seed)
    return table.assign(visits=table["visits"].astype(float), job=table["job"].where(table["job"].notna(), np.nan))


def of_everything() -> Any:
    """A pipeline that selects columns by name and takes the missing as they are."""
    columns = ColumnTransformer(
        [("levels", OneHotEncoder(handle_unknown="ignore"), ["job", "city", "known"])], remainder="passthrough"
    )
    return make_pipeline(columns, RandomForestClassifier(20, random_state=0))


CASES = [
    (RandomForestClassifier(20, random_state=0), numbers, "array"),
    (HistGradientBoostingClassifier(max_iter=10, random_state=0), numbers, "array"),
    (GradientBoostingRegressor(n_estimators=20, random_state=0), prices, "array"),
    (of_everything(), people, "dataframe"),
]


@pytest.mark.parametrize(("estimator", "table", "form"), CASES, ids=["forest", "histogram", "regression", "pipeline"])
def test_answers_do_not_depend_on_what_scores_them(estimator: Any, table: Any, form: str, tmp_path: Path) -> None:
    """Alone, as a batch, and as a batch that is left to scikit-learn: predictions, texts, confidences, all equal."""
    workshop = Workshop(tmp_path)
    train = table(600, seed=1)
    estimator.fit(train.drop(columns="y"), train["y"])
    registered = workshop.register(estimator, table(600, seed=2))
    assert registered.input_form == form
    model = LoadedModel.load(workshop.registry, registered.name, registered.version)
    assert model.scorer.engine.startswith("treelite ")
    check = read_check_rows(workshop.registry.folder("demo", "1") / registered.check_rows.file)
    plain = LoadedModel(registered, Scorer(estimator))
    for asked_twice in (False, True):
        model.card = plain.card = replace(registered, prediction_is_argmax=not asked_twice)
        for rows in (check.rows, check.rows[:40], *([row] for row in check.rows[:10])):
            assert model.answer(rows) == plain.answer(rows)


def test_a_row_costs_what_it_costs(tmp_path: Path) -> None:
    """A compiled forest's row is measured well under what scikit-learn takes for it."""
    workshop = Workshop(tmp_path)
    train = numbers(600, seed=1)
    forest = RandomForestClassifier(100, random_state=0).fit(train.drop(columns="y"), train["y"])
    workshop.register(forest, numbers(600, seed=2))
    model = LoadedModel.load(workshop.registry, "demo", "1")
    assert 0 < model.row_seconds < 1e-3


def needs_a_table(X: Any) -> Any:
    """Raises ValueError for one row."""
    if len(X) == 1:
        raise ValueError("one row is no table")
    return X


def test_a_model_that_fails_on_a_single_row_has_no_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is loaded, since batches work; nobody may take it for a fast one."""
    workshop = Workshop(tmp_path)
    train = prices(600, seed=1)
    pipeline = make_pipeline(FunctionTransformer(needs_a_table), LinearRegression())
    pipeline.fit(train.drop(columns="y"), train["y"])
    workshop.register(pipeline, prices(600, seed=2), kind="joblib", trust=True)
    model = LoadedModel.load(workshop.registry, "demo", "1")
    assert model.row_seconds == math.inf
    assert "one row is no table" in caplog.text


def test_what_is_not_compiled_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the log of the gateway, once per load."""
    workshop = Workshop(tmp_path)
    train = prices(600, seed=1)
    workshop.register(LinearRegression().fit(train.drop(columns="y"), train["y"]), prices(600, seed=2))
    with caplog.at_level("INFO", logger="gateway.models"):
        model = LoadedModel.load(workshop.registry, "demo", "1")
    assert model.scorer.engine == "scikit-learn"
    assert "demo 1: scikit-learn (LinearRegression is none of the tree ensembles that are compiled), " in caplog.text
