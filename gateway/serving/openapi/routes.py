"""What describes the gateway: `/openapi.json`, and `/docs` with Swagger UI from its packaged copy."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec
from flask import Flask, Response, send_file

from gateway.serving.models import Models, Serving
from gateway.serving.openapi.document import document
from gateway.serving.problems import NOT_FOUND, Problem
from gateway.settings import GatewaySettings

#: Scripts and styles are ours or packaged, and the page talks to this gateway alone. Swagger UI draws its arrows
#: from data URLs.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_OWN = Path(__file__).parent / "static"


def add_routes(app: Flask, models: Models, settings: GatewaySettings) -> None:
    """Add `/openapi.json`, `/docs` and the files that the page needs."""
    documents = _Documents(settings)
    packaged = Path(str(files("flask_swagger_ui"))) / "dist"
    assets = {
        "docs.js": _OWN,
        "swagger-ui.css": packaged,
        "swagger-ui-bundle.js": packaged,
        "favicon-32x32.png": packaged,
    }

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(documents.of(models.serving), mimetype="application/json")

    @app.get("/docs")
    def docs() -> Response:
        response = send_file(_OWN / "docs.html")
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        return _secured(response)

    @app.get("/docs/<name>")
    def docs_file(name: str) -> Response:
        if name not in assets:
            raise Problem(NOT_FOUND, "the page has no such file")
        return _secured(send_file(assets[name] / name))


class _Documents:
    """The document as bytes, made again when something else serves."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._made: tuple[Serving, bytes] | None = None

    def of(self, serving: Serving) -> bytes:
        """The document of these models. Two threads may make it at once; both make the same."""
        made = self._made
        if made is None or made[0] is not serving:
            made = self._made = serving, msgspec.json.encode(document(serving, self._settings))
        return made[1]


def _secured(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    # Asked for again each time, and sent again only when it changed.
    response.headers["Cache-Control"] = "no-cache"
    return response
