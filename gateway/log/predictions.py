"""Contract 1: the columns of the prediction log, and a row's way into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.log.line import ColumnType, LogColumn, text_field
from gateway.log.segment import segments as segments_of
from gateway.registry.card import FeatureType, ModelCard
from gateway.registry.columns import CONFIDENCE, PREDICTION, class_text, feature_column, probability_columns

PREFIX = "live_predictions"
#: Answers of a version that shadows: the same lines, and nobody was told them.
SHADOW_PREFIX = "shadow_predictions"

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


def shadow_segments(live: Path, name: str, version: str) -> list[Path]:
    """The segments that a version wrote as a shadow."""
    return segments_of(folder(live, name, version), SHADOW_PREFIX)


_MISSING = msgspec.Raw(b"")
_lines = msgspec.json.Encoder()


class PredictionEncoder:
    """Turns answers into payloads for `SegmentWriter.append`.

    msgspec writes numbers and booleans as this format wants them, thirty at once in a microsecond; what JSON
    writes otherwise, missing values and texts, goes in as it stands here.
    """

    def __init__(self, card: ModelCard) -> None:
        self._texts = tuple(index for index, feature in enumerate(card.features) if feature.type == "category")
        self._written = {
            text: text_field(text).encode()
            for text in (
                *(class_text(label) for label in card.classes),
                *(level for feature in card.features for level in feature.categories or ()),
            )
        }

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
        return b"%b,%b,%d,%b,%b,%b,%b" % (
            request_id.encode(),
            timestamp.encode(),
            instance,
            b"" if client_id is None else text_field(client_id).encode(),
            self._mixed(features) if self._texts else _numbers(features),
            self._answer(prediction),
            _numbers((confidence, *probabilities, latency_ms)),
        )

    def encode_rows(
        self,
        request_id: str,
        timestamp: str,
        first_instance: int,
        client_id: str | None,
        rows: Sequence[Sequence[Any]],
        predictions: Sequence[str | float],
        confidences: Sequence[float] | None,
        probabilities: Sequence[Sequence[float]] | None,
        latency_ms: float,
    ) -> list[bytes]:
        """A payload per row, each as `encode` has it; the rows are numbered from `first_instance` on.

        What is present and finite everywhere, as nearly all batches are, is written by two calls for all rows.
        """
        shares = [()] * len(rows) if probabilities is None else probabilities
        figures = _figures(confidences, shares, latency_ms)
        features = None if self._texts else _rows_of_numbers(rows)
        if features is None or figures is None:
            each = [None] * len(rows) if confidences is None else confidences
            return [
                self.encode(request_id, timestamp, instance, client_id, *fields, latency_ms)
                for instance, fields in enumerate(zip(rows, predictions, each, shares, strict=True), first_instance)
            ]
        before = b"%b,%b," % (request_id.encode(), timestamp.encode())
        client = b"" if client_id is None else text_field(client_id).encode()
        return [
            b"%b%d,%b,%b,%b,%b" % (before, instance, client, row, self._answer(prediction), figure)
            for instance, (row, prediction, figure) in enumerate(
                zip(features, predictions, figures, strict=True), first_instance
            )
        ]

    def _answer(self, prediction: str | float) -> bytes:
        return self._text(prediction) if isinstance(prediction, str) else _numbers((prediction,))

    def _mixed(self, features: Sequence[Any]) -> bytes:
        """Features of which some are texts, as fields. What is wrapped as raw, msgspec writes as it stands."""
        values: list[Any] = list(features)
        for index in self._texts:
            if values[index] is not None:
                values[index] = msgspec.Raw(self._text(values[index]))
        return msgspec.json.encode([_MISSING if value is None else _raw_if_odd(value) for value in values])[1:-1]

    def _text(self, text: str) -> bytes:
        written = self._written.get(text)
        return text_field(text).encode() if written is None else written


def _numbers(values: Sequence[Any]) -> bytes:
    """Numbers and booleans as fields, each number in a shortest form that reads back as the same double."""
    fields = msgspec.json.encode(values)[1:-1]
    # See `_rows_of_numbers`.
    if b"n" not in fields:
        return fields
    if fields.count(b"null") == sum(value is None for value in values):
        return fields.replace(b"null", b"")
    # JSON has no word for infinity and NaN, this log has: what is there must never look as if it were missing.
    return b",".join(b"" if value is None else _finite_or_not(value) for value in values)


def _figures(
    confidences: Sequence[float] | None, shares: Sequence[Sequence[float]], latency_ms: float
) -> list[bytes] | None:
    """Each row's fields from the confidence to the latency; None where one of them is not finite."""
    if confidences is None:
        return [_numbers((None, latency_ms))] * len(shares)
    return _rows_of_numbers([(first, *more, latency_ms) for first, more in zip(confidences, shares, strict=True)])


def _rows_of_numbers(rows: Sequence[Sequence[Any]]) -> list[bytes] | None:
    """Each row's numbers and booleans as `_numbers` writes them; None unless all are present and finite."""
    fields = _lines.encode_lines(rows)
    # Only null has an n: numbers and booleans are written without, and one letter is looked for much faster.
    return None if b"n" in fields else [line[1:-1] for line in fields.split(b"\n")[:-1]]


def _raw_if_odd(value: Any) -> Any:
    return msgspec.Raw(_finite_or_not(value)) if isinstance(value, float) and not math.isfinite(value) else value


def _finite_or_not(value: Any) -> bytes:
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return repr(value).encode() if is_odd else msgspec.json.encode(value)
