"""The real files of `../shared/data` as models with labelled answers: what a registry and a log would hold of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.cards import unfitted_card
from demo.train import model_for
from drift_engine.table import Column, Table, number_column, text_column
from gateway.registry import ModelCard
from gateway.registry.card import Feature, Task
from gateway.registry.columns import CONFIDENCE, LABEL, PREDICTION, class_text, feature_column, probability_columns

Find = Callable[[str], Path]


@dataclass(frozen=True)
class Part:
    """A model fitted on one part of a file, a reference of other rows, and windows of yet other ones.

    `changed`: something is known to differ between reference and windows.
    """

    name: str
    card: ModelCard
    reference: Table
    windows: tuple[Table, ...]
    changed: bool


def parts(find: Find, repeats: int) -> Iterator[Part]:
    """Random splits of one period, each `repeats` times; clean stretches of time; and known changes."""
    bank, elec2, cards, ulb = _bank(find), _elec2(find), _cards(find), _ulb(find)
    for seed in range(repeats):
        yield _split("bank, rows 0-19,999, random splits", bank[:20_000], "y", (6000, 6000), 1000, seed)
        yield _split("elec2, rows 0-17,423, random splits", elec2[:17_424], "class", (6000, 6000), 1000, seed)
        yield _split("ulb, both days, random splits", ulb, "Class", (1300, 1300), 1000, seed)
    before, known, later = cards.loc[30:59], cards.loc[60:89], cards.loc[90:149]
    for rows in (1000, 5000):
        yield _part(f"fdh, days 90-149 in order, {rows:,} rows", before, known, later, "TX_FRAUD", rows)
    early = bank[:20_000].sample(frac=1, random_state=0)
    yield _part("bank, 2009 and later", early[:6000], early[6000:12_000], bank[27_690:], "y", 1000, changed=True)
    early = elec2[:17_424].sample(frac=1, random_state=0)
    yield _part(
        "elec2, after row 17,424", early[:6000], early[6000:12_000], elec2[17_424:], "class", 1000, changed=True
    )


def regression_parts(find: Find, repeats: int) -> Iterator[Part]:
    """A number to predict: the demand of elec2, random splits of the time before the market changed."""
    frame = pd.read_csv(find("elec2.csv.gz")).drop(columns=["date", "class"])[:17_424]
    frame = frame.drop(columns=["vicprice", "vicdemand", "transfer"])
    for seed in range(repeats):
        yield _split("elec2, demand, random splits", frame, "nswdemand", (6000, 6000), 1000, seed)


def card_of(model: Any, frame: pd.DataFrame, target: str) -> ModelCard:
    """A card as registering writes it, without files."""
    classes = tuple(
        value.item() if isinstance(value, np.generic) else value for value in getattr(model, "classes_", ())
    )
    task: Task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    features = tuple(
        Feature(str(name), "number" if pd.api.types.is_numeric_dtype(frame[name]) else "category")
        for name in frame.columns.drop(target)
    )
    return unfitted_card(
        "benchmark",
        features,
        task=task,
        target=target,
        classes=classes,
        positive_class=classes[-1] if task == "binary" else None,
        has_probabilities=bool(classes),
        input_form="dataframe",
        estimator=type(model).__name__,
    )


def answered(model: Any, card: ModelCard, frame: pd.DataFrame) -> Table:
    """Rows as the log has them: inputs, the model's answers, and their labels."""
    columns: dict[str, Column] = {}
    for feature in card.features:
        values = frame[feature.name]
        columns[feature_column(feature.name)] = (
            number_column(pa.array(values.astype(float).to_numpy()))
            if feature.type == "number"
            else text_column(pa.array(values.astype(object).tolist(), pa.string()))
        )
    inputs = frame[list(card.feature_names)]
    predictions, labels = model.predict(inputs), frame[card.target].tolist()
    if card.task == "regression":
        columns[PREDICTION] = number_column(pa.array(np.asarray(predictions, dtype=np.float64)))
        columns[LABEL] = number_column(pa.array(np.asarray(labels, dtype=np.float64)))
        return Table(columns, len(frame))
    probabilities = model.predict_proba(inputs)
    for name, column in zip(probability_columns(card), probabilities.T, strict=True):
        columns[name] = number_column(pa.array(column))
    columns[CONFIDENCE] = number_column(pa.array(probabilities.max(axis=1)))
    columns[PREDICTION] = text_column(pa.array([class_text(value) for value in predictions.tolist()]))
    columns[LABEL] = text_column(pa.array([class_text(value) for value in labels]))
    return Table(columns, len(frame))


def _split(name: str, frame: pd.DataFrame, target: str, sizes: tuple[int, int], window: int, seed: int) -> Part:
    shuffled = frame.sample(frac=1, random_state=seed)
    fitted, known = sizes
    return _part(name, shuffled[:fitted], shuffled[fitted : fitted + known], shuffled[fitted + known :], target, window)


def _part(
    name: str,
    fitted: pd.DataFrame,
    reference: pd.DataFrame,
    live: pd.DataFrame,
    target: str,
    window: int,
    *,
    changed: bool = False,
) -> Part:
    model = model_for(fitted, list(fitted.columns.drop(target)), target)
    model.fit(fitted.drop(columns=target), fitted[target])
    card = card_of(model, fitted, target)
    rows = answered(model, card, live)
    # What is left over at the end is no window of that size.
    windows = tuple(rows.take(np.arange(begin, begin + window)) for begin in range(0, rows.rows - window + 1, window))
    return Part(name, card, answered(model, card, reference), windows, changed)


def _bank(find: Find) -> pd.DataFrame:
    return pd.read_csv(find("bank_additional_full.csv.gz"), sep=";").drop(columns="duration")


def _elec2(find: Find) -> pd.DataFrame:
    return pd.read_csv(find("elec2.csv.gz")).drop(columns=["date", "nswprice"])


def _cards(find: Find) -> pd.DataFrame:
    """The simulated cards' features and label, indexed by day."""
    frame = pd.read_parquet(find("fdh_simulated_customers_mod10.parquet"))
    names = [name for name in frame if "WINDOW" in str(name)]
    names += ["TX_AMOUNT", "TX_DURING_NIGHT", "TX_DURING_WEEKEND", "TX_FRAUD"]
    return frame.set_index(frame["TX_TIME_DAYS"].astype(int))[names]


def _ulb(find: Find) -> pd.DataFrame:
    return pd.read_csv(find("ulb_creditcard_sample.csv.gz")).drop(columns="Time")
