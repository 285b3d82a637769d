"""Calibrating brings claimed probabilities to observed shares, where they are not there already."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from drift_engine.estimation.calibration import (
    CalibrationMap,
    Claims,
    Curve,
    Isotonic,
    Shift,
    calibrate,
    calibration_error,
)


def claims(rng: np.random.Generator, rows: int, confident: float) -> tuple[Claims, np.ndarray]:
    """What is claimed of two classes, and the true codes; `confident` times the true log odds is claimed."""
    odds = 1.5 * rng.normal(size=rows)
    codes = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return of_scores(1 / (1 + np.exp(-confident * odds))), codes


def of_scores(score: np.ndarray) -> Claims:
    """Two classes by the second one's probability; the likelier one is predicted."""
    return Claims(np.column_stack([1 - score, score]), (score > 0.5).astype(np.int64))


def error_of(rows: Claims, probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Calibration error of some probabilities for these rows."""
    return calibration_error(rows, probabilities, codes)


@pytest.mark.parametrize("predicted", [0, 1])
def test_it_is_scikit_learns_isotonic_regression_on_the_rows_of_each_prediction(predicted: int) -> None:
    """On scores with ties, between them and beyond their ends."""
    rows, codes = claims(np.random.default_rng(1), 800, 2.0)
    rows = of_scores(np.round(rows.probabilities[:, 1], 2))
    part = rows.predicted == predicted
    score = rows.probabilities[:, 1]
    expected = IsotonicRegression(out_of_bounds="clip").fit(score[part], codes[part] == 1)
    asked = of_scores(np.linspace(0.0, 0.5, 101) + 0.5001 * predicted)
    found = CalibrationMap.fit(Isotonic, rows, codes)(asked)
    assert found[:, 1] == pytest.approx(expected.predict(asked.probabilities[:, 1]), abs=1e-9)
    assert found.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [Shift, Isotonic])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_references_own_confusion_counts_come_out(kind: type[Curve], share: float) -> None:
    """Of the rows of each prediction as many are expected to be of the second class as there are; also none or all."""
    rng = np.random.default_rng(2)
    rows, _ = claims(rng, 3000, 3.0)
    codes = (rng.random(3000) < share).astype(np.int64)
    calibrated = CalibrationMap.fit(kind, rows, codes)(rows)
    for predicted in (0, 1):
        part = rows.predicted == predicted
        assert calibrated[part, 1].sum() == pytest.approx((codes[part] == 1).sum(), rel=0.01, abs=1)


def test_a_level_that_is_off_is_shifted_and_what_is_bent_is_unbent() -> None:
    """Twice the odds for every row: one number puts it right. Thrice the log odds: that needs a curve."""
    rng = np.random.default_rng(8)
    odds = rng.normal(size=3000)
    codes = (rng.random(3000) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    shifted = calibrate(of_scores(1 / (1 + np.exp(-(odds + np.log(2))))), codes, seed=1)
    assert np.abs(shifted(of_scores(np.array([0.5])))[0, 1] - 1 / 3) < 0.03
    assert kind_of(calibrate(*claims(rng, 4000, 3.0), seed=1)) is Isotonic


def kind_of(fitted: CalibrationMap) -> type[Curve]:
    """What its curves are."""
    return type(fitted._curves[0][0])


def test_few_rows_of_a_prediction_share_a_curve_with_the_others() -> None:
    """19 rows by themselves would be all or nothing."""
    rng = np.random.default_rng(3)
    score = np.concatenate([rng.uniform(0.0, 0.5, 500), rng.uniform(0.5001, 1.0, 19)])
    codes = (rng.random(519) < 0.5).astype(np.int64)
    found = CalibrationMap.fit(Isotonic, of_scores(score), codes)(of_scores(score))[:, 1]
    expected = IsotonicRegression(out_of_bounds="clip").fit_transform(score, codes)
    assert np.abs(found - expected).mean() < 0.01


def test_many_rows_are_thinned_without_harm() -> None:
    """50,000 different scores: 500 points give nearly the same map."""
    rows, codes = claims(np.random.default_rng(4), 50_000, 2.0)
    found, score = CalibrationMap.fit(Isotonic, rows, codes)(rows)[:, 1], rows.probabilities[:, 1]
    for predicted in (0, 1):
        part = rows.predicted == predicted
        expected = IsotonicRegression(out_of_bounds="clip").fit_transform(score[part], codes[part] == 1)
        assert np.abs(found[part] - expected).mean() < 3e-3


def test_an_overconfident_model_is_corrected() -> None:
    """Rows that were not fitted on: their claims are off by points, the calibrated ones are not."""
    rng = np.random.default_rng(5)
    calibration = calibrate(*claims(rng, 4000, 3.0), seed=1)
    rows, codes = claims(rng, 20_000, 3.0)
    assert error_of(rows, rows.probabilities, codes) > 0.08
    assert error_of(rows, calibration(rows), codes) < 0.03


def test_a_calibrated_model_is_left_about_as_it_is() -> None:
    """Whatever the halves say: no probability that serves is far from the one that was claimed."""
    rng = np.random.default_rng(6)
    for seed in range(5):
        calibration = calibrate(*claims(rng, 4000, 1.0), seed=seed)
        rows, codes = claims(rng, 20_000, 1.0)
        assert error_of(rows, calibration(rows), codes) < 0.03


def test_three_classes_sum_to_one() -> None:
    """Also where every one-vs-rest map says none: then the model's own word counts."""
    rng = np.random.default_rng(7)
    probabilities = rng.dirichlet([1, 1, 1], 500)
    codes = np.array([rng.choice(3, p=row) for row in probabilities])
    rows = Claims(probabilities, probabilities.argmax(axis=1))
    isotonic = CalibrationMap.fit(Isotonic, rows, codes)
    asked = Claims(np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.array([2, 0, 1]))
    for calibrated in (isotonic(rows), isotonic.resampled(rng)(rows), isotonic(asked)[:2]):
        assert calibrated.sum(axis=1) == pytest.approx(1.0)
        assert (calibrated >= 0).all()
