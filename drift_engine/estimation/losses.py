"""Direct loss estimation (DLE): how wrong a regression model's answers are, learned from where it was wrong before.

Boosted trees learn the absolute and the squared error of the reference's labelled rows from the inputs and the answer.
Each row of the reference is predicted by trees that did not see it, so that what is known of the estimate's own error
is honest; a row of a window is predicted by all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from drift_engine.estimation.errors import CannotEstimate
from drift_engine.settings import DriftSettings
from drift_engine.table import Floats, NumberColumn, Table, TextColumn
from gateway.registry import Metric, ModelCard
from gateway.registry.columns import LABEL, PREDICTION, feature_columns
from gateway.registry.intervals import Z

_FOLDS = 3
#: What the trees learn from, at most; more rows cost time and tell the mean error no better.
_ROWS_MAX = 20_000
#: A category's levels beyond so many are one, which the trees treat as missing.
_LEVELS_MAX = 250
#: No row is expected to err less than this part of the mean error: relative errors are divided by it.
_ERROR_MIN = 0.01
#: Small trees: errors are noisy, and what is wanted is their mean over a window.
_TREES = {"max_iter": 30, "learning_rate": 0.2, "max_leaf_nodes": 15, "min_samples_leaf": 20, "early_stopping": False}


@dataclass(frozen=True)
class _Loss:
    """One kind of error, learned.

    Attributes:
        folds: a fitted model per fold; their mean is the expectation.
        floor: the least that a row is expected to err.
        scale: mean of what was seen over the mean of what the folds expected of rows that they had not seen.
        relative_variance: of seen over expected, row by row.
        rows: how many rows of the reference it was learned from.
    """

    folds: tuple[Any, ...]
    floor: float
    scale: float
    relative_variance: float
    rows: int

    def mean(self, inputs: Floats) -> tuple[float, float]:
        """The expected mean over rows of `inputs`, and the relative standard error of what labels would show."""
        expected = np.mean([fold.predict(inputs) for fold in self.folds], axis=0)
        expected = self.scale * np.maximum(expected, self.floor)
        mean = float(expected.mean())
        # Chance of the window's rows, whose errors scatter in proportion to what is expected, and of the reference's.
        of_window = float((expected**2).mean()) / mean**2 / len(expected)
        return mean, math.sqrt(self.relative_variance * (of_window + 1 / self.rows))


@dataclass(frozen=True)
class DirectLoss:
    """DLE with what was learned from one model's reference."""

    card: ModelCard
    absolute: _Loss
    squared: _Loss
    #: Of each input: the codes of a category's levels, None for a number.
    levels: tuple[dict[str, int] | None, ...]
    name: Literal["dle"] = "dle"

    @classmethod
    def fit(cls, card: ModelCard, reference: Table, settings: DriftSettings) -> DirectLoss:
        """Learn from the labelled rows of the reference. Raises CannotEstimate."""
        errors = _numbers(reference, PREDICTION) - _numbers(reference, LABEL)
        known = np.flatnonzero(np.isfinite(errors**2))
        if len(known) < settings.labelled_rows_min:
            raise CannotEstimate(f"the reference has {len(known)} labelled rows of {settings.labelled_rows_min} needed")
        rng = np.random.default_rng(settings.seed)
        known = rng.permutation(known)[:_ROWS_MAX]
        if not np.abs(errors[known]).max() > 0:
            raise CannotEstimate("the model made no error on the reference")
        levels = tuple(_levels(reference, name) for name in feature_columns(card))
        rows = reference.take(known)
        inputs, categories = _inputs(card, rows, levels), [of_input is not None for of_input in levels]
        learned = [
            _learn(inputs, [*categories, False], seen, settings.seed)
            for seen in (np.abs(errors[known]), errors[known] ** 2)
        ]
        return cls(card, learned[0], learned[1], levels)

    def usable(self, table: Table) -> NDArray[np.int64]:
        """Positions of the rows that can be estimated: those with a finite answer."""
        return np.flatnonzero(np.isfinite(_numbers(table, PREDICTION)))

    def metrics(self, table: Table) -> tuple[Metric, ...]:
        """mae and rmse of usable rows. Both are positive, so their intervals are made on the logarithmic scale."""
        inputs = _inputs(self.card, table, self.levels)
        absolute, of_absolute = self.absolute.mean(inputs)
        squared, of_squared = self.squared.mean(inputs)
        # The relative error of a root is half of that of what is under it.
        return (_metric("mae", absolute, of_absolute), _metric("rmse", math.sqrt(squared), of_squared / 2))


def _learn(inputs: Floats, categories: list[bool], seen: Floats, seed: int) -> _Loss:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    rows = len(seen)
    # The rows are in random order.
    parts = np.array_split(np.arange(rows), _FOLDS)
    expected, folds = np.empty(rows), []
    # One thread adds up in one order: the same reference gives the same trees to the last bit.
    with threadpool_limits(1):
        for part in parts:
            others = np.setdiff1d(np.arange(rows), part)
            trees = HistGradientBoostingRegressor(categorical_features=categories, random_state=seed, **_TREES)
            known = inputs[others]
            # A column without any value cannot be cut into bins.
            known[:, np.isnan(known).all(axis=0)] = 0.0
            folds.append(trees.fit(known, seen[others]))
            expected[part] = folds[-1].predict(inputs[part])
    floor = _ERROR_MIN * float(seen.mean())
    expected = np.maximum(expected, floor)
    scale = float(seen.mean() / expected.mean())
    relative = seen / (scale * expected)
    # About 1, weighted as the rows weigh in the mean.
    variance = float(np.average((relative - 1) ** 2, weights=expected**2))
    return _Loss(tuple(folds), floor, scale, variance, rows)


def _inputs(card: ModelCard, table: Table, levels: tuple[dict[str, int] | None, ...]) -> Floats:
    """Features and answer as numbers, shape (rows, features + 1); NaN for what is missing or unseen."""
    names = feature_columns(card)
    found = np.full((table.rows, len(names) + 1), np.nan)
    for place, (name, codes) in enumerate(zip(names, levels, strict=True)):
        column = table.columns.get(name)
        if isinstance(column, TextColumn) and codes is not None:
            lookup = np.array([*(codes.get(level, np.nan) for level in column.levels), np.nan])
            found[:, place] = lookup[column.codes]
        elif isinstance(column, NumberColumn) and codes is None:
            found[:, place] = column.values
    found[:, -1] = _numbers(table, PREDICTION)
    return found


def _levels(reference: Table, name: str) -> dict[str, int] | None:
    """The codes of a category's levels, the most frequent first; None for a number."""
    column = reference.columns.get(name)
    if not isinstance(column, TextColumn):
        return None
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    kept = np.argsort(-counts, kind="stable")[:_LEVELS_MAX]
    return {column.levels[place]: code for code, place in enumerate(kept)}


def _numbers(table: Table, name: str) -> Floats:
    column = table.columns.get(name)
    return column.values if isinstance(column, NumberColumn) else np.full(table.rows, np.nan)


def _metric(name: str, value: float, relative_error: float) -> Metric:
    factor = math.exp(Z * relative_error)
    return Metric(name, value, value / factor, value * factor, None, "log-normal")
