"""Fitting a candidate: the champion's pipeline with the same parameters, as if it had never been fitted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from drift_engine.reading.logged import inputs_of
from drift_engine.retraining.errors import CannotRetrain
from drift_engine.retraining.rows import LabelledRows
from gateway.registry import Feature, ModelCard
from gateway.registry.columns import class_text
from gateway.registry.frames import frame_of
from gateway.registry.inference import CannotScore, score
from gateway.registry.model_file import parts_of
from gateway.registry.table import Column


def fit_candidate(champion: Any, card: ModelCard, features: Sequence[Feature], rows: LabelledRows, seed: int) -> Any:
    """Fit a clone of the champion on `rows`.

    Estimators without a `random_state` of their own draw from numpy's global generator, which is seeded here, so that
    the same rows give the same candidate.

    Raises CannotRetrain: it cannot be cloned, or its fit fails.
    """
    from sklearn.base import clone

    # Fitted on a frame, an estimator remembers the names; one that was fitted on plain arrays stays like that.
    as_array = not hasattr(champion, "feature_names_in_") and all(f.type != "category" for f in features)
    inputs, target = inputs_of(features, rows.columns, as_array=as_array), _target(card, rows)
    np.random.seed(seed)
    try:
        candidate = clone(champion)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            candidate.fit(inputs, target)
    except Exception as error:  # any estimator may run here, and it may raise anything
        text = " ".join(str(error).split())[:300]
        raise CannotRetrain(
            f"the pipeline of {card.name} {card.version} cannot be fitted on these rows: {type(error).__name__}: {text}"
        ) from error
    return candidate


def frozen_parts(model: Any) -> tuple[str, ...]:
    """Estimators inside that keep what they learned when the pipeline is fitted again."""
    from sklearn.frozen import FrozenEstimator

    return tuple(type(part.estimator).__name__ for part in parts_of(model) if isinstance(part, FrozenEstimator))


def scorable(
    candidate: Any, card: ModelCard, features: Sequence[Feature], example: Sequence[Column]
) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """The features without what the candidate cannot score, and a note for each loss.

    Args:
        features: as wide as the rows and the predecessor are together.
        example: columns of a row or more that the candidate can score.
    """
    kept, notes = list(features), []
    for place, feature in enumerate(features):
        if feature.nullable and not _scores(candidate, card, kept, example, place, [None]):
            kept[place] = replace(feature, nullable=example[place].nullable)
            if not kept[place].nullable:
                notes.append(f"it cannot score a missing {feature.name}, and requests without one are refused")
        levels = feature.categories or ()
        if levels and not _scores(candidate, card, kept, example, place, list(levels)):
            able = tuple(level for level in levels if _scores(candidate, card, kept, example, place, [level]))
            lost = [level for level in levels if level not in able]
            kept[place] = replace(kept[place], categories=able)
            notes.append(
                f"it cannot score {feature.name} = {', '.join(map(repr, lost[:5]))}, and refuses such requests"
            )
    return tuple(kept), tuple(notes)


def _scores(
    candidate: Any,
    card: ModelCard,
    features: Sequence[Feature],
    example: Sequence[Column],
    place: int,
    values: list[str | None],
) -> bool:
    """Whether the candidate answers the example's first row with each of the values in one column."""
    columns = [np.repeat(column.inputs()[:1], len(values)) for column in example]
    columns[place] = np.array(values, dtype=object)
    try:
        score(candidate, frame_of(features, columns), card.classes)
    except (CannotScore, ValueError, TypeError):
        return False
    return True


def _target(card: ModelCard, rows: LabelledRows) -> Any:
    if card.task == "regression":
        return rows.truth.astype(np.float64)
    by_text = {class_text(label): label for label in card.classes}
    return np.array([by_text[text] for text in rows.truth])
