"""The dozen lines that most people write first: Flask, the JSON body, `predict_proba`. No validation, no log."""

from __future__ import annotations

import os
from typing import Any

import joblib
import numpy as np
from flask import Flask, Response, jsonify, request

app = Flask(__name__, static_folder=None)
model = joblib.load(os.environ["BENCH_MODEL"])
FEATURES = model.feature_names_in_.tolist()
# Rows come as arrays, which is faster than a DataFrame; the names are checked by looking each up.
del model.feature_names_in_


@app.post("/predict")
def predict() -> Response:
    """One object of features, or `{"instances": [...]}`."""
    body = request.get_json()
    if "instances" in body:
        return jsonify(predictions=score(body["instances"]))
    return jsonify(score([body])[0])


def score(rows: list[dict[str, float]]) -> list[dict[str, Any]]:
    """The answers for rows of features by name."""
    probabilities = model.predict_proba(np.array([[row[name] for name in FEATURES] for row in rows]))
    classes = [str(label) for label in model.classes_]
    return [
        {"prediction": classes[shares.argmax()], "probabilities": dict(zip(classes, shares.tolist(), strict=True))}
        for shares in probabilities
    ]
