"""Calibrating brings claimed probabilities to observed shares, where they are not there already."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from drift_engine.estimation.calibration import IsotonicMap, calibrate, calibration_error


def claims(rng: np.random.Generator, rows: int, confident: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of two classes and the true codes; `confident` times the true log odds is what is claimed."""
    odds = 1.5 * rng.normal(size=rows)
    codes = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    score = 1 / (1 + np.exp(-confident * odds))
    return np.column_stack([1 - score, score]), codes


def test_it_is_scikit_learns_isotonic_regression() -> None:
    """On scores with ties, between them and beyond their ends."""
    rng = np.random.default_rng(1)
    probabilities, codes = claims(rng, 800, 2.0)
    probabilities = np.round(probabilities, 2)
    asked = np.linspace(0, 1, 201)
    expected = IsotonicRegression(out_of_bounds="clip").fit(probabilities[:, 1], codes == 1).predict(asked)
    found = IsotonicMap.fit(probabilities, codes)(np.column_stack([1 - asked, asked]))
    assert found[:, 1] == pytest.approx(expected, abs=1e-9)
    assert found.sum(axis=1) == pytest.approx(1.0)


def test_many_rows_are_thinned_without_harm() -> None:
    """50,000 different scores: 1,000 points give the same map to a thousandth."""
    probabilities, codes = claims(np.random.default_rng(2), 50_000, 2.0)
    expected = IsotonicRegression(out_of_bounds="clip").fit_transform(probabilities[:, 1], codes == 1)
    assert np.abs(IsotonicMap.fit(probabilities, codes)(probabilities)[:, 1] - expected).mean() < 2e-3


def test_an_overconfident_model_is_corrected() -> None:
    """Rows that were not fitted on: their claims are off by points, the calibrated ones are not."""
    rng = np.random.default_rng(3)
    calibration = calibrate(*claims(rng, 4000, 3.0), seed=1)
    assert calibration.serves
    assert calibration.error_after < calibration.error_before / 3
    probabilities, codes = claims(rng, 20_000, 3.0)
    assert calibration_error(probabilities, probabilities, codes) > 0.08
    assert calibration_error(probabilities, calibration(probabilities), codes) < 0.02


def test_a_calibrated_model_is_left_about_as_it_is() -> None:
    """Whatever the halves say: no probability that serves is far from the one that was claimed."""
    rng = np.random.default_rng(4)
    for seed in range(5):
        calibration = calibrate(*claims(rng, 4000, 1.0), seed=seed)
        probabilities, codes = claims(rng, 20_000, 1.0)
        assert calibration_error(probabilities, calibration(probabilities), codes) < 0.02


def test_three_classes_sum_to_one() -> None:
    """Also where every one-vs-rest map says none: then the model's own word counts."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet([1, 1, 1], 500)
    codes = np.array([rng.choice(3, p=row) for row in probabilities])
    calibrated = IsotonicMap.fit(probabilities, codes)(np.vstack([probabilities, [[0.2, 0.3, 0.5]]]))
    assert calibrated.sum(axis=1) == pytest.approx(1.0)
    assert (calibrated >= 0).all()
