"""Concept drift by its one definition: rarely found where there is none, found where there is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, mean_absolute_error, roc_auc_score

from drift_engine.quality import Quality, judge_quality, performance_of
from drift_engine.settings import DriftSettings
from drift_engine.table import Column, NumberColumn, Table, TextColumn
from gateway.registry import Metric
from gateway.registry.intervals import wilson
from tests.drift_engine.scenario import binary_card, regression_card

SETTINGS = DriftSettings()


def answers(rng: np.random.Generator, rows: int, accuracy: float, labelled: float = 1.0) -> Table:
    """Answers of a binary model that is right with probability `accuracy`."""
    truth = (rng.random(rows) < 0.4).astype(np.int32)
    answer = np.where(rng.random(rows) < accuracy, truth, 1 - truth).astype(np.int32)
    score = np.clip(0.5 + (answer - 0.5) * rng.random(rows), 0, 1)
    shown = np.where(rng.random(rows) < labelled, truth, -1).astype(np.int32)
    columns: dict[str, Column] = {
        "label": TextColumn(shown, ("no", "yes")),
        "prediction": TextColumn(answer, ("no", "yes")),
        "probability_no": NumberColumn(1 - score),
        "probability_yes": NumberColumn(score),
    }
    return Table(columns, rows)


def judged(live: Table, rng: np.random.Generator, baseline_rows: int = 2000) -> Quality:
    """Against a baseline that was itself measured, on rows with an accuracy of 0.9."""
    right = int(rng.binomial(baseline_rows, 0.9))
    lower, upper = wilson(right, baseline_rows)
    card = binary_card(baseline=(Metric("accuracy", right / baseline_rows, lower, upper, None, "wilson"),))
    return judge_quality(card, Table({}, 0), live, SETTINGS)


def test_without_a_drop_a_warning_is_rare_and_a_critical_alert_rarer() -> None:
    """400 healthy windows of 100 rows: the point drop alone would warn in 8 %."""
    rng = np.random.default_rng(1)
    found = [judged(answers(rng, 100, 0.9), rng).concept_drift.severity for _ in range(400)]
    assert sum(severity != "none" for severity in found) <= binom.isf(1e-3, 400, 0.02)
    assert found.count("critical") <= binom.isf(1e-3, 400, 0.005)


def test_a_drop_of_a_sixth_is_critical_at_500_rows() -> None:
    """From 0.90 to 0.75, nearly always."""
    rng = np.random.default_rng(2)
    found = [judged(answers(rng, 500, 0.75), rng).concept_drift.severity for _ in range(50)]
    assert found.count("critical") >= 48


def test_figures_are_scikit_learns_on_the_newest_labelled_rows() -> None:
    """At most 1,000 of them, whatever has no label left out."""
    rng = np.random.default_rng(3)
    live = answers(rng, 3000, 0.8, labelled=0.5)
    quality = judged(live, rng)
    assert len(quality.rows) == quality.performance.labelled_rows == 1000
    assert quality.performance.labelled_ratio == pytest.approx(0.5, abs=0.05)
    rows = live.take(quality.rows)
    label, prediction, score = (rows.columns[name] for name in ("label", "prediction", "probability_yes"))
    assert isinstance(label, TextColumn)
    assert isinstance(prediction, TextColumn)
    assert isinstance(score, NumberColumn)
    truth, answer = label.texts().astype(str), prediction.texts().astype(str)
    for name, average, expected in (
        ("accuracy", None, accuracy_score(truth, answer)),
        ("f1_score", "positive", f1_score(truth, answer, pos_label="yes")),
        ("roc_auc", None, roc_auc_score(truth == "yes", score.values)),
    ):
        metric = quality.performance.metric(name, average)
        assert metric is not None
        assert metric.value == pytest.approx(expected, abs=1e-12)


def test_too_few_labels_are_no_verdict() -> None:
    """99 of 100 needed: None, with the count in words."""
    rng = np.random.default_rng(4)
    quality = judged(answers(rng, 99, 0.9), rng)
    assert quality.performance.outcome == "insufficient_data"
    assert quality.concept_drift.detected is None
    assert quality.concept_drift.reason == "99 labelled rows of 100 needed"


def test_all_labelled_rows_of_a_window_are_measured_with_their_confusion_matrix() -> None:
    """However many; a label that the model does not know is a class of its own, behind the others."""
    rng = np.random.default_rng(6)
    live = answers(rng, 3000, 0.8, labelled=0.5)
    label, prediction = live.columns["label"], live.columns["prediction"]
    assert isinstance(label, TextColumn)
    assert isinstance(prediction, TextColumn)
    renamed = TextColumn(np.where(np.arange(3000) % 100 == 0, 2, label.codes).astype(np.int32), ("no", "yes", "maybe"))
    live = Table(dict(live.columns) | {"label": renamed}, 3000)
    performance = performance_of(binary_card(), live, SETTINGS)
    known = renamed.codes >= 0
    assert performance.outcome == "ok"
    assert performance.labelled_rows == known.sum() > 1000
    assert performance.confusion is not None
    assert performance.confusion.classes == ("no", "yes", "maybe")
    expected = confusion_matrix(renamed.codes[known], prediction.codes[known], labels=[0, 1, 2])
    assert [list(row) for row in performance.confusion.counts] == expected.tolist()
    few = performance_of(binary_card(), live.take(np.arange(50)), SETTINGS)
    assert (few.outcome, few.confusion, few.metrics) == ("insufficient_data", None, ())


@pytest.mark.parametrize(("scale", "severity"), [(1.0, "none"), (2.0, "critical")])
def test_regression_compares_the_mean_absolute_error(scale: float, severity: str) -> None:
    """Against the error on the reference's own rows, both resampled."""
    rng = np.random.default_rng(5)

    def table(rows: int, error: float) -> Table:
        truth = rng.normal(size=rows)
        return Table(
            {"label": NumberColumn(truth), "prediction": NumberColumn(truth + rng.normal(0, error, rows))}, rows
        )

    live = table(500, scale)
    quality = judge_quality(regression_card(), table(3000, 1.0), live, SETTINGS)
    assert quality.concept_drift.severity == severity
    assert quality.concept_drift.metric == "mae"
    mae = quality.performance.metric("mae")
    label, prediction = live.columns["label"], live.columns["prediction"]
    assert isinstance(label, NumberColumn)
    assert isinstance(prediction, NumberColumn)
    assert mae is not None
    assert mae.value == pytest.approx(mean_absolute_error(label.values, prediction.values), abs=1e-12)
