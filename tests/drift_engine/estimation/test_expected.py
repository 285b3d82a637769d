"""Expected figures are the realised ones, with each row counted by its probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from drift_engine.estimation.expected import Answered
from gateway.registry.performance import classification_metrics


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", [1, 2])
def test_with_the_true_class_for_certain_they_are_the_realised_figures(classes: int, seed: int) -> None:
    """All of them, to 1e-12; scores are rounded, so that some are tied."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, classes, 400)
    probabilities = rng.dirichlet(np.ones(classes), 400) + 0.5 * np.eye(classes)[codes]
    probabilities = np.round(probabilities / probabilities.sum(axis=1, keepdims=True), 2)
    probabilities[:, 0] += 1 - probabilities.sum(axis=1)
    predicted = probabilities.argmax(axis=1)
    names = np.array([f"c{code}" for code in range(classes)])
    positive = 1 if classes == 2 else None
    realised = classification_metrics(
        names[codes], names[predicted], probabilities, names.tolist(), None if positive is None else "c1"
    )
    expected = Answered(predicted, probabilities, positive).figures(np.eye(classes)[codes])
    assert expected.keys() == {(m.name, m.average) for m in realised}
    for metric in realised:
        assert expected[metric.name, metric.average] == pytest.approx(metric.value, abs=1e-12)


def test_they_are_the_mean_over_classes_drawn_from_the_probabilities() -> None:
    """Of figures that are linear in the truth: accuracy, log loss and Brier score."""
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet([1, 2, 3], 300)
    answered = Answered(probabilities.argmax(axis=1), probabilities, None)
    ends = np.cumsum(probabilities, axis=1)
    drawn = [np.eye(3)[(rng.random((300, 1)) > ends[:, :-1]).sum(axis=1)] for _ in range(2000)]
    expected = answered.figures(probabilities)
    for name in ("accuracy", "log_loss", "brier"):
        mean = np.mean([answered.figures(truth)[name, None] for truth in drawn])
        assert mean == pytest.approx(expected[name, None], abs=0.003)


def test_nothing_is_said_of_positives_that_are_hardly_there() -> None:
    """Under ten expected positives, as for realised ones; and of a ranking that has one side only."""
    score = np.linspace(0.01, 0.05, 100)
    found = Answered(np.zeros(100, dtype=np.int64), np.column_stack([1 - score, score]), 1).figures(
        np.column_stack([np.ones(100), np.zeros(100)])
    )
    assert np.isnan(found["recall", "positive"])
    assert np.isnan(found["roc_auc", None])
    assert found["accuracy", None] == 1.0
