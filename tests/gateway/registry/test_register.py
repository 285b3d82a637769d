"""Registering infers all of a model from two files, whatever kind of scikit-learn model it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from gateway.registry import Feature
from gateway.registry.artifact import load_verified

from .workshop import NOW, Workshop, mixed, numbers

X = ["x0", "x1", "x2"]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def mixed_pipeline(last: BaseEstimator, encoder: BaseEstimator | None = None) -> Pipeline:
    """Selects columns by name, imputes, encodes."""
    levels = encoder or OneHotEncoder(handle_unknown="ignore")
    columns = [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["amount", "visits"]),
        ("levels", make_pipeline(SimpleImputer(strategy="most_frequent"), levels), ["job", "city"]),
        ("flags", "passthrough", ["known"]),
    ]
    return make_pipeline(ColumnTransformer(columns), last)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(10, random_state=0, n_jobs=2),
        HistGradientBoostingClassifier(max_iter=10),
        LogisticRegression(),
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
        VotingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(5))], voting="soft", n_jobs=2),
        TunedThresholdClassifierCV(LogisticRegression(), cv=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_classifiers_of_numbers_take_plain_arrays(workshop: Workshop, model: BaseEstimator) -> None:
    """Each of these is proven to answer alike from an array, is stored as skops, and answers again as registered."""
    train = numbers(seed=1)
    card = workshop.register(model.fit(train[X], train["y"]), numbers())
    assert (card.task, card.classes, card.positive_class) == ("binary", (0, 1), 1)
    assert (card.input_form, card.artifact.kind, card.has_probabilities) == ("array", "skops", True)
    assert [feature.type for feature in card.features] == ["number"] * 3
    assert card.reference_rows == 400
    assert card.baseline_metric("accuracy").value > 0.7
    workshop.prove(card)


def test_the_card_says_what_the_model_and_the_table_are(workshop: Workshop) -> None:
    """Types, nullability, levels in order of appearance, ranges; nothing of it was told."""
    train, table = mixed(seed=1), mixed()
    card = workshop.register(mixed_pipeline(LogisticRegression()).fit(train.drop(columns="y"), train["y"]), table)
    amount, visits, job, city, known = card.features
    assert amount == Feature("amount", "number", True, None, table["amount"].min(), table["amount"].max())
    assert visits == Feature("visits", "integer", True, None, 0.0, 19.0)
    assert job == Feature("job", "category", True, tuple(table["job"].dropna().unique()))
    assert city == Feature("city", "category", False, tuple(table["city"].unique()))
    assert known == Feature("known", "boolean")
    assert (card.classes, card.positive_class, card.target) == (("no", "yes"), "yes", "y")
    assert (card.input_form, card.estimator) == ("dataframe", "Pipeline(ColumnTransformer, LogisticRegression)")
    assert sum(card.importances.values()) == pytest.approx(1.0)
    assert max(card.importances, key=card.importances.get) in ("visits", "known")
    assert workshop.registry.card("demo", "1") == card
    workshop.prove(card)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("text_type", ["str", "object", "category"])
def test_a_pipeline_fitted_on_any_text_type_answers_alike(workshop: Workshop, text_type: str, kind: str) -> None:
    """Texts as pandas 3's str, as objects with NaN, or as categories at fitting: the served frame suits all."""
    train, table = mixed(seed=1), mixed()
    for name in ("job", "city"):
        train[name] = train[name].astype("str").astype(text_type)
    model = mixed_pipeline(RandomForestClassifier(10, random_state=0)).fit(train.drop(columns="y"), train["y"])
    card = workshop.register(model, workshop.save_table(table, kind))
    inputs = table.drop(columns="y")
    for name in ("job", "city"):
        inputs[name] = inputs[name].astype("str").astype(text_type)
    written = workshop.reference(card)
    assert list(written["prediction"]) == list(model.predict(inputs))
    np.testing.assert_allclose(written["probability_yes"], model.predict_proba(inputs)[:, 1], atol=1e-12)
    workshop.prove(card)


def test_boosted_trees_with_native_categories(workshop: Workshop) -> None:
    """Histogram boosting that takes categories from the dtype is served from texts."""
    train = mixed(seed=1).drop(columns="known").astype({"job": "category", "city": "category"})
    model = HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype")
    model.fit(train.drop(columns="y"), train["y"])
    card = workshop.register(model, mixed().drop(columns="known"))
    assert card.input_form == "dataframe"
    workshop.prove(card)


def test_missing_texts_reach_an_encoder_that_knows_them(workshop: Workshop) -> None:
    """An encoder without an imputer has NaN as a level of its own."""
    train = mixed(seed=1)
    columns = ColumnTransformer([("levels", OrdinalEncoder(), ["job", "city"]), ("flag", "passthrough", ["known"])])
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5)).fit(train.drop(columns="y"), train["y"])
    workshop.prove(workshop.register(model, mixed()))


def test_a_regression(workshop: Workshop) -> None:
    """Numbers in, numbers out: no classes, four figures with bounds, predictions as doubles."""
    train, table = numbers(seed=1), numbers()
    for part in (train, table):
        part["price"] = 3 * part["x0"] - part["x1"] + np.random.default_rng(1).normal(size=len(part))
    model = RandomForestRegressor(10, random_state=0).fit(train[X], train["price"])
    card = workshop.register(model, table.drop(columns="y"), "price")
    assert (card.task, card.classes, card.positive_class, card.has_probabilities) == ("regression", (), None, False)
    assert [metric.name for metric in card.baseline] == ["mae", "rmse", "bias", "r2"]
    written = workshop.reference(card)
    assert written.dtypes[["label", "prediction"]].tolist() == [np.float64, np.float64]
    assert list(written.columns) == [*X, "label", "prediction"]
    workshop.prove(card)


def test_a_regression_in_a_wrapper(workshop: Workshop) -> None:
    """A target transformed on the way in and out is served as the original."""
    train = numbers(seed=1)
    model = TransformedTargetRegressor(LinearRegression(), transformer=StandardScaler())
    workshop.prove(workshop.register(model.fit(train[X], train["x0"] * 2 + train["y"]), numbers()))


def test_several_text_classes(workshop: Workshop) -> None:
    """Three classes: a probability column per class, no positive class."""
    train, table = numbers(seed=1), numbers()
    for part in (train, table):
        part["y"] = np.array(["low", "mid", "high"])[np.digitize(part["x0"], [-0.5, 0.5])]
    card = workshop.register(LogisticRegression().fit(train[X], train["y"]), table)
    assert (card.task, card.classes, card.positive_class) == ("multiclass", ("high", "low", "mid"), None)
    written = workshop.reference(card)
    assert list(written.columns[4:]) == [
        "prediction",
        "confidence",
        "probability_high",
        "probability_low",
        "probability_mid",
    ]
    np.testing.assert_array_equal(written["confidence"], written.iloc[:, -3:].max(axis=1))
    workshop.prove(card)


def test_a_classifier_without_probabilities(workshop: Workshop) -> None:
    """LinearSVC has none: no confidence, no AUC, not an argmax."""
    train = numbers(seed=1)
    card = workshop.register(LinearSVC().fit(train[X], train["y"]), numbers())
    assert (card.has_probabilities, card.prediction_is_argmax) == (False, False)
    assert list(workshop.reference(card).columns) == [*X, "label", "prediction"]
    assert card.baseline_metric("roc_auc") is None
    workshop.prove(card)


def test_a_moved_threshold_is_not_an_argmax(workshop: Workshop) -> None:
    """A classifier that decides elsewhere than at one half needs `predict` itself; confidence is its choice's."""
    train, table = numbers(seed=1), numbers()
    for part in (train, table):
        part["y"] = (part["x0"] > 1.2).astype(int)
    model = TunedThresholdClassifierCV(LogisticRegression(C=0.01), cv=3).fit(train[X], train["y"])
    card = workshop.register(model, table)
    written = workshop.reference(card)
    assert not card.prediction_is_argmax
    chosen = np.where(written["prediction"] == "1", written["probability_1"], written["probability_0"])
    np.testing.assert_array_equal(written["confidence"], chosen)
    assert written["confidence"].min() < 0.5


@pytest.mark.parametrize(
    ("labels", "classes", "positive"),
    [
        (np.array([False, True]), (False, True), True),
        (np.array([0.0, 1.0]), (0, 1), 1),
        (np.array(["UP", "DOWN"]), ("DOWN", "UP"), "UP"),
        (np.array(["left", "right"]), ("left", "right"), "right"),
        (np.array([1, 2]), (1, 2), 1),
    ],
)
def test_classes_keep_their_json_type(workshop: Workshop, labels: np.ndarray, classes: tuple, positive: object) -> None:
    """Booleans stay booleans, whole floats are integers, and the class that sounds positive is the positive one."""
    train, table = numbers(seed=1), numbers()
    model = LogisticRegression().fit(train[X], labels[train["y"]])
    table["y"] = labels[table["y"]]
    card = workshop.register(model, table)
    assert (card.classes, card.positive_class) == (classes, positive)
    assert [type(label) for label in card.classes] == [type(label) for label in classes]
    assert workshop.registry.card("demo", "1").classes == classes
    assert card.baseline_metric("accuracy").value > 0.7


def test_rows_without_a_label_stay_in_the_reference(workshop: Workshop) -> None:
    """Unknown outcomes are null and count in drift, not in the baseline; integers with gaps stay integers."""
    train, table = numbers(seed=1), numbers()
    table["y"] = table["y"].astype("Int64")
    table.loc[:99, "y"] = pd.NA
    model = LogisticRegression().fit(train[X], train["y"])
    card = workshop.register(model, table)
    written = workshop.reference(card)
    assert written["label"].isna().sum() == 100
    assert set(written["label"].dropna()) == {"0", "1"}
    assert card.reference_rows == 400
    known = table["y"].notna()
    expected = np.mean(model.predict(table.loc[known, X]) == table.loc[known, "y"].astype(int))
    assert card.baseline_metric("accuracy").value == pytest.approx(expected)


def test_the_reference_keeps_rows_in_order_and_values_exact(workshop: Workshop) -> None:
    """Order is time for a series; a float is the one in the file to the last bit; taken names are moved."""
    train, table = numbers(seed=1), numbers()
    table["x0"] = table["x0"] * np.pi
    renamed = {"x1": "timestamp", "x2": "probability_up"}
    model = LogisticRegression().fit(train[X].rename(columns=renamed), train["y"])
    written = workshop.reference(workshop.register(model, table.rename(columns=renamed)))
    assert list(written.columns[:3]) == ["x0", "feature.timestamp", "feature.probability_up"]
    for column, original in zip(written.columns, X, strict=False):
        np.testing.assert_array_equal(written[column], table[original])
    assert list(written["label"]) == list(table["y"].astype(str))


def test_extra_columns_are_ignored_when_the_model_knows_its_names(workshop: Workshop) -> None:
    """The model's order counts, not the table's, and columns it was not fitted on are left out."""
    train, table = numbers(seed=1), numbers()
    table.insert(0, "customer", [f"c{row}" for row in range(len(table))])
    model = LogisticRegression().fit(train[["x2", "x0"]], train["y"])
    assert workshop.register(model, table).feature_names == ("x2", "x0")


def test_a_model_without_names_takes_the_tables_order(workshop: Workshop) -> None:
    """Fitted on a bare array: all columns but the target and the excluded ones."""
    train, table = numbers(seed=1), numbers()
    table.insert(0, "customer", [f"c{row}" for row in range(len(table))])
    model = LogisticRegression().fit(train[X].to_numpy(), train["y"])
    card = workshop.register(model, table, exclude=["customer"])
    assert card.feature_names == ("x0", "x1", "x2")
    workshop.prove(card)


def test_versions_count_up_and_the_first_one_serves(workshop: Workshop) -> None:
    """The first version of a name serves, the first model is the default, every change is in the audit file."""
    train, table = numbers(seed=1), workshop.save_table(numbers())
    model = workshop.save_model(LogisticRegression().fit(train[X], train["y"]))
    registered = [
        workshop.register(model, table),
        workshop.register(model, table),
        workshop.register(model, table, version="2026-11"),
        workshop.register(model, table, name="other"),
    ]
    assert [(card.name, card.version) for card in registered] == [
        ("demo", "1"), ("demo", "2"), ("demo", "2026-11"), ("other", "1"),
    ]  # fmt: skip
    serving = workshop.registry.serving()
    assert (serving.default_model, serving.versions) == ("demo", {"demo": "1", "other": "1"})
    assert workshop.registry.resolve().version == "1"
    audit = (workshop.registry.models / "audit.jsonl").read_text().splitlines()
    assert len(audit) == 4
    assert '"serves":"true"' in audit[0]
    assert '"serves":"false"' in audit[1]


def test_registering_twice_gives_the_same_card(workshop: Workshop) -> None:
    """Same files, same figures: bootstrap and permutations are seeded."""
    train, table = mixed(seed=1), workshop.save_table(mixed())
    pipeline = mixed_pipeline(LogisticRegression()).fit(train.drop(columns="y"), train["y"])
    model = workshop.save_model(pipeline)
    first, second = workshop.register(model, table), workshop.register(model, table)
    assert (first.baseline, first.importances, first.reference) == (
        second.baseline,
        second.importances,
        # The file is named after its version; its bytes are the same.
        type(first.reference)("1.parquet", second.reference.sha256, second.reference.bytes),
    )


def test_importances_follow_the_model(workshop: Workshop) -> None:
    """Forests say them, linear models by coefficient times spread, other models by permutation."""
    train, table = numbers(seed=1), workshop.save_table(numbers())
    for model in (RandomForestClassifier(20, random_state=0), LogisticRegression(), KNeighborsClassifier()):
        shares = workshop.register(model.fit(train[X], train["y"]), table).importances
        assert sum(shares.values()) == pytest.approx(1.0)
        assert min(shares["x0"], shares["x1"]) > shares["x2"] >= 0


def test_the_bank_file(workshop: Workshop, shared_data: Callable[[str], Path]) -> None:
    """The real thing: 19 mixed columns, semicolons, gzip; `duration` leaks and is not among the model's inputs."""
    table = pd.read_csv(shared_data("bank_additional_full.csv.gz"), sep=";")
    train = table.iloc[:20_000].sample(2000, random_state=0)
    inputs = train.drop(columns=["y", "duration"])
    texts = [name for name in inputs if not pd.api.types.is_numeric_dtype(inputs[name])]
    encode = ColumnTransformer([("texts", OneHotEncoder(handle_unknown="ignore"), texts)], remainder="passthrough")
    model = make_pipeline(encode, RandomForestClassifier(10, random_state=0)).fit(inputs, train["y"])
    card = workshop.register(model, shared_data("bank_additional_full.csv.gz"), name="bank")
    assert card.reference_rows == 41_188
    assert card.feature_names == tuple(inputs.columns)
    types = {feature.name: feature.type for feature in card.features}
    assert (types["age"], types["job"], types["euribor3m"]) == ("integer", "category", "number")
    assert len(workshop.reference(card)) == 41_188
    workshop.prove(card)


def test_n_jobs_is_pinned_inside_the_stored_model(workshop: Workshop) -> None:
    """Pools are set to one thread however deep they lie, in fitted parts too."""
    train = numbers(seed=1)
    inner = RandomForestClassifier(5, n_jobs=2, random_state=0)
    voting = VotingClassifier([("forest", inner)], voting="soft", n_jobs=2)
    model = GridSearchCV(make_pipeline(StandardScaler(), voting), {"votingclassifier__weights": [[1]]}, n_jobs=2, cv=2)
    card = workshop.register(model.fit(train[X], train["y"]), numbers())
    stored = load_verified(workshop.registry.folder("demo", "1"), card)
    best = stored.best_estimator_[-1]
    assert [part.n_jobs for part in (stored, best, best.estimators_[0])] == [1, 1, 1]


def test_what_skops_must_not_hold_stays_joblib(workshop: Workshop) -> None:
    """A trusted pipeline with a function of numpy's is kept as joblib, and the card says so."""
    train = numbers(seed=1)
    model = make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()).fit(train[X], train["y"])
    card = workshop.register(model, numbers(), kind="joblib", trust=True)
    assert (card.artifact.kind, card.artifact.record.file, card.artifact.trusted_types) == (
        "joblib",
        "model.joblib",
        (),
    )
    workshop.prove(card)


def test_times_are_of_the_caller(workshop: Workshop) -> None:
    """The card carries the injected clock, in UTC with microseconds."""
    train = numbers(seed=1)
    card = workshop.register(LogisticRegression().fit(train[X], train["y"]), numbers())
    assert NOW == 1_770_000_000.0
    assert card.created_at == "2026-02-02T02:40:00.000000Z"
