"""Estimates hold what labels show while nothing but the inputs change, and say so when labels contradict them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from drift_engine.estimation import estimate_quality, fit_estimator
from drift_engine.quality import measured
from drift_engine.settings import DriftSettings
from drift_engine.table import NumberColumn, Table, TextColumn
from gateway.registry.card import Feature
from tests.drift_engine.estimation.population import (
    NUMBERS,
    SCORED,
    card_with,
    numbers,
    scored,
    without_labels,
)
from tests.drift_engine.scenario import binary_card

SETTINGS = DriftSettings()


@pytest.mark.parametrize("confident", [1.0, 3.0])
def test_the_interval_holds_what_labels_show(confident: float) -> None:
    """60 windows of 500 rows and references of their own, of a calibrated and of an overconfident model.

    All figures are pooled.
    """
    rng = np.random.default_rng(1)
    held: dict[tuple[str, str | None], list[bool]] = {}
    errors = []
    for _ in range(60):
        reference, live = scored(rng, 1000, confident=confident), scored(rng, 500, confident=confident)
        estimate = fit_estimator(SCORED, reference, SETTINGS).estimate(live)
        assert {(e.metric, e.average) for e in estimate.back_test} == {
            (m.name, m.average) for m in measured(SCORED, live)
        }
        for error in estimate.back_test:
            held.setdefault((error.metric, error.average), []).append(error.covered)
        errors.append(next(e.error for e in estimate.back_test if e.metric == "accuracy"))
    assert len(held) == 10
    assert np.mean([covered for values in held.values() for covered in values]) >= 0.85
    assert abs(np.mean(errors)) < 0.015


def test_three_classes_are_estimated_too() -> None:
    """Against the labels of the same rows, within what chance allows."""
    rng = np.random.default_rng(2)
    card = card_with(("a", "b", "c"))

    def draw(rows: int) -> Table:
        codes = rng.integers(0, 3, rows)
        evidence = rng.normal(size=(rows, 3)) + 1.5 * np.eye(3)[codes]
        scores = np.exp(1.5 * evidence)
        scores /= scores.sum(axis=1, keepdims=True)
        levels = ("a", "b", "c")
        return Table(
            {
                "x": NumberColumn(rng.normal(size=rows)),
                **{f"probability_{name}": NumberColumn(scores[:, place]) for place, name in enumerate(levels)},
                "prediction": TextColumn(scores.argmax(axis=1).astype(np.int32), levels),
                "label": TextColumn(codes.astype(np.int32), levels),
            },
            rows,
        )

    estimate = estimate_quality(card, draw(2000), draw(3000), SETTINGS)
    assert {error.metric for error in estimate.back_test} >= {"accuracy", "f1_score", "roc_auc", "log_loss", "brier"}
    assert sum(error.covered for error in estimate.back_test) >= len(estimate.back_test) - 1
    assert estimate.metric("roc_auc", "weighted") is not None


def test_labels_of_the_window_have_no_say_in_its_estimate() -> None:
    """The same figures whether its labels came or not."""
    rng = np.random.default_rng(3)
    reference, live = scored(rng, 1000), scored(rng, 500)
    with_labels = estimate_quality(SCORED, reference, live, SETTINGS)
    without = estimate_quality(SCORED, reference, without_labels(live), SETTINGS)
    assert with_labels.metrics == without.metrics
    assert without.back_test == ()
    assert estimate_quality(SCORED, reference, without_labels(live), SETTINGS, live) == with_labels


def test_concept_drift_is_not_seen_but_said_once_labels_come() -> None:
    """Three tenths of the labels the other way round: the estimate stays, labels contradict it, and it says so."""
    rng = np.random.default_rng(4)
    reference, live = scored(rng, 2000), scored(rng, 1000, flipped=0.3)
    blind = estimate_quality(SCORED, reference, without_labels(live), SETTINGS)
    assert blind.trusted
    assert "cannot see concept drift" in blind.caution
    told = estimate_quality(SCORED, reference, live, SETTINGS)
    assert not told.trusted
    assert "on 1,000 labelled rows it says accuracy" in told.caution
    accuracy = next(error for error in told.back_test if error.metric == "accuracy")
    assert accuracy.error > 0.1
    assert not accuracy.covered


def test_healthy_windows_are_hardly_ever_called_contradicted() -> None:
    """At most 1 of 20."""
    rng = np.random.default_rng(5)
    estimator = fit_estimator(SCORED, scored(rng, 5000), SETTINGS)
    assert sum(not estimator.estimate(scored(rng, 300)).trusted for _ in range(20)) <= 1


def test_errors_of_numbers_follow_their_inputs() -> None:
    """Inputs move to where errors are larger: mae rises by more than half, the estimate with it."""
    rng = np.random.default_rng(6)
    reference = numbers(rng, 5000)
    estimator = fit_estimator(NUMBERS, reference, SETTINGS)
    assert estimator.method.name == "dle"
    for x_mean in (0.0, 0.8):
        estimate = estimator.estimate(numbers(rng, 3000, x_mean=x_mean))
        mae = next(error for error in estimate.back_test if error.metric == "mae")
        assert abs(mae.error) < 0.12 * mae.realised
    still = estimate_quality(NUMBERS, reference, numbers(rng, 2000, worse=1.5), SETTINGS)
    assert not still.trusted
    assert "says mae" in still.caution


def test_the_interval_of_a_mean_error_holds_what_labels_show() -> None:
    """30 windows of 500 rows against 3 references."""
    rng = np.random.default_rng(7)
    covered: dict[str, list[bool]] = {"mae": [], "rmse": []}
    for _ in range(3):
        estimator = fit_estimator(NUMBERS, numbers(rng, 2000), SETTINGS)
        for _ in range(10):
            for error in estimator.estimate(numbers(rng, 500)).back_test:
                covered[error.metric].append(error.covered)
    assert all(np.mean(held) >= 0.8 for held in covered.values()), covered


def test_equal_inputs_give_equal_estimates() -> None:
    """To the last bit, trees and bootstrap included."""
    for card, draw in ((SCORED, scored), (NUMBERS, numbers)):
        reference, live = draw(np.random.default_rng(8), 1000), draw(np.random.default_rng(9), 500)
        assert estimate_quality(card, reference, live, SETTINGS) == estimate_quality(card, reference, live, SETTINGS)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no probabilities", "the model gives no probabilities"),
        ("few labels", "the reference has 99 labelled rows of 100 needed"),
        ("no labels", "the reference has 0 labelled rows of 100 needed"),
        ("one class", "the labels of the reference are all of one class"),
        ("few rows", "99 rows of 100 needed"),
        ("no rows", "0 rows of 100 needed"),
        ("no error", "the model made no error on the reference"),
        ("endless errors", "the reference has 0 labelled rows of 100 needed"),
    ],
)
def test_what_is_lacking_is_said(what: str, reason: str) -> None:
    """A sentence instead of figures, and never an error."""
    rng = np.random.default_rng(10)
    card, reference, live = SCORED, scored(rng, 500), scored(rng, 500)
    if what == "no probabilities":
        card = dataclasses.replace(card, has_probabilities=False)
    elif what == "few labels":
        reference = reference.take(np.arange(99))
    elif what == "no labels":
        reference = without_labels(reference)
    elif what == "one class":
        reference = scored(rng, 500).take(np.flatnonzero(reference.columns["label"].codes == 1))
        reference = Table(
            dict(reference.columns) | {"label": TextColumn(np.zeros(reference.rows, np.int32), ("no",))}, reference.rows
        )
    elif what in ("few rows", "no rows"):
        live = live.take(np.arange(99 if what == "few rows" else 0))
    else:
        card, reference = NUMBERS, numbers(rng, 500)
        answers = reference.columns["label"].values if what == "no error" else np.full(500, 1e300)
        reference = Table(dict(reference.columns) | {"prediction": NumberColumn(answers)}, 500)
    estimate = estimate_quality(card, reference, live, SETTINGS)
    assert estimate.reason == reason
    assert (estimate.metrics, estimate.trusted) == ((), False)
    assert "cannot see concept drift" in estimate.caution


def test_odd_columns_are_survived() -> None:
    """Columns that are absent, empty, constant or endless on either side."""
    rng = np.random.default_rng(11)
    card = binary_card(features=(Feature("x", "number"), Feature("gone", "number"), Feature("odd", "category")))
    reference, live = scored(rng, 500), scored(rng, 300)
    nothing = TextColumn(np.full(300, -1, dtype=np.int32), ())
    endless = NumberColumn(np.where(np.arange(300) % 2 == 0, np.inf, np.nan))
    live = Table(dict(live.columns) | {"odd": nothing, "x": endless}, 300)
    estimate = estimate_quality(card, reference, live, SETTINGS)
    assert estimate.reason is None
    assert not estimate.trusted
    for score in (0.0, 1.0, 0.5):
        same = Table(
            dict(live.columns)
            | {
                "probability_yes": NumberColumn(np.full(300, score)),
                "probability_no": NumberColumn(np.full(300, 1 - score)),
            },
            300,
        )
        assert estimate_quality(card, reference, same, SETTINGS).metric("accuracy") is not None


@pytest.mark.parametrize("known", [0, 2])
def test_a_number_that_is_hardly_ever_there_keeps_nothing_from_being_estimated(known: int) -> None:
    """Trees cannot cut a column without any value; a fold of the reference may well be without."""
    rng = np.random.default_rng(9)
    reference, live = numbers(rng, 1000), numbers(rng, 500)
    sparse = np.full(1000, np.nan)
    sparse[:known] = 1.0
    columns = {**reference.columns, "noise": NumberColumn(sparse)}
    estimate = estimate_quality(NUMBERS, Table(columns, 1000), live, SETTINGS)
    assert estimate.reason is None
    assert {metric.name for metric in estimate.metrics} == {"mae", "rmse"}
