"""Fills the logs of a registered model as a gateway would, at times of the test's choosing."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gateway.clock import utc_text
from gateway.log import labels, predictions
from gateway.log.line import header_line
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard, Registry
from gateway.registry.columns import class_text
from gateway.serving.scoring.model import Answers, LoadedModel

_BATCH_ROWS = 5000


def answer(
    registry: Registry, live: Path, card: ModelCard, table: pd.DataFrame, *, start: float, step_seconds: float
) -> list[str]:
    """Answer every row of `table`, one each `step_seconds` from `start`, into the version's log; their request ids."""
    encoder = predictions.PredictionEncoder(card)
    rows = rows_of(card, table)
    ids = [str(uuid.UUID(int=int(start) * 10**9 + number)) for number in range(len(rows))]
    payloads: list[bytes] = []
    for begin, answers in answers_to(registry, card, rows):
        for place, row in enumerate(rows[begin : begin + _BATCH_ROWS]):
            number = begin + place
            payloads.append(
                encoder.encode(
                    ids[number],
                    utc_text(start + step_seconds * number),
                    0,
                    None,
                    row,
                    answers.recorded[place],
                    None if answers.confidences is None else answers.confidences[place],
                    [] if answers.probabilities is None else answers.probabilities[place],
                    1.0,
                )
            )
    folder = predictions.folder(live, card.name, card.version)
    append(folder, predictions.PREFIX, header_line(predictions.columns(card)), payloads)
    return ids


def answers_to(registry: Registry, card: ModelCard, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Answers]]:
    """The answers of each batch, as a worker of the gateway gives them, and where the batch begins."""
    with warnings.catch_warnings():
        # As in a worker: scikit-learn warns on rows in array form, which was proven at registration.
        warnings.simplefilter("ignore")
        model = LoadedModel.load(registry, card.name, card.version)
        for begin in range(0, len(rows), _BATCH_ROWS):
            yield begin, model.answer(rows[begin : begin + _BATCH_ROWS])


def label(
    live: Path, card: ModelCard, ids: Sequence[str], values: Sequence[Any], received: Sequence[float] | float
) -> None:
    """Append a label for each id; `received` at one moment, or at one each."""
    encoder = labels.LabelEncoder(card)
    moments = [received] * len(ids) if isinstance(received, int | float) else list(received)
    payloads = [
        encoder.encode(
            request_id, None, 0, value if card.task == "regression" else class_text(value), None, utc_text(at)
        )
        for request_id, value, at in zip(ids, values, moments, strict=True)
    ]
    append(labels.folder(live, card.name), labels.PREFIX, header_line(labels.columns(card)), payloads)


def append(folder: Path, prefix: str, header: bytes, payloads: Sequence[bytes]) -> None:
    """One closed segment with these payloads."""
    writer = SegmentWriter(folder, prefix, header, durable=False)
    writer.append(payloads)
    writer.close()


def rows_of(card: ModelCard, table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows as the gateway's validation hands them on: Python values, None where missing."""
    columns = []
    for feature in card.features:
        values = table[feature.name].astype(object)
        columns.append([None if pd.isna(value) else _plain(feature.type, value) for value in values])
    return list(zip(*columns, strict=True))


def _plain(kind: str, value: Any) -> Any:
    makers: dict[str, Any] = {"number": float, "integer": int, "boolean": bool, "category": str}
    return makers[kind](value)
