"""Reading a place's logs in tests, through the reader and parser that production uses."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from gateway.log import labels, predictions, refusals
from gateway.log.line import LogColumn, unescape
from gateway.log.reader import SegmentScan, scan
from gateway.registry import ModelCard

_ARROW = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "time": pa.string(),
    "boolean": pa.bool_(),
}


def parse(found: SegmentScan, columns: tuple[LogColumn, ...]) -> list[dict[str, Any]]:
    """The rows of a scan as Python values, read the way that docs/formats/prediction_log.md says."""
    table = pyarrow.csv.read_csv(
        io.BytesIO(found.data),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={column.name: _ARROW[column.type] for column in columns},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return [
        {name: unescape(value) if isinstance(value, str) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]


def prediction_rows(live: Path, card: ModelCard) -> list[dict[str, Any]]:
    """Every intact row of a version's prediction log."""
    columns = predictions.columns(card)
    return [
        row
        for path in predictions.segments(live, card.name, card.version)
        for row in parse(scan(path, columns), columns)
    ]


def label_rows(live: Path, card: ModelCard) -> list[dict[str, Any]]:
    """Every intact row of a model's label log."""
    columns = labels.columns(card)
    return [row for path in labels.segments(live, card.name) for row in parse(scan(path, columns), columns)]


def refusal_rows(live: Path, card: ModelCard) -> list[dict[str, Any]]:
    """Every intact line of a version's refusal log."""
    columns = refusals.columns()
    return [
        row for path in refusals.segments(live, card.name, card.version) for row in parse(scan(path, columns), columns)
    ]
