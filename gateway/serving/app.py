"""The Flask application: routes and the walk of one request. Everything it answers with 2xx is recorded."""

from __future__ import annotations

import logging
import time
import uuid
import warnings
from typing import Any

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from gateway.clock import utc_text
from gateway.log.writer import LogUnavailable
from gateway.registry import ModelCard, Registry
from gateway.registry.columns import class_text
from gateway.serving import problems
from gateway.serving.body import json_object
from gateway.serving.metrics import count_error
from gateway.serving.model import Answers, LoadedModel, NoFiniteAnswer
from gateway.serving.models import Models, ServedModel
from gateway.serving.problems import Fault, Problem, pointer
from gateway.serving.validation import Label, Row, is_client_id
from gateway.settings import GatewaySettings, Paths, load

log = logging.getLogger("gateway.requests")

#: Werkzeug's own refusals (no such path, wrong method), as our kinds.
_HTTP_KINDS = {404: problems.NOT_FOUND, 405: problems.METHOD_NOT_ALLOWED, 413: problems.TOO_LARGE}


def create_app() -> Flask:
    """The application of one gunicorn worker, as the settings say. Raises InvalidSettings."""
    return make_app(*load(Paths, GatewaySettings))


def make_app(paths: Paths, settings: GatewaySettings) -> Flask:
    """Make the application: load the models and watch the registry; the logs open with their first row."""
    # scikit-learn warns on every row in array form, which was proven at registration. Filters alone do not
    # keep it quiet: it swaps them inside predict, and threads that do so at once lose each other's.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    logging.captureWarnings(True)
    models = Models(Registry(paths.models, paths.reference), paths, settings)
    models.refresh()
    models.watch()
    app = Flask("gateway", static_folder=None)
    app.extensions["models"] = models
    _add_routes(app, models, settings)
    _add_error_handlers(app)
    return app


def _add_routes(app: Flask, models: Models, settings: GatewaySettings) -> None:
    @app.before_request
    def stamp() -> None:
        g.started = time.perf_counter()
        g.request_id = str(uuid.uuid4())
        g.timestamp = utc_text(time.time())

    @app.post("/predict")
    @app.post("/models/<name>/predict")
    def predict(name: str | None = None) -> Response:
        served = g.served = models.find(name)
        rows, is_batch = served.input.rows(json_object(request, settings.body_bytes_max))
        return _predict(served, rows, is_batch)

    @app.post("/feedback")
    def feedback() -> Response:
        body = json_object(request, settings.body_bytes_max)
        name = body.get("model_name")
        served = g.served = models.find(name if isinstance(name, str) else None)
        return _record_labels(served, *served.label_input.labels(body))

    @app.get("/health")
    def health() -> Response:
        return _json({"status": "ok"})

    @app.get("/ready")
    def ready() -> Response:
        reasons, failures = models.unready(), models.serving.failures
        status = "unready" if reasons else "ready"
        return _json({"status": status, "reasons": reasons, "failures": failures}, 503 if reasons else 200)

    @app.get("/models")
    def list_models() -> Response:
        serving = models.serving
        return _json(
            {
                "default_model": serving.default_model,
                "models": [_summary(served.model) for _, served in sorted(serving.models.items())],
                "failures": serving.failures,
            }
        )

    @app.get("/models/<name>")
    def show_model(name: str) -> Response:
        return _json(_description(models.find(name).model))


def _predict(served: ServedModel, rows: list[Row], is_batch: bool) -> Response:
    parsed = time.perf_counter()
    try:
        answers = served.model.answer(rows)
    except NoFiniteAnswer as error:
        raise Problem(
            problems.INVALID,
            "the model has no finite answer to these values",
            [Fault(pointer("instances", row) if is_batch else "", "has no finite answer") for row in error.rows],
        ) from error
    except Exception as error:
        # A model may raise anything on a row that it never met; that is its failure, not the client's.
        log.exception("model %s %s failed", served.card.name, served.card.version)
        raise Problem(problems.MODEL_FAILED, f"the model raised {type(error).__name__}") from error
    scored = time.perf_counter()
    # From here to the log is one append: a drift run that waits a little finds every row of its window.
    g.timestamp = utc_text(time.time())
    _record(served, rows, answers, latency_ms=(scored - g.started) * 1e3)
    response = _json(_answer(served.card, answers, is_batch))
    served.metrics.count_predictions(answers.recorded)
    served.metrics.preprocessing.observe(parsed - g.started)
    served.metrics.inference.observe(scored - parsed)
    served.metrics.postprocessing.observe(time.perf_counter() - scored)
    return response


def _record(served: ServedModel, rows: list[Row], answers: Answers, latency_ms: float) -> None:
    """Put the rows on disk. Raises Problem when that fails; then nobody may be answered."""
    encode = served.encoder.encode
    client_id = _client_id()
    latency_ms = round(latency_ms, 3)
    payloads = [
        encode(
            g.request_id,
            g.timestamp,
            instance,
            client_id,
            row,
            answers.recorded[instance],
            answers.confidences[instance] if answers.confidences is not None else None,
            answers.probabilities[instance] if answers.probabilities is not None else (),
            latency_ms,
        )
        for instance, row in enumerate(rows)
    ]
    try:
        served.predictions.append(payloads)
    except LogUnavailable as error:
        raise Problem(problems.NOT_RECORDED, str(error)) from error


def _record_labels(served: ServedModel, labels: list[Label], is_list: bool) -> Response:
    """Put the labels on disk, all or none of them. Raises Problem when that fails."""
    encode = served.label_encoder.encode
    payloads = [
        encode(label.request_id, label.client_id, label.instance, label.label, label.observed_at, g.timestamp)
        for label in labels
    ]
    try:
        served.labels.append(payloads)
    except LogUnavailable as error:
        raise Problem(problems.NOT_RECORDED, str(error)) from error
    head = {"model_name": served.card.name, "received_at": g.timestamp}
    if is_list:
        return _json({**head, "labels": len(labels)})
    (label,) = labels
    named = {"request_id": label.request_id} if label.request_id is not None else {"client_id": label.client_id}
    return _json({**head, **named, "instance": label.instance})


def _answer(card: ModelCard, answers: Answers, is_batch: bool) -> dict[str, Any]:
    names = [class_text(label) for label in card.classes]
    confidences, probabilities = answers.confidences, answers.probabilities
    items = [
        {
            "prediction": prediction,
            "confidence": confidences[index] if confidences is not None else None,
            "probabilities": dict(zip(names, probabilities[index], strict=True)) if probabilities is not None else None,
        }
        for index, prediction in enumerate(answers.predictions)
    ]
    head = {
        "request_id": g.request_id,
        "timestamp": g.timestamp,
        "model_name": card.name,
        "model_version": card.version,
    }
    return {**head, "predictions": items} if is_batch else {**head, **items[0]}


def _client_id() -> str | None:
    """What the client sent as X-Request-ID, if it can be kept; else nothing."""
    sent = request.headers.get("X-Request-ID", "")
    return sent if is_client_id(sent) else None


def _summary(model: LoadedModel) -> dict[str, Any]:
    card = model.card
    return {
        "name": card.name,
        "version": card.version,
        "task": card.task,
        "features": len(card.features),
        "engine": model.scorer.engine,
    }


def _description(model: LoadedModel) -> dict[str, Any]:
    card, scorer = model.card, model.scorer
    return {
        "name": card.name,
        "version": card.version,
        "task": card.task,
        "features": card.features,
        "target": card.target,
        "classes": card.classes,
        "positive_class": card.positive_class,
        "scoring": {
            "estimator": card.estimator,
            "engine": scorer.engine,
            "why_not_compiled": scorer.why_not_compiled,
            "input_form": card.input_form,
        },
        "baseline": card.baseline,
        "reference_rows": card.reference_rows,
        "created_at": card.created_at,
    }


def _add_error_handlers(app: Flask) -> None:
    @app.errorhandler(Problem)
    def refuse(problem: Problem) -> Response:
        served: ServedModel | None = g.get("served")
        name, version = (served.card.name, served.card.version) if served else ("", "")
        count_error(name, version, problem.kind.name)
        log.info(
            "%s",
            msgspec.json.encode(
                {
                    "request_id": g.request_id,
                    "timestamp": g.timestamp,
                    "method": request.method,
                    "path": _printable(request.path),
                    "status": problem.kind.status,
                    "error_type": problem.kind.name,
                }
            ).decode(),
        )
        response = Response(problem.body(g.request_id), problem.kind.status, mimetype="application/problem+json")
        if problem.kind is problems.NOT_RECORDED or problem.kind is problems.NOT_READY:
            response.headers["Retry-After"] = "1"
        return response

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        kind = _HTTP_KINDS.get(error.code or 500)
        if kind is None:
            kind = problems.Kind("refused", error.code or 400, error.name)
        response = refuse(Problem(kind, error.description or error.name))
        if (allowed := getattr(error, "valid_methods", None)) is not None:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        log.exception("request %s failed", g.request_id)
        return refuse(Problem(problems.INTERNAL, "the gateway failed; its log says more under this request_id"))


def _printable(path: str) -> str:
    """A path for a log line: no control characters, no surrogates, bounded."""
    return path[:200].encode("unicode_escape").decode("ascii")


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, mimetype="application/json")
