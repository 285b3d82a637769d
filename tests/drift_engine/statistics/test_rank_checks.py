"""The two rank checks against the textbook's tests on single rows, and what they find that PSI does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, mood, norm

from drift_engine.findings import rule_of
from drift_engine.results.schema import Check
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import check_column
from drift_engine.statistics.rank_checks import SPREAD_MIN, check_location, check_spread
from drift_engine.statistics.summaries import Counts, reference_cuts, summarise_number
from drift_engine.table import NumberColumn

NO_FLOOR = 1e-9


def p_value(check: Check, alpha: float) -> float:
    """The two-sided p-value that the check's ratio stands for."""
    assert check.drift_ratio is not None
    return float(2 * norm.sf(check.drift_ratio * norm.isf(alpha / 2)))


def test_location_is_the_mann_whitney_test_with_ties() -> None:
    """Score |AUC - 1/2| and p-value are scipy's, for a column of six values."""
    rng = np.random.default_rng(0)
    before, now = rng.poisson(1.5, 400).clip(max=5), rng.poisson(1.7, 150).clip(max=5)
    check = check_location(np.bincount(before, minlength=6), np.bincount(now, minlength=6), 0.01, NO_FLOOR)
    expected = mannwhitneyu(now, before, use_continuity=False, method="asymptotic")
    assert check.score == pytest.approx(abs(expected.statistic / (400 * 150) - 0.5), abs=1e-12)
    # Given the pooled ranks the variance has N - 1 below it; scipy's formula is the same one.
    assert p_value(check, 0.01) == pytest.approx(expected.pvalue, rel=1e-6)


def test_spread_is_moods_test() -> None:
    """With a bin per row there are no ties, and the p-value is scipy's."""
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=300), rng.normal(scale=1.2, size=120)
    rank = np.argsort(np.argsort(np.concatenate([before, now])))
    c, d = np.bincount(rank[:300], minlength=420), np.bincount(rank[300:], minlength=420)
    check = check_spread(c, d, 0.01, NO_FLOOR)
    assert p_value(check, 0.01) == pytest.approx(mood(now, before).pvalue, rel=1e-6)


@pytest.mark.parametrize("check", [check_location, check_spread])
def test_a_column_with_hardly_a_second_value_is_not_asked(check: object) -> None:
    """Of 2,000 reference rows 1 % differ: a window of 300 would have 3 of them, too few for a normal sum."""
    assert callable(check)
    found = check(np.array([1980, 20]), np.array([290, 10]), 0.01, NO_FLOOR)
    assert found.detected is None
    assert found.reason == f"chance puts 3.0 values outside the fullest bin, {SPREAD_MIN:g} needed"


def checked(window_rows: int, mean: float, scale: float, seed: int) -> dict[str, Check]:
    """The checks of a normal column at the budget of one column of thirty."""
    rng = np.random.default_rng(seed)
    reference, window = NumberColumn(rng.normal(size=5000)), NumberColumn(rng.normal(mean, scale, window_rows))
    cuts = reference_cuts(reference)
    assert cuts is not None
    _, checks = check_column(
        summarise_number(reference, cuts), summarise_number(window, cuts), rule_of("x", 0.01 / 30, DriftSettings())
    )
    return {check.name: check for check in checks}


@pytest.mark.parametrize(
    ("name", "rows", "mean", "scale", "power"),
    [("location", 5000, 0.1, 1.0, 0.65), ("location", 1000, 0.2, 1.0, 0.85), ("spread", 1000, 0.0, 1.2, 0.85)],
)
def test_small_smooth_changes_are_found_by_their_own_check_before_the_shape(
    name: str, rows: int, mean: float, scale: float, power: float
) -> None:
    """A tenth of a standard deviation at 5,000 rows, a fifth at 1,000, a fifth wider at 1,000."""
    found = [checked(rows, mean, scale, seed) for seed in range(100)]
    own, shape = (sum(bool(checks[which].detected) for checks in found) for which in (name, "shape"))
    assert own >= 100 * power
    assert own > shape


def test_effects_up_to_the_floor_are_none_however_many_rows_there_are() -> None:
    """A shift of 0.05 standard deviations, 5 % more width, a million rows."""
    checks = checked(1_000_000, 0.05, 1.05, seed=1)
    assert [name for name, check in checks.items() if check.detected] == []
    assert checks["location"].threshold == 0.02
    assert checks["spread"].threshold == 0.03


@pytest.mark.parametrize("counts", [[0, 0, 0], [500, 0, 0], [250, 250]])
def test_degenerate_counts_raise_nothing(counts: list[int]) -> None:
    """An empty column, a constant one, and one whose two values lie equally far from the middle."""
    c: Counts = np.array(counts)
    for check in (check_location(c, c, 0.01, 0.02), check_spread(c, c, 0.01, 0.03)):
        assert not check.detected
