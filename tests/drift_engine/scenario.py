"""Makes registered models, references and logs for the tests of the drift engine, with the real writers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drift_engine.results.schema import Window
from drift_engine.run import Committed, Engine
from drift_engine.settings import DriftSettings
from gateway.clock import utc_text
from gateway.log import labels, predictions, refusals
from gateway.log.line import header_line
from gateway.log.writer import SegmentWriter
from gateway.registry.artifact import file_record
from gateway.registry.card import Artifact, Feature, FileRecord, Metric, ModelCard, Task
from gateway.registry.columns import CONFIDENCE, LABEL, PREDICTION, class_text, feature_column, probability_columns
from gateway.settings import Paths

#: The scenarios' "now", in seconds since the epoch: 2026-11-20T15:00:00Z.
NOW = 1_795_186_800.0
Columns = Mapping[str, Sequence[Any]]

FEATURES = (
    Feature("amount", "number"),
    Feature("age", "integer"),
    Feature("country", "category", nullable=True, categories=("de", "fr", "it")),
    Feature("member", "boolean"),
    Feature("noise", "number", nullable=True),
)


def rows(count: int, seed: int = 0, **changes: Any) -> dict[str, list[Any]]:
    """Features and an answer of a binary model; `changes` replaces columns (a list, or one value for all rows)."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3, 1, count)
    score = 1 / (1 + np.exp(-(np.log(amount) - 3)))
    noise, absent = rng.normal(size=count).tolist(), rng.random(count) < 0.1
    found: dict[str, list[Any]] = {
        "amount": amount.tolist(),
        "age": rng.integers(18, 80, count).tolist(),
        "country": rng.choice(["de", "fr", "it"], count, p=[0.6, 0.3, 0.1]).tolist(),
        "member": (rng.random(count) < 0.4).tolist(),
        "noise": [None if missing else value for missing, value in zip(absent, noise, strict=True)],
        "score": score.tolist(),
        "label": np.where(rng.random(count) < score, "yes", "no").tolist(),
    }
    for name, value in changes.items():
        found[name] = list(value) if isinstance(value, list | np.ndarray) else [value] * count
    return found


def binary_card(features: tuple[Feature, ...] = FEATURES, **changes: Any) -> ModelCard:
    """A card as registering writes it, for rows of `rows`."""
    nothing = FileRecord("none", "0" * 64, 0)
    card = ModelCard(
        name="loans",
        version="1",
        task="binary",
        features=features,
        target="label",
        classes=("no", "yes"),
        positive_class="yes",
        has_probabilities=True,
        prediction_is_argmax=True,
        input_form="array",
        artifact=Artifact("skops", nothing),
        check_rows=nothing,
        reference=nothing,
        reference_rows=0,
        baseline=(Metric("accuracy", 0.70, 0.68, 0.72, None, "wilson"),),
        created_at=utc_text(NOW),
        estimator="LogisticRegression",
        libraries={},
    )
    return replace(card, **changes)


def regression_card() -> ModelCard:
    """A card whose prediction is the `score` of `rows`."""
    changes: dict[str, Any] = {"classes": (), "positive_class": None, "has_probabilities": False, "baseline": ()}
    task: Task = "regression"
    return binary_card(task=task, **changes)


@dataclass
class Scenario:
    """One model with its reference, its log and its labels under `root`."""

    root: Path
    card: ModelCard = field(default_factory=binary_card)

    @property
    def paths(self) -> Paths:
        """Everything under `root`."""
        return Paths(data=self.root / "data", models=self.root / "models", reports=self.root / "reports")

    def reference(self, found: Columns, **arrays: pa.Array) -> Scenario:
        """Write the reference, and put its hash into the card. `arrays` replaces columns; None leaves one out."""
        path = self.paths.reference / self.card.name / f"{self.card.version}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns: dict[str, pa.Array | None] = {
            feature_column(feature.name): pa.array(found[feature.name], _arrow_type(feature))
            for feature in self.card.features
            if feature.name in found
        }
        columns |= {name: pa.array(values) for name, values in _answers(self.card, found).items()}
        columns[LABEL] = pa.array(found["label"], pa.float64() if self.card.task == "regression" else pa.string())
        columns |= arrays
        table = pa.table({name: array for name, array in columns.items() if array is not None})
        pq.write_table(table, path)
        self.card = replace(self.card, reference=file_record(path), reference_rows=table.num_rows)
        return self

    def log(self, found: Columns, *, start: float = NOW - 3600, seconds: float = 3000.0) -> list[str]:
        """Append predictions, evenly over `seconds` from `start`; return their request ids."""
        count = len(found["score"])
        ids = [str(uuid.UUID(int=int(start * 1000) * 10**9 + number)) for number in range(count)]
        encoder = predictions.PredictionEncoder(self.card)
        answers = _answers(self.card, found)
        payloads = [
            encoder.encode(
                ids[row],
                utc_text(start + seconds * row / count),
                0,
                None,
                [found[feature.name][row] for feature in self.card.features],
                answers[PREDICTION][row],
                answers[CONFIDENCE][row] if self.card.has_probabilities else None,
                [answers[name][row] for name in probability_columns(self.card)],
                1.5,
            )
            for row in range(count)
        ]
        folder = predictions.folder(self.paths.live, self.card.name, self.card.version)
        append(folder, predictions.PREFIX, header_line(predictions.columns(self.card)), payloads)
        return ids

    def label(self, ids: Sequence[str], values: Sequence[Any], *, received: float = NOW - 10) -> None:
        """Append labels."""
        encoder = labels.LabelEncoder(self.card)
        payloads = [
            encoder.encode(request_id, None, 0, value, None, utc_text(received))
            for request_id, value in zip(ids, values, strict=True)
        ]
        folder = labels.folder(self.paths.live, self.card.name)
        append(folder, labels.PREFIX, header_line(labels.columns(self.card)), payloads)

    def refuse(
        self, *causes: tuple[str, str, str | None], requests: int, rows: int | None = None, at: float = NOW - 600
    ) -> None:
        """Append a writing of refused requests that all had the causes given: reason, feature, example."""
        asked = requests if rows is None else rows
        payloads = [
            refusals.encode(reason, feature, requests, asked, example, utc_text(at - 5), utc_text(at))
            for reason, feature, example in ((refusals.ANY, "", None), *causes)
        ]
        folder = refusals.folder(self.paths.live, self.card.name, self.card.version)
        append(folder, refusals.PREFIX, header_line(refusals.columns()), payloads)

    def run(self, window: Window | None = None, **settings: Any) -> Committed:
        """Run the engine over the last 24 hours before NOW, or over `window`."""
        engine = Engine(self.paths, DriftSettings(**settings), clock=lambda: NOW)
        return engine.run(self.card, window or last_day())


def last_day() -> Window:
    """The 24 hours before NOW."""
    return Window(utc_text(NOW - 86400), utc_text(NOW), "adhoc")


def _answers(card: ModelCard, found: Columns) -> dict[str, list[Any]]:
    """`score` is the prediction (regression), the positive class's probability, or a probability per class."""
    if card.task == "regression":
        return {PREDICTION: [float(score) for score in found["score"]]}
    shares = [list(score) if isinstance(score, list) else [1 - score, float(score)] for score in found["score"]]
    classes = [class_text(label) for label in card.classes]
    answers: dict[str, list[Any]] = {
        PREDICTION: [classes[share.index(max(share))] for share in shares],
        CONFIDENCE: [max(share) for share in shares],
    }
    for place, name in enumerate(probability_columns(card)):
        answers[name] = [share[place] for share in shares]
    return answers


def append(folder: Path, prefix: str, header: bytes, payloads: Sequence[bytes]) -> None:
    """Add lines to a log in a segment of their own, which is not sealed."""
    writer = SegmentWriter(folder, prefix, header, durable=False, clock=lambda: NOW)
    writer.append(payloads)
    writer.close()


def _arrow_type(feature: Feature) -> pa.DataType:
    kinds = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
    return kinds.get(feature.type, pa.string())
