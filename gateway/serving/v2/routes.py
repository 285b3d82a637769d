"""The routes under `/v2`."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, g, request

from gateway.log.writer import LogUnavailable
from gateway.serving import problems
from gateway.serving.answer import answer, json_answer
from gateway.serving.body import JSON_TYPE, read
from gateway.serving.models import Models, ServedModel
from gateway.serving.prediction import predict
from gateway.serving.problems import Problem
from gateway.serving.v2 import metadata
from gateway.serving.v2.infer_request import HEADER_LENGTH, InferRequest, read_request, relocated
from gateway.serving.v2.infer_response import InferResponse
from gateway.serving.validation import is_client_id
from gateway.settings import GatewaySettings

_MEDIA_TYPES = (JSON_TYPE, "application/octet-stream")


def add_routes(app: Flask, models: Models, settings: GatewaySettings) -> None:
    """Answer the protocol's paths."""

    @app.get("/v2")
    @app.get("/v2/")
    def v2_server() -> Response:
        return json_answer(metadata.server())

    @app.get("/v2/health/live")
    def v2_live() -> Response:
        return json_answer({"live": True})

    @app.get("/v2/health/ready")
    def v2_ready() -> Response:
        return _readiness({}, models.unready())

    @app.get("/v2/models/<name>")
    @app.get("/v2/models/<name>/versions/<version>")
    def v2_model(name: str, version: str | None = None) -> Response:
        return json_answer(metadata.model(_find(models, name, version).card))

    @app.get("/v2/models/<name>/ready")
    @app.get("/v2/models/<name>/versions/<version>/ready")
    def v2_model_ready(name: str, version: str | None = None) -> Response:
        return _readiness({"name": name}, _unready(models, name, version))

    @app.post("/v2/models/<name>/infer")
    @app.post("/v2/models/<name>/versions/<version>/infer")
    def v2_infer(name: str, version: str | None = None) -> Response:
        served = g.served = _find(models, name, version)
        body = read(request, settings.body_bytes_max, _media_types())
        asked = read_request(served, body, request.headers.get(HEADER_LENGTH))
        if version is None and (picked := models.pick(name, _client_id(asked.id))) is not served:
            # In a split, the client's id decides, and it stands in the body; the other version has its own rules.
            served = g.served = picked
            asked = read_request(served, body, request.headers.get(HEADER_LENGTH))
        return _infer(served, asked)


def _find(models: Models, name: str, version: str | None) -> ServedModel:
    return models.find(name) if version is None else models.find_version(name, version)


def _unready(models: Models, name: str, version: str | None) -> list[str]:
    """Why a model should get no requests; empty when it should. Raises Problem when there is none of that name."""
    try:
        _find(models, name, version).predictions.probe()
    except LogUnavailable as error:
        return [str(error)]
    except Problem as problem:
        if problem.kind is not problems.NOT_READY:
            raise
        return [problem.detail]
    return []


def _readiness(head: dict[str, Any], reasons: list[str]) -> Response:
    """An answer to a probe. As for /ready, "no" is an answer and no error: probes would raise the error rate."""
    if reasons:
        return json_answer({**head, "ready": False, "error": "; ".join(reasons)}, 503)
    return json_answer({**head, "ready": True})


def _media_types() -> tuple[str, ...]:
    """What a body may be. Triton's client does not say what it sends; a page of another site in a browser must.

    Only with one of our types does the browser ask first whether it may, and it may not.
    """
    return _MEDIA_TYPES if "Origin" in request.headers else (*_MEDIA_TYPES, "")


def _infer(served: ServedModel, asked: InferRequest) -> Response:
    response = InferResponse(asked.id, asked.outputs)
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
    """The request's id, else its X-Request-ID, whichever can be kept."""
    return next(filter(is_client_id, (sent or "", request.headers.get("X-Request-ID", ""))), None)
