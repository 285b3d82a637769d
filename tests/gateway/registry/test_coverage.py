"""Intervals hold the truth about as often as they claim: simulated on independent draws over many seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from gateway.registry.card import Metric
from gateway.registry.performance import accuracy_drop, classification_metrics, regression_metrics
from gateway.registry.ranking import binary_auc, weighted_auc

#: Three standard errors of a share near 95 % over 1,000 draws are 2.1 points; small samples are discrete, too.
LOW, HIGH = 0.925, 0.985


@pytest.mark.parametrize(("rows", "accuracy"), [(50, 0.9), (100, 0.7), (1000, 0.98)])
def test_wilson_covers_accuracy(rows: int, accuracy: float) -> None:
    """The 95 % interval of accuracy holds the true accuracy in about 95 % of 1,000 windows."""
    rng = np.random.default_rng(rows)
    labels = np.full(rows, "a")
    held = 0
    for _ in range(1000):
        predictions = np.where(rng.random(rows) < accuracy, "a", "b")
        metric = classification_metrics(labels, predictions, None, ["a", "b", "c"], None)[0]
        held += metric.lower <= accuracy <= metric.upper
    assert LOW <= held / 1000 <= HIGH


@pytest.mark.parametrize("rows", [100, 2000])
def test_positive_f1_is_covered(rows: int) -> None:
    """Wilson on TP/(TP+FP+FN) carries over to F1."""
    rng = np.random.default_rng(rows)
    share, recall, false_alarms = 0.3, 0.8, 0.1
    hits, misses, alarms = share * recall, share * (1 - recall), (1 - share) * false_alarms
    truth, held, runs = 2 * hits / (2 * hits + misses + alarms), 0, 500
    for _ in range(runs):
        positive = rng.random(rows) < share
        predicted = rng.random(rows) < np.where(positive, recall, false_alarms)
        metrics = classification_metrics(_words(positive), _words(predicted), None, ["no", "yes"], "yes")
        metric = _find(metrics, "f1_score", "positive")
        held += metric.lower <= truth <= metric.upper
    assert LOW <= held / runs <= HIGH


@pytest.mark.parametrize("rows", [50, 1000])
def test_delong_covers_the_auc(rows: int) -> None:
    """Two normal score distributions one SD apart: AUC = Phi(1/sqrt 2)."""
    rng = np.random.default_rng(rows)
    truth, held, runs = norm.cdf(1 / np.sqrt(2)), 0, 600
    for _ in range(runs):
        positive = rng.random(rows) < 0.4
        metric = binary_auc(positive, rng.normal(positive.astype(float)))
        assert metric is not None
        held += metric.lower <= truth <= metric.upper
    assert LOW <= held / runs <= HIGH


def test_weighted_auc_is_covered() -> None:
    """Three classes with unequal shares: the interval holds the AUC of a million rows."""
    rng = np.random.default_rng(5)
    truth, held, runs = _three_classes(rng, 300_000).value, 0, 400
    for _ in range(runs):
        metric = _three_classes(rng, 300)
        held += metric.lower <= truth <= metric.upper
    assert LOW <= held / runs <= HIGH


@pytest.mark.parametrize("rows", [100, 2500])
def test_regression_bounds_cover(rows: int) -> None:
    """mae, rmse, bias and r2, of few and of many rows."""
    rng = np.random.default_rng(rows)
    truth = {"mae": np.sqrt(2 / np.pi), "rmse": 1.0, "bias": 0.0, "r2": 1 - 1 / 4}
    held, runs = dict.fromkeys(truth, 0), 600
    for _ in range(runs):
        labels = rng.normal(0, 2, rows)
        for metric in regression_metrics(labels, labels + rng.normal(size=rows)):
            held[metric.name] += metric.lower <= truth[metric.name] <= metric.upper
    assert all(LOW <= count / runs <= HIGH for count in held.values()), held


@pytest.mark.parametrize(("base_rows", "rows"), [(200, 100), (2000, 100), (2000, 1000)])
def test_the_accuracy_drop_is_covered_and_its_p_value_keeps_its_level(base_rows: int, rows: int) -> None:
    """A true drop of exactly 5 % is inside the interval in 95 %, and called larger at p < 1 % in about 1 %."""
    rng = np.random.default_rng(rows + base_rows)
    base, runs, held, called = 0.9, 2000, 0, 0
    for _ in range(runs):
        drop = accuracy_drop(
            _accuracy(rng.binomial(base_rows, base), base_rows), int(rng.binomial(rows, base * 0.95)), rows
        )
        assert drop is not None
        held += drop.lower <= 5.0 <= drop.upper
        called += drop.p_value < 0.01
    assert 0.935 <= held / runs <= 0.97
    assert called / runs <= 0.018


def _words(values: np.ndarray) -> np.ndarray:
    return np.where(values, "yes", "no")


def _find(metrics: tuple[Metric, ...], name: str, average: str | None) -> Metric:
    return next(metric for metric in metrics if (metric.name, metric.average) == (name, average))


def _three_classes(rng: np.random.Generator, rows: int) -> Metric:
    codes = rng.choice(3, rows, p=[0.2, 0.3, 0.5])
    scores = np.exp(rng.normal(size=(rows, 3)) + np.eye(3)[codes])
    metric = weighted_auc(codes, scores / scores.sum(axis=1, keepdims=True))
    assert metric is not None
    return metric


def _accuracy(correct: int, rows: int) -> Metric:
    labels = np.full(rows, "a")
    predictions = np.where(np.arange(rows) < correct, "a", "b")
    return classification_metrics(labels, predictions, None, ["a", "b", "c"], None)[0]
