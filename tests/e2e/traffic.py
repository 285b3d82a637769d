"""Replaying a table through the real gateway in tests: rows as requests, labels as feedback."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd

from gateway.clock import utc_text
from tests.running import Place, request

BATCH_ROWS = 250


def replay(place: Place, name: str, table: pd.DataFrame, target: str) -> tuple[str, str]:
    """Send every row of `table` in batches, then its labels; return the window [start, end) that holds them."""
    start = utc_text(time.time())
    for begin in range(0, len(table), BATCH_ROWS):
        part = table.iloc[begin : begin + BATCH_ROWS]
        answer = request(
            place.gateway_port, "POST", f"/models/{name}/predict", {"instances": as_rows(part.drop(columns=target))}
        )
        assert answer.status == 200, answer.body
        request_id = answer.json["request_id"]
        for instance, label in enumerate(part[target].tolist()):
            body = {"model_name": name, "request_id": request_id, "instance": instance, "label": label}
            labelled = request(place.gateway_port, "POST", "/feedback", body)
            assert labelled.status == 200, labelled.body
    return start, utc_text(time.time())


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON objects; missing values are null."""
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in table.to_dict(orient="records")
    ]
