"""Cards of models that were never fitted: for the code that needs to know what the columns are, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway.registry import Feature, ModelCard
from gateway.registry.card import Artifact, FileRecord

_NO_FILE = FileRecord("none", "0" * 64, 0)


def unfitted_card(name: str, features: Iterable[Feature], **changes: Any) -> ModelCard:
    """Version 1 of a binary classifier with probabilities, unless `changes` say otherwise."""
    card = ModelCard(
        name=name,
        version="1",
        task="binary",
        features=tuple(features),
        target="y",
        classes=(0, 1),
        positive_class=1,
        has_probabilities=True,
        prediction_is_argmax=True,
        input_form="array",
        artifact=Artifact("skops", _NO_FILE),
        check_rows=_NO_FILE,
        reference=_NO_FILE,
        reference_rows=0,
        baseline=(),
        created_at="2026-11-20T00:00:00Z",
        estimator="none",
        libraries={},
    )
    return replace(card, **changes)


def number_features(count: int, *, nullable: bool = False) -> tuple[Feature, ...]:
    """Numbers named x0, x1, ..."""
    return tuple(Feature(f"x{index}", "number", nullable=nullable) for index in range(count))
