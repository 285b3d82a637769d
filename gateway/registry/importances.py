"""How much each feature weighs in a model's answers: non-negative shares that sum to 1."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry.card import ClassLabel, Feature
from gateway.registry.inference import Answers, score
from gateway.registry.inspection import Truth

PERMUTED_ROWS_MAX = 500
PERMUTED_SECONDS_MAX = 5.0
PERMUTATIONS = 3


def importances_of(
    model: Any,
    features: Sequence[Feature],
    classes: Sequence[ClassLabel],
    frame: Any,
    truth: Truth,
    seed: int,
) -> dict[str, float]:
    """Shares by feature name: the model's own, else by permutation where that is quick, else empty.

    Own: `feature_importances_`, or the size of `coef_` in units of the columns' standard deviation. A pipeline's
    last step sees other columns than the pipeline, so there each column is shuffled and the loss of quality measured
    (Breiman, Machine Learning 45, 2001).

    Args:
        frame: the reference as the model takes it, a DataFrame with one column per feature.
    """
    weights = _own_weights(model, frame)
    if weights is None:
        weights = _permutation_weights(model, classes, frame, truth, np.random.default_rng(seed))
    if weights is None or not np.isfinite(weights).all() or not weights.sum() > 0:
        return {}
    return {feature.name: float(share) for feature, share in zip(features, weights / weights.sum(), strict=True)}


def _own_weights(model: Any, frame: Any) -> NDArray[np.float64] | None:
    if hasattr(model, "steps"):
        return None
    count = frame.shape[1]
    own = getattr(model, "feature_importances_", None)
    if own is not None and np.shape(own) == (count,):
        return np.clip(np.asarray(own, dtype=np.float64), 0.0, None)
    coefficients = getattr(model, "coef_", None)
    if isinstance(coefficients, np.ndarray) and coefficients.shape[-1] == count:
        spread = np.nanstd(frame.to_numpy(dtype=np.float64), axis=0)
        return np.asarray(np.abs(np.atleast_2d(coefficients)).mean(axis=0) * spread)
    return None


def _permutation_weights(
    model: Any, classes: Sequence[ClassLabel], frame: Any, truth: Truth, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Loss of quality when one column is shuffled, averaged over `PERMUTATIONS`; None when that would take long."""
    known = np.flatnonzero(truth.known)
    rows = np.sort(rng.permutation(known)[:PERMUTED_ROWS_MAX])
    sample, labels = frame.iloc[rows], truth.labels[rows]
    loss = _loss_of(labels, classes)
    started = time.monotonic()
    base = loss(score(model, sample, classes))
    seconds = time.monotonic() - started
    if seconds * PERMUTATIONS * frame.shape[1] > PERMUTED_SECONDS_MAX:
        return None
    weights = np.zeros(frame.shape[1])
    for position, name in enumerate(frame.columns):
        for _ in range(PERMUTATIONS):
            shuffled = sample.copy()
            shuffled[name] = sample[name].to_numpy()[rng.permutation(len(rows))]
            weights[position] += loss(score(model, shuffled, classes)) - base
    return np.clip(weights / PERMUTATIONS, 0.0, None)


def _loss_of(labels: NDArray[Any], classes: Sequence[ClassLabel]) -> Callable[[Answers], float]:
    """Squared error for numbers, Brier score with probabilities (finer than counting errors), else the error rate."""
    from gateway.registry.columns import class_text

    texts = np.array([class_text(label) for label in classes], dtype=object)

    def loss(answers: Answers) -> float:
        if not classes:
            return float(np.mean((answers.predictions - labels) ** 2))
        if answers.probabilities is None:
            return float(np.mean(answers.predictions != labels))
        truth = labels[:, np.newaxis] == texts[np.newaxis]
        return float(np.mean(np.sum((answers.probabilities - truth) ** 2, axis=1)))

    return loss
