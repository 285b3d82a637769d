"""The routes under `/v2`."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Flask, Response, g, request

from gateway.log.writer import LogUnavailable
from gateway.serving import problems
from gateway.serving.answer import answer
from gateway.serving.body import JSON_TYPE, read
from gateway.serving.models import Models, ServedModel
from gateway.serving.prediction import predict
from gateway.serving.problems import Problem
from gateway.serving.v2 import metadata
from gateway.serving.v2.infer_request import HEADER_LENGTH, read_request, relocated
from gateway.serving.v2.infer_response import InferResponse
from gateway.serving.validation import is_client_id
from gateway.settings import GatewaySettings

#: Triton's client says nothing about what it sends.
_MEDIA_TYPES = (JSON_TYPE, "application/octet-stream", "")


def add_routes(app: Flask, models: Models, settings: GatewaySettings) -> None:
    """Answer the protocol's paths."""

    @app.get("/v2")
    @app.get("/v2/")
    def v2_server() -> Response:
        return _json(metadata.server())

    @app.get("/v2/health/live")
    def v2_live() -> Response:
        return _json({"live": True})

    @app.get("/v2/health/ready")
    def v2_ready() -> Response:
        if reasons := models.unready():
            raise Problem(problems.NOT_READY, "; ".join(reasons))
        return _json({"ready": True})

    @app.get("/v2/models/<name>")
    @app.get("/v2/models/<name>/versions/<version>")
    def v2_model(name: str, version: str | None = None) -> Response:
        return _json(metadata.model(_find(models, name, version).card))

    @app.get("/v2/models/<name>/ready")
    @app.get("/v2/models/<name>/versions/<version>/ready")
    def v2_model_ready(name: str, version: str | None = None) -> Response:
        served = _find(models, name, version)
        try:
            served.predictions.probe()
        except LogUnavailable as error:
            raise Problem(problems.NOT_READY, str(error)) from error
        return _json({"name": served.card.name, "ready": True})

    @app.post("/v2/models/<name>/infer")
    @app.post("/v2/models/<name>/versions/<version>/infer")
    def v2_infer(name: str, version: str | None = None) -> Response:
        served = g.served = (
            models.pick(name, _client_id(None)) if version is None else models.find_version(name, version)
        )
        return _infer(served, read(request, settings.body_bytes_max, _MEDIA_TYPES))


def _find(models: Models, name: str, version: str | None) -> ServedModel:
    return models.find(name) if version is None else models.find_version(name, version)


def _infer(served: ServedModel, body: bytes) -> Response:
    asked = read_request(served, body, request.headers.get(HEADER_LENGTH))
    response = InferResponse(asked)
    try:
        prediction = predict(
            served,
            asked.rows,
            is_batch=True,
            request_id=g.request_id,
            client_id=_client_id(asked.id),
            started=g.started,
            render=response.render,
        )
    except Problem as problem:
        raise relocated(problem, asked.columns) from problem
    return answer(prediction, response.headers)


def _client_id(sent: str | None) -> str | None:
    """The request's id, else its X-Request-ID, if it can be kept."""
    text = sent or request.headers.get("X-Request-ID", "")
    return text if is_client_id(text) else None


def _json(document: Any) -> Response:
    return Response(msgspec.json.encode(document), mimetype=JSON_TYPE)
