"""A log as the gateway's workers would have written it: their writer, their encoder, the registered model's answers."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demo.generate import LABEL
from gateway.clock import utc_text
from gateway.log import labels, predictions
from gateway.log.line import LogColumn, header_line
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard

WORKERS = 2
_CHUNK = 20_000


def write_log(card: ModelCard, model: Any, table: pd.DataFrame, start: float, end: float, live: Path) -> int:
    """Log a prediction for each row of `table` and a label for every second one; returns the bytes of the former.

    Args:
        start, end: the rows' times, evenly spread between these; seconds since the epoch.
        live: the folder of the logs.
    """
    times = np.linspace(start, end, len(table))
    random = np.random.default_rng(1)
    folder = predictions.folder(live, card.name, card.version)
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_writer(folder, predictions.PREFIX, predictions.columns(card))) for _ in range(WORKERS)
        ]
        label_log = stack.enter_context(_writer(labels.folder(live, card.name), labels.PREFIX, labels.columns(card)))
        for at in range(0, len(table), _CHUNK):
            part = table.iloc[at : at + _CHUNK]
            lines, label_lines = _lines(card, model, part, times[at : at + _CHUNK], random)
            for number, writer in enumerate(workers):
                writer.append(lines[number::WORKERS])
            label_log.append(label_lines)
    return sum(path.stat().st_size for path in predictions.segments(live, card.name, card.version))


def _lines(
    card: ModelCard, model: Any, part: pd.DataFrame, times: Any, random: np.random.Generator
) -> tuple[list[bytes], list[bytes]]:
    encode, encode_label = predictions.PredictionEncoder(card).encode, labels.LabelEncoder(card).encode
    features = part[list(card.feature_names)]
    rows = [[None if np.isnan(x) else x for x in row] for row in features.to_numpy().tolist()]
    lines, label_lines = [], []
    for number, (row, shares, label) in enumerate(
        zip(rows, model.predict_proba(features).tolist(), part[LABEL], strict=True)
    ):
        request_id, moment = str(uuid.UUID(bytes=random.bytes(16), version=4)), utc_text(times[number])
        chosen = int(shares[1] > shares[0])
        lines.append(encode(request_id, moment, 0, None, row, str(chosen), shares[chosen], shares, 1.5))
        if number % 2 == 0:
            label_lines.append(encode_label(request_id, None, 0, str(label), None, moment))
    return lines, label_lines


def _writer(folder: Path, prefix: str, columns: tuple[LogColumn, ...]) -> contextlib.closing[SegmentWriter]:
    return contextlib.closing(SegmentWriter(folder, prefix, header_line(columns), durable=False))
