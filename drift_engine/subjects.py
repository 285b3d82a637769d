"""What is judged of a model: its inputs, and its answers; and how the run's budget is shared among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from drift_engine.findings import Subject
from drift_engine.settings import DriftSettings
from gateway.registry import ModelCard
from gateway.registry.columns import CONFIDENCE, PREDICTION, class_text, feature_column, probability_column

#: Parts of the run's false-alarm budget: together they are the run's.
INPUTS_SHARE, ANSWERS_SHARE = 0.8, 0.2


def input_subjects(card: ModelCard, settings: DriftSettings) -> tuple[Subject, ...]:
    """The features. A part of their weight follows importance where that is known, the rest is equal.

    All of it must not: a feature that the model hardly used when it was fitted, say because it was constant
    then, would get no budget, and could never be seen to change. What the settings say of single columns comes on top.
    """
    equal = 1.0 / len(card.features)
    known = sum(card.importances.values()) > 0
    share = settings.importance_share if known else 0.0
    return _weighted(
        (
            Subject(
                feature.name,
                feature_column(feature.name),
                feature.type,
                (1 - share) * equal + share * card.importances.get(feature.name, 0.0),
            )
            for feature in card.features
        ),
        settings,
    )


def answer_subjects(card: ModelCard, settings: DriftSettings) -> tuple[Subject, ...]:
    """The predicted class or value and, with probabilities, the scores; equally weighted unless the settings say else.

    Binary: the positive class's probability says all about both. With more classes: each class's.
    """
    found = [("prediction", PREDICTION, "number" if card.task == "regression" else "category")]
    if card.has_probabilities:
        binary = card.positive_class is not None and len(card.classes) == 2
        classes = (card.positive_class,) if binary and card.positive_class is not None else card.classes
        found += [(f"probability of {class_text(label)}", probability_column(label), "number") for label in classes]
        found.append(("confidence", CONFIDENCE, "number"))
    return _weighted((Subject(name, column, kind, 1.0 / len(found)) for name, column, kind in found), settings)


def _weighted(subjects: Iterable[Subject], settings: DriftSettings) -> tuple[Subject, ...]:
    """The same, each weight times what the settings say of its column; together they stay what they were, 1."""
    found = tuple(subjects)
    if not settings.columns:
        return found
    weights = [subject.weight * settings.weight_of(subject.name) for subject in found]
    scale = sum(subject.weight for subject in found) / sum(weights)
    return tuple(replace(subject, weight=weight * scale) for subject, weight in zip(found, weights, strict=True))
