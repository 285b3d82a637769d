"""The JSON API: what results, kept history and incidents say. What is not known is null, never 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from flask import Flask, Response, request

from drift_engine.results.days import DayRecord
from drift_engine.results.incidents import Incident
from exporter import asked, review, statistics
from exporter.links import Links
from exporter.parameters import DAYS_DEFAULT, Parameters
from exporter.sources import ModelState, Sources
from exporter.versions import versions_of

STATISTICS_DAYS_DEFAULT = 7
#: Of what was done so many, the newest first.
ACTIONS_MAX = 20


def add_api(app: Flask, sources: Sources, links: Links, clock: Callable[[], float]) -> None:
    """Add the routes under `/api/` that read. `clock` gives seconds since the epoch; it says what today is."""
    _add_newest(app, sources, links)
    _add_days(app, sources, clock)
    _add_review(app, sources, clock)


def json_response(body: Any, status: int = 200) -> Response:
    """`body` as JSON: dataclasses, dicts, lists."""
    return Response(msgspec.json.encode(body), status=status, content_type="application/json")


def _add_newest(app: Flask, sources: Sources, links: Links) -> None:
    """What the newest run of every model says."""

    def newest(part: Callable[[ModelState], dict[str, Any]]) -> Response:
        parameters = Parameters(request.args)
        name, version = parameters.text("model"), parameters.text("version")
        parameters.check()
        return json_response({"models": [_head(model) | part(model) for model in asked.models(sources, name, version)]})

    @app.get("/api/alerts")
    def alerts() -> Response:
        return newest(lambda model: _alerts_part(model, links))

    @app.get("/api/metrics/baseline")
    def metrics_baseline() -> Response:
        return newest(_baseline_part)

    @app.get("/api/metrics/latest")
    def metrics_latest() -> Response:
        return newest(_performance_part)

    @app.get("/api/drift/data")
    def drift_data() -> Response:
        return newest(_drift_part)

    @app.get("/api/drift/concept")
    def drift_concept() -> Response:
        return newest(_concept_part)

    @app.get("/api/retraining/status")
    def retraining_status() -> Response:
        return newest(lambda model: _retraining_part(model, sources, links))


def _add_days(app: Flask, sources: Sources, clock: Callable[[], float]) -> None:
    """What the kept history says of the newest days, today among them."""

    def over_days(default: int, part: Callable[[tuple[DayRecord, ...]], dict[str, Any]]) -> Response:
        parameters = Parameters(request.args)
        name, version = parameters.text("model"), parameters.text("version")
        span = asked.days(parameters, default, clock())
        parameters.check()
        found = [
            _head(model) | part(sources.days(model.model_name, model.model_version, span.since, span.until))
            for model in asked.models(sources, name, version)
        ]
        return json_response({"since": span.since, "until": span.until, "days": span.days, "models": found})

    @app.get("/api/metrics/history")
    def metrics_history() -> Response:
        return over_days(DAYS_DEFAULT, lambda records: {"history": [_history_day(record) for record in records]})

    @app.get("/api/predictions/stats")
    def predictions_stats() -> Response:
        return over_days(STATISTICS_DAYS_DEFAULT, lambda records: {"statistics": statistics.add_up(records)})


def _add_review(app: Flask, sources: Sources, clock: Callable[[], float]) -> None:
    @app.get("/api/predictions/low-confidence")
    def low_confidence() -> Response:
        parameters = Parameters(request.args)
        looked = asked.review(parameters, clock())
        form = parameters.choice("format", "json", ("json", "csv"))
        parameters.check()
        model, found = looked.find(sources)
        if form == "csv":
            response = Response(review.to_csv(found.rows), content_type="text/csv; charset=utf-8")
            # Names and versions are letters, digits, '.', '_' and '-' only.
            file = f"{model.model_name}-{model.model_version}-low-confidence.csv"
            response.headers["Content-Disposition"] = f'attachment; filename="{file}"'
            return response
        return json_response(
            {
                "model_name": model.model_name,
                "model_version": model.model_version,
                "since": looked.span.since,
                "until": looked.span.until,
                "threshold": looked.wanted.threshold,
                "matching": found.matching,
                "days_with_more": found.more_days,
                "rows": found.rows,
            }
        )


def _head(model: ModelState) -> dict[str, Any]:
    return {"model_name": model.model_name, "model_version": model.model_version, "serving": model.serving}


def _run_part(model: ModelState) -> dict[str, Any] | None:
    if model.answer is None:
        return None
    result = model.answer.result
    return {
        "run_id": result.run_id,
        "outcome": result.outcome,
        "reason": result.reason,
        "window": result.window,
        "rows": result.rows,
        "finished_at": result.finished_at,
        "supersedes": result.supersedes,
    }


def _of_result(model: ModelState, *fields: str) -> dict[str, Any]:
    """Those fields of the newest result, with the run that they are of; null before the first run."""
    values = {name: getattr(model.answer.result, name) if model.answer else None for name in fields}
    return {"run": _run_part(model)} | values


def _performance_part(model: ModelState) -> dict[str, Any]:
    return _of_result(model, "performance", "window_performance", "estimated", "labels")


def _drift_part(model: ModelState) -> dict[str, Any]:
    return _of_result(model, "data_drift", "prediction_drift", "data_quality")


def _concept_part(model: ModelState) -> dict[str, Any]:
    return _of_result(model, "concept_drift", "diagnosis")


def _baseline_part(model: ModelState) -> dict[str, Any]:
    card = model.card
    fields = ("task", "target", "classes", "positive_class", "reference_rows", "created_at", "baseline")
    return {name: getattr(card, name) if card else None for name in fields}


def _alerts_part(model: ModelState, links: Links) -> dict[str, Any]:
    """The newest run's alerts, and what alerts of run after run came to. `as_of`: end of the newest window in it."""
    kept = model.incidents
    states: dict[str, list[dict[str, Any]]] = {"open": [], "resolved": []}
    for incident in kept.incidents if kept else ():
        states[incident.state].append(_incident_part(model, incident, links))
    return _of_result(model, "alerts") | {"as_of": (kept.last_window_end or None) if kept else None} | states


def _incident_part(model: ModelState, incident: Incident, links: Links) -> dict[str, Any]:
    part: dict[str, Any] = msgspec.to_builtins(incident)
    for link, run_id in (("first_report", incident.first_run_id), ("report", incident.last_run_id)):
        part[link] = links.report(model.model_name, model.model_version, run_id)
    return part


def _retraining_part(model: ModelState, sources: Sources, links: Links) -> dict[str, Any]:
    newest_first = sources.actions(model.model_name, model.model_version)[::-1]
    return _of_result(model, "retraining") | {
        "actions": newest_first[:ACTIONS_MAX],
        "versions": versions_of(model.model_name, sources, links),
    }


def _history_day(record: DayRecord) -> dict[str, Any]:
    fields = (
        "day",
        "complete",
        "revision",
        "scored_at",
        "predictions",
        "labels",
        "performance",
        "estimated",
        "earlier",
    )
    return {name: getattr(record, name) for name in fields}
