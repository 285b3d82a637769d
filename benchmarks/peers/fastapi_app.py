"""The usual service of one's own: FastAPI, a pydantic model, scikit-learn, and a line in a CSV file per prediction.

The file is appended to and never synced, so a power cut loses what was answered, and two workers share it without
a lock. With `BENCH_SCORER=treelite` the trees are walked in compiled form, all else being equal.
"""

from __future__ import annotations

import csv
import os
import time
import uuid
from collections.abc import Sequence
from typing import Any

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, create_model

model = joblib.load(os.environ["BENCH_MODEL"])
FEATURES = model.feature_names_in_.tolist()
# Rows come as arrays, which is faster than a DataFrame; pydantic has checked the names.
del model.feature_names_in_
CLASSES = [str(label) for label in model.classes_]
LOG = os.environ["BENCH_CSV"]

Row: type[BaseModel] = create_model("Row", **dict.fromkeys(FEATURES, (float, ...)))  # type: ignore[call-overload]


class Batch(BaseModel):
    """Many rows in one request."""

    instances: list[Row]  # type: ignore[valid-type]


class Answer(BaseModel):
    """The answer for one row."""

    request_id: str
    prediction: str
    probabilities: dict[str, float]


class Answers(BaseModel):
    """The answers of a batch."""

    predictions: list[Answer]


app = FastAPI()


@app.post("/predict")
def predict(row: Row) -> Answer:  # type: ignore[valid-type]
    """One row."""
    return answer([row])[0]


@app.post("/predict/batch")
def predict_batch(batch: Batch) -> Answers:
    """Many rows."""
    return Answers(predictions=answer(batch.instances))


def answer(rows: Sequence[Any]) -> list[Answer]:
    """Score the rows and write their lines."""
    values = [[getattr(row, name) for name in FEATURES] for row in rows]
    answers = [
        Answer(
            request_id=str(uuid.uuid4()),
            prediction=CLASSES[shares.argmax()],
            probabilities=dict(zip(CLASSES, shares.tolist(), strict=True)),
        )
        for shares in predict_proba(np.array(values))
    ]
    with open(LOG, "a", newline="") as file:
        csv.writer(file).writerows(
            [found.request_id, time.time(), *row, found.prediction, *found.probabilities.values()]
            for row, found in zip(values, answers, strict=True)
        )
    return answers


if os.environ.get("BENCH_SCORER") == "treelite":
    import treelite.sklearn

    compiled = treelite.sklearn.import_model(model)

    def predict_proba(rows: Any) -> Any:
        """The compiled trees; scikit-learn compares in single precision."""
        return treelite.gtil.predict(compiled, rows.astype(np.float32), nthread=1).reshape(len(rows), -1)

else:
    predict_proba = model.predict_proba
