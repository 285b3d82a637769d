"""The original training table: columns as the card has them, the target's values as the model has its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drift_engine.retraining.errors import CannotRetrain
from drift_engine.retraining.rows import LabelledRows
from gateway.registry import Feature, ModelCard, RegistryError
from gateway.registry.artifact import sha256_of
from gateway.registry.fitted_texts import fitted_texts
from gateway.registry.inspection import truth_of
from gateway.registry.table import Column, read_table


@dataclass(frozen=True)
class TrainTable:
    """A table's rows with a known target; `left_out` is how many have none."""

    labelled: LabelledRows
    sha256: str
    left_out: int


def read_train(path: Path, model: Any, card: ModelCard) -> TrainTable:
    """Read a CSV or Parquet table that the pipeline may be fitted on.

    Raises CannotRetrain: it cannot be read, lacks columns, or holds other types or classes than the card says.
    """
    texts = [feature.name for feature in card.features if feature.type == "category"]
    try:
        table = read_table(path, fitted_texts(model, card.target).kept, as_texts=texts)
        absent = [name for name in (*card.feature_names, card.target) if name not in table.columns]
        if absent:
            raise CannotRetrain(f"{path} lacks {_listed(absent)}, which {card.name} {card.version} was registered with")
        columns = _typed(path, card.features, [table.columns[name] for name in card.feature_names])
        truth = truth_of(table.columns[card.target], card.classes)
        sha256 = sha256_of(path)
    except RegistryError as error:
        raise CannotRetrain(str(error)) from None
    except OSError as error:
        raise CannotRetrain(f"{path}: cannot be read ({error.strerror})") from None
    labelled = LabelledRows(tuple(columns), truth.labels).take(truth.known)
    return TrainTable(labelled, sha256, int(np.sum(~truth.known)))


def _typed(path: Path, features: Sequence[Feature], columns: Sequence[Column]) -> list[Column]:
    typed = [_as(feature, column) for feature, column in zip(features, columns, strict=True)]
    faults = [
        f"{feature.name!r} holds {column.kind}, the model takes {feature.type} values"
        for feature, column, fitting in zip(features, columns, typed, strict=True)
        if fitting is None
    ]
    if faults:
        raise CannotRetrain(f"{path}: {'; '.join(faults)}")
    return [column for column in typed if column is not None]


def _as(feature: Feature, column: Column) -> Column | None:
    """The column with the feature's type; None where its values are not of that type."""
    if column.type == feature.type:
        return column
    kinds: dict[str, Any] = {"number": np.float64, "integer": np.int64, "boolean": np.bool_, "category": object}
    if column.missing.all():
        values = np.zeros(len(column.values), dtype=kinds[feature.type])
        return Column(feature.name, feature.type, values, column.missing, column.kind)
    whole = column.type == "number" and bool((column.values[~column.missing] % 1 == 0).all())
    if (feature.type, column.type) != ("number", "integer") and not (feature.type == "integer" and whole):
        return None
    # What is missing may be NaN, which is no integer.
    values = np.where(column.missing, 0, column.values).astype(kinds[feature.type])
    return Column(feature.name, feature.type, values, column.missing, column.kind)


def _listed(names: Sequence[str], limit: int = 10) -> str:
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
