"""BentoML: a service class with two workers and one route that takes an array of rows."""

from __future__ import annotations

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=2, logging={"access": {"enabled": False}})
class Fraud:
    """The model in the service's own terms."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["BENCH_MODEL"])
        del self.model.feature_names_in_

    @bentoml.api(route="/predict")
    def predict(self, rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        """Probabilities, shape (rows, classes)."""
        return np.asarray(self.model.predict_proba(rows))
