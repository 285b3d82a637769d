"""What is judged of a model: its inputs, and its answers; and how the run's budget is shared among them."""

from __future__ import annotations

from drift_engine.findings import Subject
from gateway.registry import ModelCard
from gateway.registry.columns import CONFIDENCE, PREDICTION, class_text, feature_column, probability_column

#: Parts of the run's false-alarm budget: together they are the run's.
INPUTS_SHARE, ANSWERS_SHARE = 0.8, 0.2


def input_subjects(card: ModelCard, importance_share: float) -> tuple[Subject, ...]:
    """The features. A part of their weight follows importance where that is known, the rest is equal.

    All of it must not: a feature that the model hardly used when it was fitted, say because it was constant
    then, would get no budget, and could never be seen to change.
    """
    equal = 1.0 / len(card.features)
    known = sum(card.importances.values()) > 0
    share = importance_share if known else 0.0
    return tuple(
        Subject(
            feature.name,
            feature_column(feature.name),
            feature.type,
            (1 - share) * equal + share * card.importances.get(feature.name, 0.0),
        )
        for feature in card.features
    )


def answer_subjects(card: ModelCard) -> tuple[Subject, ...]:
    """The predicted class or value and, with probabilities, the scores; equally weighted.

    Binary: the positive class's probability says all about both. With more classes: each class's.
    """
    found = [("prediction", PREDICTION, "number" if card.task == "regression" else "category")]
    if card.has_probabilities:
        binary = card.positive_class is not None and len(card.classes) == 2
        classes = (card.positive_class,) if binary and card.positive_class is not None else card.classes
        found += [(f"probability of {class_text(label)}", probability_column(label), "number") for label in classes]
        found.append(("confidence", CONFIDENCE, "number"))
    return tuple(Subject(name, column, kind, 1.0 / len(found)) for name, column, kind in found)
