"""Contract 1: the columns of the prediction log, and a row's way into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.log.line import FIELD_ENCODERS, ColumnType, LogColumn
from gateway.log.segment import segments as segments_of
from gateway.registry.card import FeatureType, ModelCard
from gateway.registry.columns import CONFIDENCE, PREDICTION, feature_column, probability_columns

PREFIX = "live_predictions"

_FEATURE_TYPES: dict[FeatureType, ColumnType] = {
    "number": "number",
    "integer": "integer",
    "category": "text",
    "boolean": "boolean",
}


def columns(card: ModelCard) -> tuple[LogColumn, ...]:
    """The columns of a version's prediction log, in file order."""
    return (
        LogColumn("seq", "integer"),
        LogColumn("request_id", "text"),
        LogColumn("timestamp", "time"),
        LogColumn("instance", "integer"),
        LogColumn("client_id", "text"),
        *(LogColumn(feature_column(feature.name), _FEATURE_TYPES[feature.type]) for feature in card.features),
        LogColumn(PREDICTION, prediction_type(card)),
        LogColumn(CONFIDENCE, "number"),
        *(LogColumn(name, "number") for name in probability_columns(card)),
        LogColumn("latency_ms", "number"),
        LogColumn("crc32", "integer"),
    )


def prediction_type(card: ModelCard) -> ColumnType:
    """How predictions, and labels, are written: a class as text, a regression's value as a number."""
    return "number" if card.task == "regression" else "text"


def folder(live: Path, name: str, version: str) -> Path:
    """Where a version's prediction log is."""
    return live / name / version


def segments(live: Path, name: str, version: str) -> list[Path]:
    """The segments of a version's prediction log."""
    return segments_of(folder(live, name, version), PREFIX)


class PredictionEncoder:
    """Turns answers into payloads for `SegmentWriter.append`. Holds no state but the card's column types."""

    def __init__(self, card: ModelCard) -> None:
        self._features = tuple(FIELD_ENCODERS[_FEATURE_TYPES[feature.type]] for feature in card.features)
        self._prediction = FIELD_ENCODERS[prediction_type(card)]
        self._text = FIELD_ENCODERS["text"]
        self._number = FIELD_ENCODERS["number"]

    def encode(
        self,
        request_id: str,
        timestamp: str,
        instance: int,
        client_id: str | None,
        features: Sequence[Any],
        prediction: str | float,
        confidence: float | None,
        probabilities: Sequence[float],
        latency_ms: float,
    ) -> bytes:
        """One row's fields between `seq` and `crc32`.

        `features` are Python values in the model's order, None for missing; `prediction` is the class as
        text (`columns.class_text`) or a regression's value; `probabilities` in the order of the classes.
        """
        number = self._number
        fields = [request_id, timestamp, str(instance), self._text(client_id)]
        fields += [encode(value) for encode, value in zip(self._features, features, strict=True)]
        fields += (self._prediction(prediction), number(confidence), *map(repr, probabilities), number(latency_ms))
        return ",".join(fields).encode()
