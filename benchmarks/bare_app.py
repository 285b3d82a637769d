"""What the gateway is compared with: Flask under the same workers, without validation, log, metrics or promise.

`POST /bare` answers a constant. `POST /model` parses the row and asks the registered model, which is what a
hand-written prediction service of ten lines does.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from flask import Flask, Response, jsonify, request

from gateway.registry import Registry
from gateway.registry.artifact import load_verified


def create_app() -> Flask:
    """Make the application; the registry is found where the benchmark says in the environment."""
    models, data = Path(os.environ["SENTINEL_PATHS_MODELS"]), Path(os.environ["SENTINEL_PATHS_DATA"])
    registry = Registry(models, data / "reference")
    card = registry.resolve()
    estimator = load_verified(registry.folder(card.name, card.version), card)
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    app = Flask("bare", static_folder=None)

    @app.post("/bare")
    def bare() -> Response:
        return jsonify(prediction=0)

    @app.post("/model")
    def model() -> Response:
        body = request.get_json()
        row = np.array([[body[name] for name in card.feature_names]], dtype=np.float64)
        probabilities = estimator.predict_proba(row)[0]
        return jsonify(prediction=int(probabilities.argmax()), probabilities=probabilities.tolist())

    return app
