"""What cannot work is refused in one plain sentence, and nothing of it is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from gateway.registry import RegistryError, inspection
from gateway.serving import validation

from .workshop import Workshop, numbers

X = ["x0", "x1", "x2"]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def fitted(table: pd.DataFrame | None = None) -> LogisticRegression:
    train = numbers(seed=1) if table is None else table
    return LogisticRegression().fit(train[X], train["y"])


def changed(**columns: Any) -> pd.DataFrame:
    """The table of numbers with other or further columns."""
    return numbers().assign(**columns)


def refusal(workshop: Workshop, *args: Any, **options: Any) -> str:
    """The sentence with which a registration is refused; the registry must be empty then."""
    with pytest.raises(RegistryError) as refused:
        workshop.register(*args, **options)
    assert workshop.registry.names() == []
    assert not list(workshop.registry.models.glob("*/*"))
    assert not list(workshop.registry.references.rglob("*.parquet"))
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (numbers().drop(columns="y"), "the table has no target column 'y'; it has 'x0', 'x1', 'x2'"),
        (numbers().drop(columns=["x1", "x2"]), "the model was fitted on 'x1', 'x2', which the table does not have"),
        (changed(x1=np.nan), "the column 'x1' has no value at all"),
        (changed(x1=np.inf), "the column 'x1' holds infinite values, which JSON cannot carry"),
        (changed(x1=2**53 + 1), "the column 'x1' holds integers beyond 2^53, which no request can carry"),
        (changed(x1=-(2**53) - 1), "the column 'x1' holds integers beyond 2^53, which no request can carry"),
        (changed(x1=3.5e38), "the column 'x1' holds numbers beyond 3.403e+38, which no request can carry"),
        (changed(x1=-3.5e38), "the column 'x1' holds numbers beyond 3.403e+38, which no request can carry"),
        (changed(x1=pd.Timestamp("2026-01-01")), "the column 'x1' holds dates, which no request can carry"),
        (changed(x1=[f"t{row}" for row in range(400)]), "the model cannot score the table: ValueError: could not"),
        (numbers(2000).assign(x1=[f"t{row}" for row in range(2000)]), "the column 'x1' holds 2,000 different texts"),
        (changed(x1=np.where(np.arange(400) < 5, np.nan, 1.0)), "the model cannot score the table: ValueError: Input"),
        (changed(y=1), "the target 'y' holds one class only (1)"),
        (changed(y="yes"), "the target 'y' holds 'yes', but the model's classes are '0', '1'"),
        (changed(y=0.5), "the target 'y' holds '0.5', but the model's classes are '0', '1'"),
        (numbers(99), "the table has 99 rows with a known 'y'; a baseline needs 100 at least"),
        (changed(y=np.where(np.arange(400) < 50, 1.0, np.nan)), "the table has 50 rows with a known 'y'"),
        (numbers(0), "holds no rows"),
    ],
)
def test_tables_that_do_not_fit_the_model(workshop: Workshop, table: pd.DataFrame, sentence: str) -> None:
    """Each fault of a table is named with its column and its values."""
    assert sentence in refusal(workshop, fitted(), table)


def test_the_largest_values_are_those_that_the_gateway_accepts(workshop: Workshop) -> None:
    """At the limits a table is taken, and the limits are the same on both sides."""
    assert (inspection.INTEGER_MAX, inspection.NUMBER_MAX) == (validation.INTEGER_MAX, validation.NUMBER_MAX)
    table = changed(x1=2**53, x2=np.where(np.arange(400) % 2, 1, -1) * validation.NUMBER_MAX)
    train = numbers(seed=1)
    model = DecisionTreeClassifier(max_depth=1).fit(train[X], train["y"])
    assert workshop.register(model, table).features[1].maximum == 2**53


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "does not name two columns"),
        (b"x0,x1,y\n1,2,3,4,5\n", "rows have more fields"),
        (b"x0,x1,y\n1,2,3\n1,2,3,4,5\n", "is not a readable CSV"),
        (b"x0,x1,x1,y\n1,2,3,4\n", "has more than one column named x1"),
        (b"just one column\n1\n", "does not name two columns"),
        (b"x0,y\n\xff\xfe,1\n", "is neither Parquet nor a CSV in UTF-8"),
        (b"PAR1 and then nothing", "is not a readable Parquet file"),
        (b"\x1f\x8b\x08 not gzip", "cannot be read"),
    ],
)
def test_files_that_are_no_tables(workshop: Workshop, content: bytes, sentence: str) -> None:
    """Garbage, empty and ragged files are told apart from tables without a traceback."""
    path = workshop.folder / "garbage.csv"
    path.write_bytes(content)
    assert sentence in refusal(workshop, fitted(), path)


def test_a_table_that_is_not_there(workshop: Workshop) -> None:
    """A wrong path is a plain sentence."""
    assert "no such file" in refusal(workshop, fitted(), workshop.folder / "absent.csv")


def test_an_unknown_excluded_column(workshop: Workshop) -> None:
    """A typing error in EXCLUDE is not silently ignored."""
    assert "no excluded column 'x9'" in refusal(workshop, fitted(), numbers(), exclude=["x9"])


def test_an_input_of_the_model_cannot_be_excluded(workshop: Workshop) -> None:
    """The model would miss it."""
    assert "'x1', which the table does not have or it is excluded" in refusal(
        workshop, fitted(), numbers(), exclude=["x1"]
    )


def test_the_target_cannot_be_an_input(workshop: Workshop) -> None:
    """A model that was shown its answer."""
    assert "the target 'x0' is one of the model's own inputs" in refusal(workshop, fitted(), numbers(), "x0")


def test_a_model_without_names_must_match_the_number_of_columns(workshop: Workshop) -> None:
    """The sentence says how many are too many, and how to leave them out."""
    train = numbers(seed=1)
    model = LogisticRegression().fit(train[X].to_numpy(), train["y"])
    wide = changed(a=1, b=2)
    sentence = "the model takes 3 columns, the table has 5 beside the target"
    remedy = ": name the 2 to leave out with EXCLUDE= (--exclude)"
    assert refusal(workshop, model, wide) == sentence + remedy
    narrow = numbers().drop(columns="x2")
    assert refusal(workshop, model, narrow) == "the model takes 3 columns, the table has 2 beside the target"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda t: LogisticRegression(), "holds a LogisticRegression that was never fitted"),
        (lambda t: StandardScaler().fit(t[X]), "holds a StandardScaler, not a scikit-learn estimator that predicts"),
        (lambda t: {"model": 1}, "holds a dict, not a scikit-learn estimator"),
        (lambda t: KMeans(2, n_init=1).fit(t[X]), "neither a classifier nor a regressor"),
        (lambda t: LinearRegression().fit(t[X], t[["x0", "x1"]]), "only one prediction per row can be served"),
        (lambda t: RandomForestClassifier(3).fit(t[X], np.column_stack([t["y"], 1 - t["y"]])), "several outputs"),
        (lambda t: RandomForestClassifier(3).fit(t[X], t["y"] * 0), "the model knows one class only"),
        (lambda t: LogisticRegression().fit(t[X], np.where(t["y"], "a\nb", "c")), "the model has the class 'a\\nb'"),
    ],
)
def test_models_that_cannot_be_served(workshop: Workshop, make: Callable[[Any], Any], sentence: str) -> None:
    """Unfitted, of the wrong kind, with several outputs: said before anything is written."""
    assert sentence in refusal(workshop, make(numbers(seed=1)), numbers())


def test_a_text_target_for_a_regression(workshop: Workshop) -> None:
    """A regression needs numbers to be compared with."""
    train = numbers(seed=1)
    model = LinearRegression().fit(train[X], train["x0"])
    assert "predicts numbers, but the target 'y' holds texts" in refusal(workshop, model, changed(y="a"))


@pytest.mark.parametrize(("wanted", "classes"), [("maybe", 2), ("1", 3)])
def test_a_positive_class_must_be_one_of_two(workshop: Workshop, wanted: str, classes: int) -> None:
    """An unknown class, or a model with three."""
    train, table = numbers(seed=1), numbers()
    for part in (train, table):
        part["y"] = np.arange(len(part)) % classes
    assert "positive class" in refusal(workshop, fitted(train), table, positive_class=wanted)


def test_encoders_fitted_on_none(workshop: Workshop) -> None:
    """To scikit-learn None and NaN are two values; a model that knows the other one would answer wrongly in silence."""
    train = numbers(seed=1)
    train["job"] = pd.Series(np.where(np.arange(400) % 3 == 0, None, "clerk"), dtype=object)
    encode = ColumnTransformer([("job", OneHotEncoder(handle_unknown="ignore"), ["job"])], remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression()).fit(train[["job", *X]], train["y"])
    assert "OneHotEncoder was fitted on None" in refusal(workshop, model, train, kind="joblib", trust=True)


def test_a_joblib_file_is_not_opened_without_trust(workshop: Workshop) -> None:
    """Its code must not run: this one would leave a file behind."""
    mark = workshop.folder / "it ran"
    path = workshop.folder / "evil.joblib"
    path.write_bytes(b"cos\nsystem\n(S'touch \"" + str(mark).encode() + b"\"'\ntR.")
    sentence = refusal(workshop, path, numbers())
    assert "TRUST=1" in sentence
    assert "runs whatever code is in it" in sentence
    assert not mark.exists()


def test_a_skops_file_may_hold_nothing_foreign(workshop: Workshop) -> None:
    """Functions of numpy, too: some of them read files. They are named."""
    train = numbers(seed=1)
    model = make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()).fit(train[X], train["y"])
    sentence = refusal(workshop, model, numbers())
    assert "numpy.nan_to_num" in sentence
    assert "TRUST=1" in sentence


@pytest.mark.parametrize("name", ["m.skops", "m.joblib", "m.pkl"])
def test_garbage_model_files(workshop: Workshop, name: str) -> None:
    """A damaged or misnamed file is a sentence even when it is trusted."""
    path = workshop.folder / name
    path.write_bytes(b"garbage" * 9)
    assert "not a skops file" in refusal(workshop, path, numbers())
    sentence = refusal(workshop, path, numbers(), trust=True)
    assert "not a skops file" in sentence or "cannot be loaded as a joblib file" in sentence


def test_a_truncated_skops_file(workshop: Workshop) -> None:
    """Half an archive is no archive."""
    path = workshop.save_model(fitted())
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a skops file" in refusal(workshop, path, numbers())


def test_a_model_file_that_is_not_there(workshop: Workshop) -> None:
    """A wrong path is a plain sentence."""
    assert "no such file" in refusal(workshop, workshop.folder / "absent.skops", numbers())


def test_a_module_that_is_not_installed(workshop: Workshop) -> None:
    """A pickle of somebody's own class names the module that is missing."""
    path = workshop.folder / "own.pkl"
    path.write_bytes(b"cmy_company.models\nBest\n.")
    assert "needs the Python module 'my_company'" in refusal(workshop, path, numbers(), trust=True)


class Fickle(LogisticRegression):
    """Answers at random."""

    def predict(self, X: Any) -> Any:
        return np.random.default_rng().integers(0, 2, len(X))


def test_a_model_that_answers_differently_each_time(workshop: Workshop) -> None:
    """It could not be proven at load, so it is refused now."""
    train = numbers(seed=1)
    model = Fickle().fit(train[X], train["y"])
    assert "answers the same rows differently" in refusal(workshop, model, numbers(), kind="joblib", trust=True)


@pytest.mark.parametrize(
    ("name", "version"), [("../up", None), ("", None), ("a" * 65, None), ("ok", "labels"), ("ok", "../1"), ("ok", "")]
)
def test_names_that_could_leave_the_registry(workshop: Workshop, name: str, version: str | None) -> None:
    """Names become folders and parts of URLs; `labels` is the label log's."""
    assert "use 1 to" in refusal(workshop, fitted(), numbers(), name=name, version=version)


def test_a_version_never_changes(workshop: Workshop) -> None:
    """Registering over a version is refused, and the registered one stays as it is."""
    card = workshop.register(fitted(), numbers(), version="a")
    with pytest.raises(RegistryError, match="demo a is registered already"):
        workshop.register(fitted(), numbers(seed=5), version="a")
    assert workshop.registry.card("demo", "a") == card
