"""The pages of models: how each is, and which of its answers a person should look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, render_template, request, url_for

from exporter import asked, model_page, review
from exporter.library import Library
from exporter.links import Links
from exporter.parameters import DAYS_DEFAULT, Parameters
from exporter.settings import ExporterSettings
from exporter.sources import Sources
from exporter.versions import versions_of

#: Endpoints whose refusals are pages, too.
PAGES = frozenset({"model", "review_page"})
#: Days that the pages offer.
_SPANS = (7, 30, 90)


def add_pages(
    app: Flask, sources: Sources, runs: Library, links: Links, settings: ExporterSettings, clock: Callable[[], float]
) -> None:
    """Add `/models/<name>` and `/review`. `clock` gives seconds since the epoch; it dates the pages."""

    @app.get("/models/<name>")
    def model(name: str) -> str:
        now = clock()
        parameters = Parameters(request.args)
        version = parameters.text("version")
        span = asked.days(parameters, DAYS_DEFAULT, now)
        parameters.check()
        state = asked.one_model(sources, name, version)
        records = sources.days(state.model_name, state.model_version, span.since, span.until)
        actions = sources.actions(state.model_name, state.model_version)
        card = runs.card(state, now, settings.stale_after_seconds)
        return render_template(
            "model.html",
            page=model_page.build(card, span, records, versions_of(name, sources, links), actions),
            links=links,
            failing=sources.failing(),
            spans=_SPANS,
            now=now,
        )

    @app.get("/review")
    def review_page() -> str:
        now = clock()
        parameters = Parameters(request.args)
        looked = asked.review(parameters, now)
        parameters.check()
        state, found = looked.find(sources)
        query: dict[str, Any] = {name: value for name, value in request.args.items() if value}
        return render_template(
            "review.html",
            model=state,
            span=looked.span,
            wanted=looked.wanted,
            found=found,
            features=review.features_of(found.rows),
            sorts=review.SORTS,
            csv=url_for("low_confidence", **{**query, "model": state.model_name, "format": "csv"}),
            answer_text=review.answer_text,
            model_names=sorted({known.model_name for known in sources.models()}),
            failing=sources.failing(),
            now=now,
        )
