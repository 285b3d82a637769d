"""The reference of a model version, checked against its hash, in the canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from drift_engine.errors import DriftError
from drift_engine.table import Column, NumberColumn, Table, number_column, text_column
from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import check_file
from gateway.registry.card import ArtifactMismatch
from gateway.registry.columns import CONFIDENCE, LABEL, PREDICTION, feature_column, probability_columns


class UnusableReference(DriftError):
    """The reference is absent, is not the registered one, or cannot be read."""


@dataclass(frozen=True)
class Reference:
    """Rows that the model was not fitted on, with its answers; in their original (time) order.

    `registered`: the registered rows, where `table` is another time of the live log; quality is always measured
    against those.
    """

    table: Table
    sha256: str
    registered: Table | None = None

    @property
    def baseline(self) -> Table:
        """The rows that quality is compared with."""
        return self.table if self.registered is None else self.registered


def canonical_columns(card: ModelCard) -> dict[str, bool]:
    """Every column that reference and window share, by name: True for numbers, False for texts."""
    numbers = {feature_column(feature.name): feature.type in ("number", "integer") for feature in card.features}
    return numbers | answer_columns(card)


def answer_columns(card: ModelCard) -> dict[str, bool]:
    """Those of them that quality is measured on: what the model answered, and the label."""
    answer = card.task == "regression"
    scores = {CONFIDENCE: True} | dict.fromkeys(probability_columns(card), True) if card.has_probabilities else {}
    return {PREDICTION: answer, **scores, LABEL: answer}


def load_reference(registry: Registry, card: ModelCard) -> Reference:
    """Read the reference. Raises UnusableReference.

    A column that it lacks is absent from the table; whoever judges that column says so.
    """
    path = registry.reference_path(card.name, card.version)
    try:
        check_file(path, card.reference)
        table = read_columns(path, canonical_columns(card))
    except ArtifactMismatch as error:
        raise UnusableReference(str(error)) from None
    except (OSError, pa.ArrowException) as error:
        raise UnusableReference(f"reference {path} cannot be read: {_first_line(error)}") from None
    return Reference(table, card.reference.sha256)


def read_columns(path: Path, columns: Mapping[str, bool]) -> Table:
    """The named columns that a Parquet file has, numbers where True and texts where False.

    One after the other, so that no column is in memory twice but the one that is being read. A column of another type
    is told as unreadable, since the others are none the worse for it.

    Raises OSError or pyarrow.ArrowException for a file that cannot be read.
    """
    found, unreadable = {}, {}
    with pq.ParquetFile(path) as file:
        for name, is_number in columns.items():
            if name in file.schema_arrow.names:
                stored = file.read(columns=[name])[name]
                try:
                    found[name] = _column(stored, is_number)
                except pa.ArrowException:
                    unreadable[name] = f"holds {stored.type}, not {'numbers' if is_number else 'texts'}"
        return Table(found, file.metadata.num_rows, unreadable)


def _column(array: pa.ChunkedArray, is_number: bool) -> Column:
    if not is_number:
        return text_column(array)
    column = number_column(array)
    # A column in one piece would share Arrow's memory, which is larger.
    return column if column.values.base is None else NumberColumn(column.values.copy())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
