"""The exporter's Flask application: metrics, report library, pages, reports, JSON API, run requests."""

from __future__ import annotations

import os
from collections.abc import Callable
from http import HTTPStatus
from typing import BinaryIO

from flask import Flask, Response, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import wrap_file

from drift_engine import run_requests
from exporter import drawing, library, problems, report_files, run_now, words
from exporter.api import add_api, json_response
from exporter.collector import exposition
from exporter.incidents import incident_text, troubles
from exporter.links import Links
from exporter.pages import PAGES, add_pages
from exporter.settings import ExporterSettings
from exporter.sources import Sources
from gateway.settings import Paths
from gateway.tokens import Tokens

#: Our own pages: one stylesheet and one script of ours, nothing else, and no other page may frame them.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: A report is one file with its scripts, styles and fonts inside. It gets those, no network at all, and, by
#: `sandbox`, an origin of its own: a script in it can neither read our pages nor post to us.
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "sandbox allow-scripts allow-downloads"
)


def create_app(paths: Paths, settings: ExporterSettings, clock: Callable[[], float]) -> Flask:
    """The application. `clock` gives seconds since the epoch; it dates pages and requests, never metrics.

    Raises:
        InvalidTokens: the token file cannot be used.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = run_now.BODY_BYTES_MAX
    _add_words(app)
    sources = Sources(paths)
    runs = library.Library(sources.store)
    links = Links(sources.store)
    tokens = Tokens(settings.tokens_file) if settings.tokens_file is not None else None
    _add_guard(app, tokens)
    _add_metrics(app, sources)
    _add_library(app, sources, runs, settings, paths, clock)
    add_pages(app, sources, runs, links, settings, clock)
    _add_reports(app, paths)
    add_api(app, sources, links, clock)
    _add_run_now(app, sources, paths, clock, has_tokens=tokens is not None)
    _add_edges(app)
    return app


def _add_words(app: Flask) -> None:
    """What the templates say figures and moments with."""
    app.jinja_env.globals["report_url"] = _report_url
    app.jinja_env.globals["drawing"] = drawing
    said: dict[str, Callable[..., str]] = {
        "moment": words.moment_text,
        "share": words.share_text,
        "value": words.value_text,
        "milliseconds": words.milliseconds_text,
        "seconds": words.seconds_text,
        "sentence": words.sentence,
        "time": words.time_text,
        "incident": incident_text,
    }
    app.jinja_env.filters.update(said)


def _add_guard(app: Flask, tokens: Tokens | None) -> None:
    @app.before_request
    def admit() -> None:
        # Deny by default, also what does not exist. Life alone is no secret.
        if tokens is None or request.endpoint == "health":
            return
        if tokens.owner(request.headers.get("Authorization", "")) is None:
            raise problems.Refused(HTTPStatus.UNAUTHORIZED, "send a valid token as 'Authorization: Bearer <token>'")


def _add_metrics(app: Flask, sources: Sources) -> None:
    @app.get("/metrics")
    def metrics() -> Response:
        body, content_type = exposition(sources, request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    @app.get("/health")
    def health() -> Response:
        # This process answers, so the status is 200 and nobody restarts it; what it reads may still be broken.
        sources.models()
        sources.gateway_families()
        sources.log()
        failing = sources.failing()
        return json_response({"status": "degraded" if failing else "ok", "failing": failing})


def _add_library(
    app: Flask,
    sources: Sources,
    runs: library.Library,
    settings: ExporterSettings,
    paths: Paths,
    clock: Callable[[], float],
) -> None:
    @app.get("/")
    def index() -> str:
        now = clock()
        model_name = request.args.get("model") or None
        models = sources.models()
        serving = {model.model_name for model in models if model.serving}
        shown = [
            runs.card(model, now, settings.stale_after_seconds)
            for model in models
            # A version that was replaced keeps its runs in the table; on top stands what answers now.
            if model_name in (None, model.model_name) and (model.serving or model.model_name not in serving)
        ]
        return render_template(
            "library.html",
            cards=sorted(shown, key=library.urgency),
            troubles=troubles(card.model for card in shown),
            page=runs.page(model_name, request.args.get("page", 1, type=int)),
            model_name=model_name,
            model_names=sorted({model.model_name for model in models}),
            processes=library.processes(sources.heartbeats(), now, settings.heartbeat_timeout_seconds),
            failing=sources.failing(),
            reports=paths.reports,
            now=now,
        )


def _add_reports(app: Flask, paths: Paths) -> None:
    def served(stream: BinaryIO | None, content_type: str) -> Response:
        if stream is None:
            return _error_page(HTTPStatus.NOT_FOUND, "There is no such report. Old ones are thinned out.")
        body = wrap_file(request.environ, stream)
        response = Response(body, content_type=content_type, direct_passthrough=True)
        response.content_length = os.fstat(stream.fileno()).st_size
        response.headers["Content-Security-Policy"] = REPORT_POLICY
        # A run never changes once it is there, but retention may remove it.
        response.headers["Cache-Control"] = "private, max-age=3600"
        return response

    @app.get("/reports/<name>/<version>/<run_id>/<file>")
    def report(name: str, version: str, run_id: str, file: str) -> Response:
        stream = report_files.open_report(paths.reports, name, version, run_id, file)
        return served(stream, report_files.SERVED.get(file, ""))

    @app.get("/reports/<name>/<version>/<file>")
    def model_report(name: str, version: str, file: str) -> Response:
        stream = report_files.open_model_report(paths.reports, name, version, file)
        return served(stream, report_files.MODEL_SERVED.get(file, ""))

    @app.get("/reports/<name>/<version>/replays/<replay_id>/<file>")
    def replay(name: str, version: str, replay_id: str, file: str) -> Response:
        stream = report_files.open_replay(paths.reports, name, version, replay_id, file)
        return served(stream, report_files.REPLAY_SERVED.get(file, ""))


def _add_run_now(app: Flask, sources: Sources, paths: Paths, clock: Callable[[], float], *, has_tokens: bool) -> None:
    @app.post("/monitoring/run")
    def monitoring_run() -> Response:
        wanted = run_now.read_request(request, is_known=has_tokens)
        serving = {model.model_name for model in sources.models() if model.serving}
        if wanted.model_name is not None and wanted.model_name not in serving:
            known = ", ".join(sorted(serving)) or "none"
            raise problems.Refused(HTTPStatus.NOT_FOUND, f"no model of that name serves; serving: {known}")
        try:
            written = run_requests.write(paths.state, wanted.model_name, clock())
        except run_requests.SpoolFull as error:
            raise problems.Refused(HTTPStatus.TOO_MANY_REQUESTS, str(error)) from None
        except OSError as error:
            raise problems.Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"the request cannot be written: {error}") from None
        return json_response(
            {"status": "accepted", "model_name": written.model_name, "requested_at": written.requested_at}, 202
        )


def _add_edges(app: Flask) -> None:
    @app.errorhandler(problems.Refused)
    def refused(error: problems.Refused) -> Response:
        # Who has no token learns nothing of what there is: one answer for every address.
        if request.endpoint in PAGES and error.status is not HTTPStatus.UNAUTHORIZED:
            return _error_page(error.status, words.sentence(error.detail), error.faults)
        return problems.problem(error.status, error.detail, error.faults)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or 500)
        detail = error.description or status.description
        if request.path.startswith(("/api/", "/monitoring/", "/health", "/metrics")):
            response = problems.problem(status, detail)
        else:
            response = _error_page(status, detail)
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return response

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Cache-Control", "no-cache" if request.endpoint == "static" else "no-store")
        return response


def _report_url(model_name: str, model_version: str, run_id: str, file: str) -> str:
    return url_for("report", name=model_name, version=model_version, run_id=run_id, file=file)


def _error_page(status: HTTPStatus, detail: str, faults: tuple[problems.Fault, ...] = ()) -> Response:
    page = render_template("error.html", status=status, detail=detail, faults=faults)
    return Response(page, status=status.value)
