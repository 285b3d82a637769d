"""The ceiling of the framework: Flask under the gateway's workers and threads, answering a constant."""

from __future__ import annotations

from flask import Flask, Response, jsonify


def create_app() -> Flask:
    """The application with its one route, `POST /bare`."""
    app = Flask("bare", static_folder=None)

    @app.post("/bare")
    def bare() -> Response:
        return jsonify(prediction=0)

    return app
