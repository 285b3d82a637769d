"""The Flask application: routes and the walk of one request. Everything it answers with 2xx is recorded."""

from __future__ import annotations

import logging
import time
import uuid
import warnings
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from gateway.clock import utc_text
from gateway.registry import Registry
from gateway.serving import problems, refusals
from gateway.serving.access import AccessLog, Asked
from gateway.serving.answer import answer, json_answer
from gateway.serving.body import JSON_TYPE, parse_object, read
from gateway.serving.guard import Guard
from gateway.serving.models import Models, ServedModel
from gateway.serving.openapi import routes as api_docs
from gateway.serving.prediction import predict, record, rows_of
from gateway.serving.problems import Problem
from gateway.serving.refusal_log import RefusalLog
from gateway.serving.scoring.model import LoadedModel
from gateway.serving.shadow.feed import ShadowFeed
from gateway.serving.v2 import routes as v2
from gateway.serving.validation import Label, Row, is_client_id
from gateway.serving.worker.lane import Lane
from gateway.settings import GatewaySettings, Paths, load

log = logging.getLogger("gateway.requests")

#: Werkzeug's own refusals (no such path, wrong method), as our kinds.
_HTTP_KINDS = {404: problems.NOT_FOUND, 405: problems.METHOD_NOT_ALLOWED, 413: problems.TOO_LARGE}
#: The two ways to ask whether this process lives.
_LIFE = ("health", "v2_live")
#: The ways to ask for predictions: what is refused there for its content is counted with the version's data.
_PREDICTIONS = ("predict_route", "predict_version", "v2_infer")


def create_app() -> Flask:
    """The application of one gunicorn worker, as the settings say. Raises InvalidSettings, InvalidTokens."""
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
    guard = Guard(settings)
    access = AccessLog(settings.access_log, settings.access_log_file)
    shadow = app.extensions["shadow"] = ShadowFeed(models)
    app.extensions["access"] = access
    app.extensions["lane"] = Lane(models, guard, access, shadow, settings.workers)
    app.extensions["settings"] = settings
    _add_edges(app, guard, access)
    _add_routes(app, models, settings)
    api_docs.add_routes(app, models, settings)
    v2.add_routes(app, models, settings)
    app.extensions["refusals"] = RefusalLog(keeps_examples=settings.refusal_examples)
    _add_error_handlers(app, access, app.extensions["refusals"])
    return app


def _add_edges(app: Flask, guard: Guard, access: AccessLog) -> None:
    @app.before_request
    def stamp() -> None:
        g.started = time.perf_counter()
        g.request_id = str(uuid.uuid4())
        g.timestamp = utc_text(time.time())
        # Deny by default: also what does not exist is nobody's business. Life alone is no secret.
        if request.endpoint not in _LIFE:
            g.client = guard.admit(request.headers.get("Authorization", ""))

    @app.after_request
    def note(response: Response) -> Response:
        if access.notes_answers and response.status_code < 400:
            facts = g.facts if "facts" in g else {"latency_ms": round((time.perf_counter() - g.started) * 1e3, 3)}
            access.answered(_asked(), response.status_code, **facts)
        return response


def _asked() -> Asked:
    return Asked(g.request_id, request.method, request.path, g.get("client", ""), _client_id())


def _add_routes(app: Flask, models: Models, settings: GatewaySettings) -> None:
    @app.post("/predict")
    @app.post("/models/<name>/predict")
    def predict_route(name: str | None = None) -> Response:
        served = g.served = models.pick(name, _client_id())
        return _predict(served, *rows_of(served, read(request, settings.body_bytes_max)))

    @app.post("/models/<name>/versions/<version>/predict")
    def predict_version(name: str, version: str) -> Response:
        served = g.served = models.find_version(name, version)
        return _predict(served, *rows_of(served, read(request, settings.body_bytes_max)))

    @app.post("/feedback")
    def feedback() -> Response:
        body = parse_object(read(request, settings.body_bytes_max))
        name = body.get("model_name")
        served = g.served = models.find(name if isinstance(name, str) else None)
        return _record_labels(served, *served.label_input.labels(body))

    @app.get("/health")
    def health() -> Response:
        return json_answer({"status": "ok"})

    @app.get("/ready")
    def ready() -> Response:
        reasons, failures = models.unready(), models.serving.failures
        status = "unready" if reasons else "ready"
        return json_answer({"status": status, "reasons": reasons, "failures": failures}, 503 if reasons else 200)

    @app.get("/models")
    def list_models() -> Response:
        serving = models.serving
        return json_answer(
            {
                "default_model": serving.default_model,
                "models": [
                    {**_summary(served.model), **serving.beside(name)}
                    for name, served in sorted(serving.models.items())
                ],
                "failures": serving.failures,
            }
        )

    @app.get("/models/<name>")
    def show_model(name: str) -> Response:
        served = models.find(name)
        return json_answer({**_description(served.model), **models.serving.beside(name)})

    @app.get("/models/<name>/versions/<version>")
    def show_version(name: str, version: str) -> Response:
        return json_answer(_description(models.find_version(name, version).model))


def _predict(served: ServedModel, rows: list[Row], is_batch: bool) -> Response:
    prediction = predict(
        served, rows, is_batch=is_batch, request_id=g.request_id, client_id=_client_id(), started=g.started
    )
    return answer(prediction, {"Content-Type": JSON_TYPE})


def _record_labels(served: ServedModel, labels: list[Label], is_list: bool) -> Response:
    """Put the labels on disk, all or none of them. Raises Problem when that fails."""
    encode = served.label_encoder.encode
    payloads = [
        encode(label.request_id, label.client_id, label.instance, label.label, label.observed_at, g.timestamp)
        for label in labels
    ]
    record(served.labels, payloads)
    head = {"model_name": served.card.name, "received_at": g.timestamp}
    if is_list:
        return json_answer({**head, "labels": len(labels)})
    (label,) = labels
    named = {"request_id": label.request_id} if label.request_id is not None else {"client_id": label.client_id}
    return json_answer({**head, **named, "instance": label.instance})


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


def _add_error_handlers(app: Flask, access: AccessLog, refusal_log: RefusalLog) -> None:
    @app.errorhandler(Problem)
    def refuse(problem: Problem) -> Response:
        served: ServedModel | None = g.get("served")
        refusals.note(problem, access, _asked(), served.card if served else None)
        if served is not None and request.endpoint in _PREDICTIONS:
            refusal_log.note(served.refusals, problem)
        headers, body = refusals.response(problem, g.request_id, request.path)
        return Response(body, problem.kind.status, headers)

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
