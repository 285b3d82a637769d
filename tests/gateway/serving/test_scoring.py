"""Compiled scoring: scikit-learn's answers bit for bit, or scikit-learn itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import treelite
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from gateway.serving.scoring import SCIKIT_LEARN, Scorer, scorer_of
from gateway.serving.scoring.compiled import BATCH_ROWS, FEW_ROWS, CompiledEnsemble
from gateway.serving.scoring.proof import edge_rows

COMPILED = f"treelite {treelite.__version__}"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Histogram boosting waits for a thread per core, for long where other work keeps the cores; as in the gateway."""
    with threadpool_limits(1):
        yield


#: Predicts one of the letters, in an order that is not that of first appearance.
LETTERS = np.array(list("dacb"))


def rows_of(count: int, seed: int, missing: float = 0.0) -> np.ndarray:
    """Rows of 8 numbers: normal ones, whole ones and one of very different sizes; some of them missing."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, 8))
    X[:, 6] = random.integers(0, 7, count) * 3
    X[:, 7] = random.lognormal(0, 8, count)
    X[random.random(X.shape) < missing] = np.nan
    return X


def two(X: np.ndarray) -> np.ndarray:
    """Two classes, as booleans."""
    return np.asarray(np.nan_to_num(X[:, 0] + X[:, 1] + X[:, 6] / 9) > 0.7)


def four(X: np.ndarray) -> np.ndarray:
    """Four classes, as letters."""
    return LETTERS[(two(X) * 2 + (np.nan_to_num(X[:, 2]) > 0)).astype(int)]


def twelve(X: np.ndarray) -> np.ndarray:
    """Twelve classes, as integers: more than numpy adds up one after the other."""
    return two(X) * 6 + np.clip(np.nan_to_num(X[:, 2]) + 3, 0, 5).astype(int)


def amount(X: np.ndarray) -> np.ndarray:
    """A positive number."""
    return np.asarray(np.exp(np.nan_to_num(X[:, 0] - X[:, 3] * X[:, 4]) / 3))


KINDS: list[tuple[Any, Callable[[np.ndarray], np.ndarray]]] = [
    (RandomForestClassifier(30, max_depth=8, random_state=0), two),
    (RandomForestClassifier(30, random_state=0, class_weight="balanced_subsample"), four),
    (RandomForestClassifier(10, max_depth=6, random_state=0), twelve),
    (RandomForestRegressor(30, random_state=0), amount),
    (ExtraTreesClassifier(30, max_depth=8, random_state=0), four),
    (ExtraTreesRegressor(30, random_state=0, bootstrap=True), amount),
    (GradientBoostingClassifier(n_estimators=30, random_state=0), two),
    (GradientBoostingClassifier(n_estimators=30, random_state=0, loss="exponential"), two),
    (GradientBoostingClassifier(n_estimators=10, random_state=0, init="zero", subsample=0.5), four),
    (GradientBoostingClassifier(n_estimators=5, random_state=0), twelve),
    (GradientBoostingRegressor(n_estimators=30, random_state=0, learning_rate=0.07), amount),
    (GradientBoostingRegressor(n_estimators=30, random_state=0, loss="quantile"), amount),
    (HistGradientBoostingClassifier(max_iter=30, random_state=0), two),
    (HistGradientBoostingClassifier(max_iter=10, random_state=0), four),
    (HistGradientBoostingClassifier(max_iter=5, random_state=0), twelve),
    (HistGradientBoostingClassifier(max_iter=20, categorical_features=[6], random_state=0), four),
    (HistGradientBoostingRegressor(max_iter=30, random_state=0), amount),
    (HistGradientBoostingRegressor(max_iter=30, random_state=0, loss="poisson"), amount),
]


def name_of(value: Any) -> str | None:
    """A readable id of a case."""
    return type(value).__name__ if hasattr(value, "fit") else getattr(value, "__name__", None)


def takes_missing(estimator: Any) -> bool:
    """Whether scikit-learn itself takes missing values there."""
    return not isinstance(estimator, GradientBoostingClassifier | GradientBoostingRegressor)


def compiled(estimator: Any, inputs: Any) -> Scorer:
    """The scorer, which must be the compiled one."""
    scorer = scorer_of(estimator, inputs)
    assert (scorer.engine, scorer.why_not_compiled) == (COMPILED, None)
    return scorer


def assert_same_bits(scorer: Scorer, estimator: Any, inputs: Any) -> None:
    """Both answer alike to the last bit: as one batch, as the most that are few and one more, and the first alone."""
    for batch in (inputs, inputs[:FEW_ROWS], inputs[: FEW_ROWS + 1], *(inputs[at : at + 1] for at in range(5))):
        for ask in ("predict", "predict_proba"):
            if hasattr(estimator, ask):
                found, expected = getattr(scorer.estimator, ask)(batch), getattr(estimator, ask)(batch)
                assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
                assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("estimator", "target"), KINDS, ids=name_of)
def test_every_kind_answers_the_same_bits(estimator: Any, target: Callable[[np.ndarray], np.ndarray]) -> None:
    """On rows that neither fitting nor the proof has seen, with missing values where scikit-learn takes them."""
    missing = 0.1 if takes_missing(estimator) else 0.0
    X = rows_of(600, seed=1, missing=missing)
    estimator.fit(X, target(X))
    scorer = compiled(estimator, rows_of(300, seed=2, missing=missing))
    fresh = rows_of(BATCH_ROWS, seed=3, missing=missing)
    assert scorer.estimator.raw(fresh) is not None
    assert_same_bits(scorer, estimator, fresh)
    assert_same_bits(scorer, estimator, rows_of(3 * BATCH_ROWS, seed=4, missing=missing))


@pytest.mark.parametrize(("estimator", "target"), KINDS, ids=name_of)
def test_no_edge_of_the_proof_is_left_to_scikit_learn(
    estimator: Any, target: Callable[[np.ndarray], np.ndarray]
) -> None:
    """A proof that asks scikit-learn twice would prove nothing."""
    X = rows_of(300, seed=1)
    ensemble = CompiledEnsemble(estimator.fit(X, target(X)))
    blocks = list(edge_rows(ensemble.ensemble, ensemble.dense(X)))
    assert len(blocks) >= (6 if takes_missing(estimator) else 3)
    assert all(ensemble.raw(block) is not None for block in blocks)


@pytest.mark.parametrize(
    ("estimator", "load"),
    [
        (RandomForestClassifier(50, random_state=0), load_breast_cancer),
        (HistGradientBoostingClassifier(max_iter=30, random_state=0), load_breast_cancer),
        (ExtraTreesClassifier(50, random_state=0), load_wine),
        (GradientBoostingClassifier(n_estimators=20, random_state=0), load_wine),
        (RandomForestRegressor(50, random_state=0), load_diabetes),
        (GradientBoostingRegressor(n_estimators=50, random_state=0), load_diabetes),
    ],
    ids=name_of,
)
def test_real_data_sets(estimator: Any, load: Callable[..., Any]) -> None:
    """Fitted on every second row of a real table, asked the others."""
    X, y = load(return_X_y=True)
    estimator.fit(X[::2], y[::2])
    assert_same_bits(compiled(estimator, X[1::2]), estimator, X[1::2])


def people(count: int, seed: int) -> pd.DataFrame:
    """Numbers and texts, both with missing values."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": np.where(random.random(count) < 0.1, np.nan, random.lognormal(3, 1, count)),
            "visits": random.integers(0, 20, count),
            "job": random.choice(np.array(["clerk", "student", "nurse", np.nan], dtype=object), count),
        }
    )


def outcome(table: pd.DataFrame) -> np.ndarray:
    """What became of them."""
    return np.where(table["visits"] + table["amount"].fillna(9) / 9 > 12, "yes", "no")


@pytest.mark.parametrize(
    "levels",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    ],
    ids=["one column per level, sparse", "levels as ranks"],
)
@pytest.mark.parametrize(
    "last",
    [
        RandomForestClassifier(20, random_state=0),
        ExtraTreesClassifier(20, random_state=0),
        GradientBoostingClassifier(n_estimators=20, random_state=0),
    ],
    ids=name_of,
)
def test_pipelines_with_categories_and_missing_values(levels: Any, last: Any) -> None:
    """The steps before the ensemble stay scikit-learn's, whatever they are, and so does what they make of a row."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["amount", "visits"]),
            ("jobs", levels, ["job"]),
        ],
        sparse_threshold=1.0,
    )
    train = people(400, seed=1)
    pipeline = make_pipeline(columns, "passthrough", last).fit(train, outcome(train))
    assert_same_bits(compiled(pipeline, people(300, seed=2)), pipeline, people(200, seed=3))


def test_a_pipeline_inside_a_pipeline_into_histogram_boosting_with_categories() -> None:
    """Ranks of texts as categories, missing ones and unknown ones among them."""
    columns = ColumnTransformer(
        [
            ("jobs", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["job"]),
            ("numbers", "passthrough", ["amount", "visits"]),
        ]
    )
    boosting = HistGradientBoostingClassifier(max_iter=20, categorical_features=[0], random_state=0)
    train = people(400, seed=1)
    pipeline = make_pipeline(columns, make_pipeline(FunctionTransformer(), boosting)).fit(train, outcome(train))
    scorer = compiled(pipeline, people(300, seed=2))
    fresh = people(200, seed=3)
    fresh.loc[::7, "job"] = "astronaut"
    assert_same_bits(scorer, pipeline, fresh)


@pytest.mark.parametrize("level", [-1.0, 1.5, 2.0, 100.0, 2.0**40, 3e38, np.nan])
def test_a_level_that_was_never_seen_is_missing(level: float) -> None:
    """As in scikit-learn's histogram boosting; treelite alone would send it the other way."""
    X = rows_of(600, seed=1, missing=0.05)
    model = HistGradientBoostingClassifier(max_iter=20, categorical_features=[6], random_state=0).fit(X, four(X))
    scorer = compiled(model, X)
    strange = rows_of(100, seed=2)
    strange[:, 6] = level
    assert_same_bits(scorer, model, strange)


def test_what_scikit_learn_refuses_is_still_refused() -> None:
    """NaN where it takes none, infinity, too few columns: its own error, not an answer."""
    X = rows_of(300, seed=1)
    boosting = GradientBoostingClassifier(n_estimators=5, random_state=0).fit(X, two(X))
    forest = RandomForestClassifier(5, random_state=0).fit(X, two(X))
    missing, infinite, narrow = X[:3].copy(), X[:3].copy(), X[:3, :7]
    missing[1, 1], infinite[1, 1] = np.nan, 1e39
    for model, rows in [(boosting, missing), (boosting, infinite), (forest, infinite), (forest, narrow)]:
        scorer = compiled(model, X)
        with np.errstate(over="ignore"), pytest.raises(ValueError) as expected:
            model.predict_proba(rows)
        with np.errstate(over="ignore"), pytest.raises(ValueError) as found:
            scorer.estimator.predict_proba(rows)
        assert str(found.value) == str(expected.value)


def test_ties_fall_as_in_scikit_learn() -> None:
    """Two classes equally likely: the first in forests and histogram boosting, the second in gradient boosting."""
    X = np.repeat([[0.0], [1.0]], 200, axis=0)
    y = np.tile([0, 1], 200)
    for model in (
        RandomForestClassifier(4, bootstrap=False),
        GradientBoostingClassifier(n_estimators=3, init="zero"),
        HistGradientBoostingClassifier(max_iter=3),
    ):
        model.fit(X, y)
        scorer = compiled(model, X)
        assert scorer.estimator.predict_proba(X[:1]).tolist() == [[0.5, 0.5]]
        assert_same_bits(scorer, model, X[::40])


class OwnForest(RandomForestClassifier):
    """A subclass, which may answer anything."""


X_SMALL = rows_of(200, seed=1)
NOT_COMPILED = [
    (LogisticRegression(), two, "LogisticRegression is none of the tree ensembles"),
    (DecisionTreeClassifier(max_depth=3), two, "DecisionTreeClassifier is none of the tree ensembles"),
    (IsolationForest(n_estimators=5, random_state=0), two, "IsolationForest is none of the tree ensembles"),
    (CalibratedClassifierCV(RandomForestClassifier(5)), two, "CalibratedClassifierCV is none of"),
    (FixedThresholdClassifier(RandomForestClassifier(5), threshold=0.2), two, "FixedThresholdClassifier is none of"),
    (OwnForest(5), two, "OwnForest is none of the tree ensembles"),
    (make_pipeline(StandardScaler(), LogisticRegression()), two, "LogisticRegression is none of"),
    (GradientBoostingRegressor(init=LinearRegression()), amount, "begins with the answers of a LinearRegression"),
]


@pytest.mark.parametrize(("estimator", "target", "reason"), NOT_COMPILED, ids=name_of)
def test_other_estimators_are_served_by_scikit_learn(
    estimator: Any, target: Callable[[np.ndarray], np.ndarray], reason: str
) -> None:
    """By exact type: a wrapper or a subclass may answer something else than the trees in it."""
    estimator.fit(X_SMALL, target(X_SMALL))
    scorer = scorer_of(estimator, X_SMALL)
    assert scorer.estimator is estimator
    assert scorer.engine == SCIKIT_LEARN
    assert reason in (scorer.why_not_compiled or "")


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        (np.array(["a", "b", "c"], dtype=object), "its categories are texts"),
        (np.array([1.5, 2.5, 4.0]), "its categories are not whole numbers"),
    ],
    ids=["texts", "fractions"],
)
def test_categories_that_the_compiled_form_cannot_hold(levels: np.ndarray, reason: str) -> None:
    """treelite keeps levels as integers."""
    table = pd.DataFrame({"x": X_SMALL[:, 0], "level": np.resize(levels, len(X_SMALL))})
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=["level"]).fit(table, two(X_SMALL))
    assert scorer_of(model, table).why_not_compiled == reason


@pytest.fixture
def forest() -> Any:
    """A forest of 20 trees, fitted on rows with missing values."""
    X = rows_of(600, seed=1, missing=0.1)
    return RandomForestClassifier(20, max_depth=8, random_state=0).fit(X, four(X))


@pytest.mark.parametrize(
    ("field", "damage"),
    [
        ("threshold", lambda values: np.nextafter(values, np.inf)),
        ("split_index", lambda values: (values + 1) % 8),
        ("default_left", lambda values: 1 - values),
    ],
    ids=["threshold one bit larger", "another feature", "missing goes the other way"],
)
def test_a_compiled_form_with_one_wrong_node_is_refused(
    forest: Any, field: str, damage: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single node of a single tree, deep down, where hardly any row would show it."""
    genuine = treelite.sklearn.import_model

    def tampered(model: Any) -> Any:
        found = genuine(model)
        accessor = found.get_tree_accessor(13)
        values = accessor.get_field(field).copy()
        node = np.flatnonzero(accessor.get_field("cleft") != -1)[-1]
        values[node] = damage(values[node])
        accessor.set_field(field, values)
        return found

    monkeypatch.setattr(treelite.sklearn, "import_model", tampered)
    scorer = scorer_of(forest, rows_of(300, seed=2, missing=0.1))
    assert scorer.estimator is forest
    assert (scorer.engine, scorer.why_not_compiled) == (
        SCIKIT_LEARN,
        "tree 13 of the compiled form is not the one that was fitted",
    )


def below(rows: np.ndarray) -> np.ndarray:
    """Rows one step of single precision lower."""
    return np.nextafter(rows.astype(np.float32), np.float32(-np.inf)).astype(np.float64)


def above(rows: np.ndarray) -> np.ndarray:
    """Rows one step of single precision higher, as if `<=` were `<`."""
    return np.nextafter(rows.astype(np.float32), np.float32(np.inf)).astype(np.float64)


def clipped(rows: np.ndarray) -> np.ndarray:
    """Rows whose large numbers overflow."""
    return np.where(np.abs(rows) > 1e38, -rows, rows)


@pytest.mark.parametrize("walk", [below, above, clipped, np.nan_to_num], ids=name_of)
def test_a_walk_that_errs_at_an_edge_only_is_refused(
    forest: Any, walk: Callable[[np.ndarray], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes are right and so are ordinary rows; the proof has rows for each of these edges."""
    genuine = treelite.gtil.predict_leaf
    monkeypatch.setattr(treelite.gtil, "predict_leaf", lambda model, rows, nthread: genuine(model, walk(rows)))
    scorer = scorer_of(forest, rows_of(300, seed=2))
    assert scorer.estimator is forest
    assert (scorer.why_not_compiled or "").startswith("the compiled form differs from scikit-learn in predict")


def test_a_compiler_that_fails_leaves_scikit_learn_serving(
    forest: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises; the log keeps the traceback."""

    def fail(model: Any) -> Any:
        raise treelite.TreeliteError("no such luck")

    monkeypatch.setattr(treelite.sklearn, "import_model", fail)
    scorer = scorer_of(forest, rows_of(300, seed=2))
    assert scorer == Scorer(forest, SCIKIT_LEARN, "compiling failed with TreeliteError: no such luck")
    assert "no such luck" in caplog.text


def test_a_forest_that_would_take_too_much_memory_is_not_compiled(forest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts nodes."""
    monkeypatch.setattr("gateway.serving.scoring.compiled.NODES_MAX", 100)
    assert "nodes, more than 100" in (scorer_of(forest, rows_of(300, seed=2)).why_not_compiled or "")


def test_threads_score_at_once_without_disturbing_each_other(forest: Any) -> None:
    """Eight threads, rows of their own, thousands of answers: every one is scikit-learn's."""
    X = rows_of(400, seed=3, missing=0.1)
    scorer, expected = compiled(forest, X), forest.predict_proba(X)
    wrong: list[int] = []

    def score(thread: int) -> None:
        for position in [*range(thread, 400, 8)] * 10:
            found = scorer.estimator.predict_proba(X[position : position + 1 + thread])
            if found.tobytes() != expected[position : position + 1 + thread].tobytes():
                wrong.append(position)

    threads = [threading.Thread(target=score, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
