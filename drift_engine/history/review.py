"""The day's answers that the model was least sure of, with what they were asked: for a person to look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from drift_engine.reading.live_log import Attached
from drift_engine.results.days import REVIEW_ROWS_MAX, Review, ReviewRow
from drift_engine.table import Column, NumberColumn, Table
from gateway.clock import utc_text
from gateway.registry import Feature, ModelCard
from gateway.registry.columns import CONFIDENCE, LABEL, PREDICTION, feature_column

_MICROSECONDS = 1_000_000


def review_day(card: ModelCard, day: str, table: Table, times: Any, attached: Attached) -> Review | None:
    """The rows of least confidence, least first, equal ones in order of time; None for a model without confidence.

    Args:
        times: shape (rows,), microseconds since the epoch.
    """
    confidence = table.columns.get(CONFIDENCE)
    if not isinstance(confidence, NumberColumn):
        return None
    known = np.flatnonzero(np.isfinite(confidence.values))
    least = known[np.argsort(confidence.values[known], kind="stable")[:REVIEW_ROWS_MAX]]
    rows, keys = table.take(least), attached.keys.take(least).to_pylist()
    features = [_values(rows.columns[feature_column(feature.name)], feature) for feature in card.features]
    answers, labels = _plain(rows.columns[PREDICTION]), _plain(rows.columns[LABEL])
    return Review(
        model_name=card.name,
        model_version=card.version,
        day=day,
        rows_of_day=table.rows,
        rows=tuple(
            ReviewRow(
                timestamp=_moment(int(times[least[place]])),
                request_id=str(key["request_id"]),
                instance=int(key["instance"]),
                client_id=key["client_id"] or None,
                prediction=answers[place],
                confidence=float(confidence.values[least[place]]),
                label=labels[place],
                features={feature.name: column[place] for feature, column in zip(card.features, features, strict=True)},
            )
            for place, key in enumerate(keys)
        ),
    )


def _values(column: Column, feature: Feature) -> list[Any]:
    """As the client sent them: JSON's own types, None for missing."""
    values = _plain(column)
    if feature.type == "boolean":
        return [None if value is None else value == "true" for value in values]
    if feature.type == "integer":
        return [int(value) if value is not None and float(value).is_integer() else value for value in values]
    return values


def _plain(column: Column) -> list[Any]:
    if isinstance(column, NumberColumn):
        return [None if np.isnan(value) else float(value) for value in column.values]
    return list(column.texts())


def _moment(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, _MICROSECONDS)
    return f"{utc_text(seconds)[:-8]}.{rest:06d}Z"
