"""Texts that a CSV could turn into something else stay what they were when the model was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from gateway.registry import RegistryError
from gateway.registry.table import MISSING_WORDS, read_table

from .workshop import Workshop

WORDS = ["None", "NA", "null", "Oslo"]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def towns(levels: list[Any], rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """A number, a text that decides the target, and a text that does not."""
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, len(levels), rows)
    table = pd.DataFrame({"x": rng.normal(size=rows)})
    table["town"] = pd.Series(np.array(levels, dtype=object)[picked], dtype=object)
    table["other"] = pd.Series(rng.choice(np.array(["a", "b"], dtype=object), rows), dtype=object)
    table["y"] = (picked % 2 == 0).astype(int)
    return table


def encoding(*before: Any) -> Any:
    """A classifier that encodes the texts, after further steps in front of the encoder; unknown ones count for none."""
    encoder = make_pipeline(*before, OneHotEncoder(handle_unknown="ignore"))
    encoders = ColumnTransformer([("texts", encoder, ["town", "other"])], remainder="passthrough")
    return make_pipeline(encoders, LogisticRegression())


def fit(model: Any, table: pd.DataFrame) -> Any:
    return model.fit(table.drop(columns="y"), table["y"])


@pytest.mark.parametrize("before", [[], [SimpleImputer(strategy="most_frequent")]], ids=["encoder", "imputer first"])
def test_words_that_the_encoder_knows_stay_texts(workshop: Workshop, before: list[Any]) -> None:
    """A town called None is a town: the model scores as well as it did, and the reference holds the word."""
    model = fit(encoding(*before), towns(WORDS, seed=1))
    card = workshop.register(model, towns(WORDS))
    accuracy = card.baseline_metric("accuracy")
    assert accuracy is not None
    assert accuracy.value == 1.0
    town = card.features[1]
    assert (sorted(town.categories or ()), town.nullable) == (sorted(WORDS), False)
    assert set(workshop.reference(card)["town"]) == set(WORDS)


def test_words_that_the_encoder_does_not_know_are_missing_values(workshop: Workshop) -> None:
    """As `pandas.read_csv` took them when the model was fitted; a word is a text in the one column only."""
    model = fit(encoding(), towns(["None", "Oslo", np.nan], seed=1))
    table = towns(["None", "Oslo", "NA"])
    table.loc[:9, "other"] = "None"
    card = workshop.register(model, table)
    assert [(feature.name, feature.nullable) for feature in card.features[1:]] == [("town", True), ("other", True)]
    assert sorted(card.features[1].categories or ()) == ["None", "Oslo"]
    assert sorted(card.features[2].categories or ()) == ["a", "b"]


def test_a_word_that_an_imputer_fills_in_is_no_text_of_the_table(workshop: Workshop) -> None:
    """The encoder knows NA from the imputer alone, so the column stays nullable."""
    filling = SimpleImputer(strategy="constant", fill_value="NA")
    card = workshop.register(fit(encoding(filling), towns(["Oslo", np.nan], seed=1)), towns(["Oslo", "NA"]))
    assert card.features[1].nullable


def unnamed(levels: list[Any]) -> Any:
    """A model fitted on an array without names."""
    train = towns(levels, seed=1)[["town", "other", "y"]]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    return model.fit(train[["town", "other"]].to_numpy(), train["y"])


def filled(levels: list[Any]) -> Any:
    """A model that changes values on the way to its encoder."""
    return fit(encoding(FunctionTransformer()), towns(levels, seed=1))


@pytest.mark.parametrize(
    ("make", "columns"), [(unnamed, ["town", "other", "y"]), (filled, ["x", "town", "other", "y"])]
)
def test_a_word_in_a_column_that_cannot_be_told_is_refused(workshop: Workshop, make: Any, columns: list[str]) -> None:
    """The sentence names the column, the word and the remedy, which then works."""
    table = towns(WORDS)[columns]
    with pytest.raises(RegistryError, match=r"'town' holds '(NA|None|null)', which is read from a CSV as .* Parquet"):
        workshop.register(make(WORDS), table)
    card = workshop.register(make(WORDS), workshop.save_table(table, "parquet"))
    assert card.baseline[0].value == 1.0
    assert workshop.registry.versions("demo") == ["1"]


def test_empty_fields_are_missing_wherever_the_encoder_is(workshop: Workshop) -> None:
    """Only the word itself is in doubt."""
    card = workshop.register(filled(["None", "Oslo", np.nan]), towns(["Oslo", np.nan]))
    assert card.features[1].nullable


def test_a_class_may_be_called_none(workshop: Workshop) -> None:
    """A classifier's own classes are texts of the target; unlabelled rows are empty."""
    train, table = towns(["Oslo", "Rome"], seed=1), towns(["Oslo", "Rome"])
    for part in (train, table):
        part["y"] = np.where(part["y"] == 1, "None", "some")
    model = fit(encoding(), train)
    table.loc[:9, "y"] = np.nan
    card = workshop.register(model, table)
    assert card.classes == ("None", "some")
    assert workshop.reference(card)["label"].isna().sum() == 10


@pytest.mark.parametrize(
    ("levels", "kind"), [(["01234", "05678"], "integers"), (["1.5", "2.5"], "numbers"), (["True", "False"], "booleans")]
)
@pytest.mark.parametrize("before", [[], [SimpleImputer(strategy="most_frequent")]], ids=["encoder", "imputer first"])
def test_texts_that_a_csv_turns_into_numbers(
    workshop: Workshop, levels: list[Any], kind: str, before: list[Any]
) -> None:
    """Refused in plain words, also where the model would have scored them as unknown; the remedy works."""
    model, table = fit(encoding(*before), towns(levels, seed=1)), towns(levels)
    with pytest.raises(RegistryError) as refused:
        workshop.register(model, table)
    assert str(refused.value) == (
        f"the model was fitted on texts in column 'town', but the table's values are read as {kind}; "
        "register with a Parquet table that holds texts"
    )
    assert workshop.register(model, workshop.save_table(table, "parquet")).baseline[0].value == 1.0


def test_a_model_that_cannot_score_is_refused_with_a_hint(workshop: Workshop) -> None:
    """Where the encoder does not tell its columns, the model's own error is followed by what may help."""
    table = towns(["01234", "05678"])[["town", "other", "y"]]
    with pytest.raises(RegistryError, match=r"cannot score the table: .*; if the model was fitted on texts in column"):
        workshop.register(unnamed(["01234", "05678"]), table)


def test_numbers_that_the_pipeline_itself_turns_into_texts(workshop: Workshop) -> None:
    """The encoder knows texts, but the table held numbers when the model was fitted, too."""
    table = towns([1, 2])
    table["town"] = table["town"].astype(int)
    model = make_pipeline(
        ColumnTransformer([("t", make_pipeline(FunctionTransformer(texts_of), OneHotEncoder()), ["town"])]),
        LogisticRegression(),
    )
    card = workshop.register(model.fit(table[["town"]], table["y"]), table, kind="joblib", trust=True)
    assert card.features[0].type == "integer"


def texts_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Every value as text."""
    return frame.astype(str).astype(object)


@pytest.mark.parametrize("word", sorted(MISSING_WORDS))
def test_our_missing_words_are_those_of_pandas(tmp_path: Path, word: str) -> None:
    """Models were fitted on tables that pandas read."""
    path = tmp_path / "table.csv"
    path.write_text(f"a,b\n{word},x\ny,z\n")
    assert pd.read_csv(path)["a"].isna().tolist() == [True, False]
    assert read_table(path).columns["a"].missing.tolist() == [True, False]
    assert read_table(path, {"a": {word}}).columns["a"].values.tolist() == [word, "y"]


def test_pandas_has_no_further_missing_words() -> None:
    """A new one would be read otherwise than the model's table was."""
    from pandas._libs.parsers import STR_NA_VALUES

    assert {*MISSING_WORDS, ""} == set(STR_NA_VALUES)
