"""A classifier's columns of a table as arrays: classes as columns of its probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drift_engine.table import Floats, NumberColumn, Table, TextColumn
from gateway.registry import ModelCard
from gateway.registry.columns import class_text, probability_columns


def probabilities_of(card: ModelCard, table: Table) -> Floats:
    """Shape (rows, classes); NaN where the table lacks a column or a value."""
    found = np.full((table.rows, len(card.classes)), np.nan)
    for place, name in enumerate(probability_columns(card)):
        column = table.columns.get(name)
        if isinstance(column, NumberColumn):
            found[:, place] = column.values
    return found


def class_codes(card: ModelCard, table: Table, name: str) -> NDArray[np.int64]:
    """The class of each row in column `name` as a position in the card's classes; -1 for none or another."""
    column = table.columns.get(name)
    if not isinstance(column, TextColumn):
        return np.full(table.rows, -1, dtype=np.int64)
    places = {class_text(label): place for place, label in enumerate(card.classes)}
    # The last one is for rows without a value, whose code is -1.
    lookup = np.array([*(places.get(level, -1) for level in column.levels), -1], dtype=np.int64)
    return lookup[column.codes]


def positive_code(card: ModelCard) -> int | None:
    """The place of the positive class of a binary task; None where there is none."""
    if card.positive_class is None or len(card.classes) != 2:
        return None
    return card.classes.index(card.positive_class)
