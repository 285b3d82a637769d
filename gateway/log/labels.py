"""Contract 2: the columns of the label log. One log per model name: a label outlives the version it judges."""

from __future__ import annotations

from pathlib import Path

from gateway.log.line import FIELD_ENCODERS, LogColumn
from gateway.log.predictions import prediction_type
from gateway.log.segment import segments as segments_of
from gateway.registry.card import ModelCard

PREFIX = "labels"
#: Taken from the version names, so that the label log can lie beside the versions' logs.
FOLDER = "labels"


def columns(card: ModelCard) -> tuple[LogColumn, ...]:
    """The columns of the label log of `card`'s model, in file order.

    A label names the prediction it is for by `request_id`, or by the `client_id` that the client sent.
    """
    return (
        LogColumn("seq", "integer"),
        LogColumn("request_id", "text"),
        LogColumn("client_id", "text"),
        LogColumn("instance", "integer"),
        LogColumn("label", prediction_type(card)),
        LogColumn("observed_at", "time"),
        LogColumn("received_at", "time"),
        LogColumn("crc32", "integer"),
    )


def folder(live: Path, name: str) -> Path:
    """Where a model's label log is."""
    return live / name / FOLDER


def segments(live: Path, name: str) -> list[Path]:
    """The segments of a model's label log."""
    return segments_of(folder(live, name), PREFIX)


class LabelEncoder:
    """Turns labels into payloads for `SegmentWriter.append`."""

    def __init__(self, card: ModelCard) -> None:
        self._types = tuple(FIELD_ENCODERS[column.type] for column in columns(card)[1:-1])

    def encode(
        self,
        request_id: str | None,
        client_id: str | None,
        instance: int,
        label: str | float,
        observed_at: str | None,
        received_at: str,
    ) -> bytes:
        """One label's fields between `seq` and `crc32`."""
        values = (request_id, client_id, instance, label, observed_at, received_at)
        return ",".join(encode(value) for encode, value in zip(self._types, values, strict=True)).encode()
