"""How Flask answers: a prediction recorded, counted, sent, then handed to a shadow; anything else as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Response, current_app, g

from gateway.serving.body import JSON_TYPE
from gateway.serving.prediction import Prediction, record
from gateway.serving.shadow.feed import ShadowFeed


def json_answer(document: Any, status: int = 200) -> Response:
    """A response of our own JSON."""
    return Response(msgspec.json.encode(document), status, mimetype=JSON_TYPE)


def answer(prediction: Prediction, headers: Mapping[str, str]) -> Response:
    """Record a prediction and answer it. Raises Problem when it cannot be recorded."""
    g.timestamp = prediction.timestamp
    with prediction.in_flight():
        record(prediction.served.predictions, prediction.payloads)
    prediction.count()
    g.facts = prediction.facts()
    response = Response(prediction.body, headers=dict(headers))
    shadow: ShadowFeed = current_app.extensions["shadow"]
    # Called when the answer has been sent.
    response.call_on_close(lambda: shadow.offer(prediction))
    return response
