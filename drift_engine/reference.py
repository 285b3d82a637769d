"""The reference of a model version, checked against its hash, in the canonical form."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from drift_engine.errors import DriftError
from drift_engine.table import Column, Table, number_column, text_column
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
    answer = card.task == "regression"
    scores = {CONFIDENCE: True} | dict.fromkeys(probability_columns(card), True) if card.has_probabilities else {}
    return {**numbers, PREDICTION: answer, **scores, LABEL: answer}


def load_reference(registry: Registry, card: ModelCard) -> Reference:
    """Read the reference. Raises UnusableReference.

    A column that it lacks is absent from the table; whoever judges that column says so.
    """
    path = registry.reference_path(card.name, card.version)
    try:
        check_file(path, card.reference)
        columns = canonical_columns(card)
        stored = pq.read_table(path)
        found = {name: _column(stored[name], columns[name]) for name in columns if name in stored.column_names}
    except ArtifactMismatch as error:
        raise UnusableReference(str(error)) from None
    except (OSError, pa.ArrowException) as error:
        raise UnusableReference(f"reference {path} cannot be read: {_first_line(error)}") from None
    return Reference(Table(found, stored.num_rows), card.reference.sha256)


def _column(array: pa.ChunkedArray, is_number: bool) -> Column:
    return number_column(array) if is_number else text_column(array)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
