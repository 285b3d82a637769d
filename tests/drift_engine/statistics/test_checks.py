"""The rule's promises, by simulation: how often it errs without drift, and what it finds with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from drift_engine.findings import rule_of
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import (
    Rule,
    check_column,
    check_missing,
    check_novel,
    check_shape,
    pool_bins,
    pool_levels,
    psi,
)
from drift_engine.statistics.summaries import (
    LevelSummary,
    NumberSummary,
    Summary,
    reference_cuts,
    summarise_number,
    summarise_pair,
)
from drift_engine.table import Column, NumberColumn, TextColumn

Draw = Callable[[np.random.Generator, int], Column]


def normal(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(rng.normal(size=rows))


def lognormal(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(rng.lognormal(size=rows))


def zero_inflated(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(np.where(rng.random(rows) < 0.6, 0.0, rng.exponential(size=rows)))


def counts(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(rng.poisson(2, rows).astype(np.float64))


def with_missing(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(np.where(rng.random(rows) < 0.05, np.nan, rng.normal(size=rows)))


def rare_levels(rng: np.random.Generator, rows: int) -> Column:
    shares = [0.4, 0.3, 0.2, 0.05, 0.03, 0.01, 0.007, 0.003]
    return TextColumn(rng.choice(8, rows, p=shares).astype(np.int32), tuple("abcdefgh"))


def many_levels(rng: np.random.Generator, rows: int) -> Column:
    codes = rng.zipf(1.3, rows).clip(max=500) - 1
    return TextColumn(codes.astype(np.int32), tuple(f"level {number}" for number in range(500)))


KINDS: tuple[Draw, ...] = (normal, lognormal, zero_inflated, counts, with_missing, rare_levels, many_levels)


def summaries(reference: Column, window: Column) -> tuple[Summary, Summary]:
    """What both sides are reduced to. The reference has a value."""
    found = summarise_pair(reference, window)
    assert found is not None
    return found[1:]


def rule(alpha: float, floor: float | None = None) -> Rule:
    """The rule as the settings have it; with `floor` for the PSI floor, and the same part of the other floors."""
    settings = DriftSettings()
    if floor is not None:
        part = floor / settings.psi_floor
        floors = ("psi_floor", "location_floor", "spread_floor")
        settings = replace(settings, **{name: part * getattr(settings, name) for name in floors})
    return rule_of("any", alpha, settings)


def detected(reference: Column, window: Column, alpha: float, floor: float = 0.02) -> bool:
    """Whether any check of one column says drift."""
    _, checks = check_column(*summaries(reference, window), rule(alpha, floor))
    return any(check.detected for check in checks)


@pytest.mark.parametrize("rows", [50, 100, 300, 1000, 5000])
def test_without_drift_a_run_errs_no_more_often_than_its_budget(rows: int) -> None:
    """Seven kinds of columns, 400 windows, 1 % per run over all of them, and no effect floor to help."""
    rng = np.random.default_rng(rows)
    windows, alarms = 400, 0
    for number in range(windows):
        if number % 20 == 0:
            reference = [draw(rng, 5000) for draw in KINDS]
        alarms += any(
            detected(before, draw(rng, rows), 0.01 / len(KINDS), floor=0.0)
            for before, draw in zip(reference, KINDS, strict=True)
        )
    assert alarms <= binom.isf(1e-3, windows, 0.01)


@pytest.mark.parametrize("rows", [50, 100, 300, 1000, 5000])
def test_without_drift_the_score_of_ten_columns_stays_under_a_tenth(rows: int) -> None:
    """So that the classic line "score > 0.1" means drift at every window size."""
    rng = np.random.default_rng(rows + 1)
    kinds = (*KINDS, normal, lognormal, counts)
    reference = [draw(rng, 5000) for draw in kinds]
    for _ in range(100):
        excess = [
            check_shape(*summaries(before, draw(rng, rows)), rule(0.001, 0.02)).excess
            for before, draw in zip(reference, kinds, strict=True)
        ]
        assert np.mean([part for part in excess if part is not None]) < 0.1


def shifted(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(rng.normal(0.5, 1, rows))


def scaled(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(rng.normal(0, 1.5, rows))


def newly_missing(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(np.where(rng.random(rows) < 0.05, np.nan, rng.normal(size=rows)))


def new_level(rng: np.random.Generator, rows: int) -> Column:
    shares = np.array([0.4, 0.3, 0.2, 0.05, 0.03, 0.01, 0.007, 0.003]) * 0.95
    return TextColumn(rng.choice(9, rows, p=[*shares, 0.05]).astype(np.int32), (*"abcdefgh", "new"))


def stuck(rng: np.random.Generator, rows: int) -> Column:
    return NumberColumn(np.where(rng.random(rows) < 0.1, 0.3, rng.normal(size=rows)))


@pytest.mark.parametrize(
    ("before", "after", "rows", "power"),
    [
        (normal, shifted, 300, 0.95),
        (normal, scaled, 300, 0.9),
        (normal, newly_missing, 300, 0.95),
        (rare_levels, new_level, 300, 0.95),
        (normal, stuck, 1000, 0.9),
    ],
)
def test_a_stated_shift_in_one_of_ten_columns_is_found(before: Draw, after: Draw, rows: int, power: float) -> None:
    """Half a standard deviation, half as wide again, 5 % missing, 5 % of a new level, a tenth stuck at a value."""
    rng = np.random.default_rng(7)
    reference = before(rng, 5000)
    found = sum(detected(reference, after(rng, rows), 0.001) for _ in range(100))
    assert found >= 100 * power


def test_an_outlier_cannot_hide_a_shift() -> None:
    """The bins come from the reference alone, so a value of a million stretches nothing."""
    rng = np.random.default_rng(3)
    reference = normal(rng, 5000)
    window = NumberColumn(rng.normal(3, 1, 1000))
    with_outlier = NumberColumn(np.append(window.values, 1e6))
    scores = [
        check_shape(*summaries(reference, column), rule(0.01, 0.02)).check.score for column in (window, with_outlier)
    ]
    assert scores[0] is not None
    assert scores[0] > 4
    assert scores[1] == pytest.approx(scores[0], rel=0.02)


def test_a_ratio_above_one_means_detected_and_nothing_else_does() -> None:
    """The three parts of a verdict, score, threshold and ratio, never contradict it."""
    rng = np.random.default_rng(11)
    for number in range(300):
        draw = KINDS[number % len(KINDS)]
        before, now = summaries(draw(rng, 1000), draw(rng, int(rng.integers(30, 400))))
        _, checks = check_column(before, now, rule(0.5, 0.0))
        for check in checks:
            if check.detected is None:
                assert check.reason
                assert check.score is check.threshold is check.drift_ratio is None
            else:
                assert check.score is not None
                assert check.threshold is not None
                assert check.drift_ratio == check.score / check.threshold
                assert check.detected == (check.score > check.threshold) == (check.drift_ratio > 1)


def test_a_million_rows_do_not_alarm_on_a_trifle() -> None:
    """A shift of 0.05 standard deviations is certain at this size, and still below the effect floor."""
    rng = np.random.default_rng(5)
    before, now = summaries(normal(rng, 50_000), NumberColumn(rng.normal(0.05, 1, 1_000_000)))
    assert check_shape(before, now, rule(0.01, 0.0)).check.detected
    assert not check_shape(before, now, rule(0.01, 0.02)).check.detected


def test_psi_is_its_formula_with_a_pseudo_count_of_one() -> None:
    """Worked by hand: (5, 5) against (9, 1)."""
    p, q = 6 / 12, 10 / 12
    by_hand = (p - q) * np.log(p / q) + (p - (1 - q)) * np.log(p / (1 - q))
    assert psi(np.array([5, 5]), np.array([9, 1])) == pytest.approx(by_hand, abs=1e-15)


def test_too_few_values_give_no_shape_verdict() -> None:
    """49 values of 50 needed is "not enough data", on either side."""
    rng = np.random.default_rng(1)
    for reference_rows, window_rows, side in ((500, 49, "window"), (49, 500, "reference")):
        check = check_shape(*summaries(normal(rng, reference_rows), normal(rng, window_rows)), rule(0.01, 0.02)).check
        assert check.detected is None
        assert check.reason == f"49 values in the {side}, 50 needed"


@pytest.mark.parametrize("window_missing", [0, 3, 4, 5, 40])
def test_missing_agrees_with_the_exact_test(window_missing: int) -> None:
    """Detected exactly when scipy's hypergeometric tail is under alpha / 2 and the share moved by over a point."""
    n, m, total_reference, alpha = 500, 100, 8, 0.02
    before = NumberSummary(np.array([n - total_reference]), total_reference, 0, 0, (0.0, 0.0, 0.0))
    now = NumberSummary(np.array([m - window_missing]), window_missing, 0, 0, (0.0, 0.0, 0.0))
    total = total_reference + window_missing
    upper = hypergeom.sf(window_missing - 1, n + m, total, m)
    lower = hypergeom.cdf(window_missing, n + m, total, m)
    change = abs(window_missing / m - total_reference / n)
    expected = bool(min(upper, lower) < alpha / 2 and change > 0.01)
    assert check_missing(before, now, alpha, 0.01).detected == expected


@pytest.mark.parametrize("below", [0, 2])
@pytest.mark.parametrize("above", range(9))
def test_values_beyond_the_reference_follow_the_exceedance_bound(above: int, below: int) -> None:
    """Detected exactly when (k + 1) (m/(n+m))^k is under alpha and the share is above half a percent; k: both ends."""
    n, m, alpha = 900, 300, 0.002
    before = NumberSummary(np.array([n]), 0, 0, 0, (0.0, 0.0, 0.0))
    now = NumberSummary(np.array([m]), 0, below, above, (0.0, 0.0, 0.0))
    k = below + above
    expected = (k + 1) * (m / (n + m)) ** k < alpha and k / m > 0.005
    assert check_novel(before, now, alpha, 0.005).detected == expected


@pytest.mark.parametrize("count", range(1, 12))
def test_an_unseen_level_follows_the_sum_over_levels(count: int) -> None:
    """Detected exactly when the sum of (m/(n+m))^s over levels with s >= count is under alpha."""
    reference = LevelSummary({"a": 500, "b": 390, "c": 10, **{f"rare {number}": 4 for number in range(25)}}, 0)
    window = LevelSummary({"a": 300 - count, "new": count}, 0)
    ratio = 300 / (reference.present + 300)
    totals = [800 - count, 390, 10, *[4] * 25, count]
    p = sum(ratio**total for total in totals if total >= count)
    assert check_novel(reference, window, 0.01, 0.005).detected == (p < 0.01 and count / 300 > 0.005)


def test_bins_are_pooled_by_the_reference_alone() -> None:
    """Neighbours merge until each expects five rows in the window; the window's own counts have no say."""
    c, d = pool_bins(np.array([10, 60, 430, 3]), np.array([0, 50, 0, 0]))
    assert c.tolist() == [70, 433]
    assert d.tolist() == [50, 0]


def test_rare_levels_become_one() -> None:
    """Levels that expect under five rows are counted together, and what is lost is nothing."""
    c, d = pool_levels(np.array([300, 190, 4, 3, 3]), np.array([60, 30, 4, 3, 3]))
    assert c.tolist() == [300, 200]
    assert d.tolist() == [60, 40]


@pytest.mark.parametrize("values", [[3.0] * 500, [float("nan")] * 500, [1e308, -1e308] * 250, [float("inf")] * 500])
def test_strange_references_are_summarised_without_an_error(values: list[float]) -> None:
    """Constant, empty, huge and infinite columns give cuts or none, never an exception."""
    cuts = reference_cuts(NumberColumn(np.array(values)))
    if cuts is None:
        assert np.isnan(values).all()
    else:
        found = summarise_number(NumberColumn(np.array([*values, 0.0, np.nan])), cuts)
        assert found.present + found.missing == len(values) + 2


def test_a_constant_column_that_begins_to_vary_is_found() -> None:
    """It has no shape to compare, but every other value is novel."""
    before, now = summaries(NumberColumn(np.full(1000, 3.0)), NumberColumn(np.linspace(3, 4, 200)))
    shape, checks = check_column(before, now, rule(0.001))
    assert shape.check.detected is None
    assert [check.name for check in checks if check.detected] == ["novel"]
