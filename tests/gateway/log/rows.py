"""Payloads and segments for the log's tests, made by the real encoder and writer."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from gateway.clock import utc_text
from gateway.log import predictions
from gateway.log.line import header_line
from gateway.log.reader import SegmentScan
from gateway.log.writer import SegmentWriter
from tests import logs
from tests.gateway.cards import card

CARD = card()
COLUMNS = predictions.columns(CARD)
HEADER = header_line(COLUMNS)


def payload(index: int = 0, *, job: str | None = "clerk", amount: float = 1.5, client_id: str | None = None) -> bytes:
    """One prediction's payload; its timestamp is `index` seconds after the epoch."""
    return predictions.PredictionEncoder(CARD).encode(
        str(uuid.UUID(int=index)),
        utc_text(index),
        0,
        client_id,
        (amount, None, job, True, 0.1),
        "1",
        0.75,
        (0.25, 0.75),
        0.321,
    )


def segment_of(folder: Path, count: int) -> Path:
    """A closed segment with rows 0 .. count - 1."""
    writer = SegmentWriter(folder, predictions.PREFIX, HEADER, durable=False)
    writer.append([payload(index) for index in range(count)])
    writer.close()
    (path,) = folder.glob("*.csv")
    return path


def parse(found: SegmentScan) -> list[dict[str, Any]]:
    """The rows of a scan of our columns as Python values."""
    return logs.parse(found, COLUMNS)
