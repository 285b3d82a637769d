"""What plainly valid requests ask for, whichever of the two dialects they speak; None is for Flask to look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.serving.models import ServedModel
from gateway.serving.prediction import Render
from gateway.serving.v2.infer_response import InferResponse
from gateway.serving.validation import Row, is_client_id
from gateway.serving.worker.framing import PlainPrediction

#: What an inference request for one row says; whoever finds it in another one decodes that for nothing.
_ONE_ROW = re.compile(rb'"shape"\s*:\s*\[\s*1\s*,')


@dataclass(slots=True)
class Plain:
    """Valid rows, and how they are to be answered; see `gateway.serving.prediction.predict`."""

    rows: Sequence[Row]
    client_id: str | None
    is_batch: bool
    render: Render | None = None
    matrix: NDArray[np.float64] | None = None


def kept_id(asked: PlainPrediction) -> str | None:
    """The client's id for the request, if it sent one that can be kept."""
    return asked.client_id if is_client_id(asked.client_id) else None


def plain_row(served: ServedModel, asked: PlainPrediction, body: bytes) -> Plain | None:
    """One row."""
    if asked.is_v2:
        return _inference(served, asked, body) if _ONE_ROW.search(body) else None
    row = served.decoder.row(body)
    return None if row is None else Plain([row], kept_id(asked), is_batch=False)


def plain_rows(served: ServedModel, asked: PlainPrediction, body: bytes) -> Plain | None:
    """A batch."""
    if asked.is_v2:
        return _inference(served, asked, body)
    rows = served.decoder.rows(body)
    return None if rows is None else Plain(rows, kept_id(asked), is_batch=True)


def _inference(served: ServedModel, asked: PlainPrediction, body: bytes) -> Plain | None:
    found = served.tensor_decoder.decode(body)
    if found is None:
        return None
    client_id = found.id if is_client_id(found.id or "") else kept_id(asked)
    render = InferResponse(found.id, found.outputs).render
    return Plain(found.rows, client_id, is_batch=True, render=render, matrix=found.matrix)
