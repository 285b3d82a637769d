"""Model cards for tests that need a schema but no model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.registry import Feature, ModelCard
from gateway.registry.card import Artifact, FileRecord

NUMBERS_AND_TEXT = (
    Feature("amount", "number"),
    Feature("count", "integer", nullable=True),
    Feature("job", "category", nullable=True, categories=("clerk", "student")),
    Feature("known", "boolean"),
    Feature("timestamp", "number"),
)


def card(**changes: Any) -> ModelCard:
    """A binary classifier's card with one feature of each type, one of them named like a log column."""
    record = FileRecord("none", "0" * 64, 0)
    base = ModelCard(
        name="loans",
        version="1",
        task="binary",
        features=NUMBERS_AND_TEXT,
        target="paid",
        classes=(0, 1),
        positive_class=1,
        has_probabilities=True,
        prediction_is_argmax=True,
        input_form="array",
        artifact=Artifact("skops", record),
        check_rows=record,
        reference=record,
        reference_rows=100,
        baseline=(),
        created_at="2026-01-01T00:00:00.000000Z",
        estimator="LogisticRegression",
        libraries={},
    )
    return replace(base, **changes)
