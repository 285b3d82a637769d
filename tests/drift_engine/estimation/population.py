"""Answers of models whose true quality is known, as tables."""

from __future__ import annotations

import numpy as np

from drift_engine.table import Column, Floats, NumberColumn, Table, TextColumn
from gateway.registry import ModelCard
from gateway.registry.card import Feature
from tests.drift_engine.scenario import binary_card, regression_card

SCORED = binary_card(features=(Feature("x", "number"),))
NUMBERS = regression_card()


def scored(rng: np.random.Generator, rows: int, *, confident: float = 1.0, flipped: float = 0.0) -> Table:
    """Answers of a logistic model on one number. `confident` times its true log odds is what it claims.

    `flipped`: part of the labels that is the other way round, which is concept drift.
    """
    x = rng.normal(size=rows)
    odds = 1.5 * x - 0.5
    positive = rng.random(rows) < 1 / (1 + np.exp(-odds))
    positive ^= rng.random(rows) < flipped
    claimed = 1 / (1 + np.exp(-confident * odds))
    return table(x, claimed, positive)


def table(x: Floats, score: Floats, positive: np.ndarray) -> Table:
    """One number, probabilities of "no" and "yes", the likelier one as the answer, and the labels."""
    levels = ("no", "yes")
    columns: dict[str, Column] = {
        "x": NumberColumn(x),
        "probability_no": NumberColumn(1 - score),
        "probability_yes": NumberColumn(score),
        "prediction": TextColumn((score > 0.5).astype(np.int32), levels),
        "label": TextColumn(positive.astype(np.int32), levels),
    }
    return Table(columns, len(x))


def numbers(rng: np.random.Generator, rows: int, *, x_mean: float = 0.0, worse: float = 1.0) -> Table:
    """Answers of a regression whose error grows with one of its inputs; `worse` times so large is concept drift."""
    amount, age = rng.normal(x_mean, 1, rows), rng.integers(18, 80, rows).astype(np.float64)
    truth = amount + age / 80
    error = worse * np.exp(amount / 2) * rng.normal(size=rows)
    levels = ("de", "fr", "it")
    columns: dict[str, Column] = {
        "amount": NumberColumn(amount),
        "age": NumberColumn(age),
        "country": TextColumn(rng.integers(0, 3, rows).astype(np.int32), levels),
        "member": TextColumn(rng.integers(0, 2, rows).astype(np.int32), ("false", "true")),
        "noise": NumberColumn(np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))),
        "prediction": NumberColumn(truth + error),
        "label": NumberColumn(truth),
    }
    return Table(columns, rows)


def without_labels(rows: Table) -> Table:
    """The same rows before their labels came."""
    return Table({name: column for name, column in rows.columns.items() if name != "label"}, rows.rows)


def card_with(classes: tuple[str, ...]) -> ModelCard:
    """A card of a classifier on one number."""
    binary = len(classes) == 2
    return binary_card(
        features=(Feature("x", "number"),),
        task="binary" if binary else "multiclass",
        classes=classes,
        positive_class=classes[-1] if binary else None,
    )
