"""Rows that repeat one another are seen in the reference, allowed for, and said so; independent ones lose nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import chdtri
from scipy.stats import binom

from drift_engine.findings import rule_of
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import Rule, check_column
from drift_engine.statistics.clustering import (
    BLOCK_ROWS_MIN,
    BLOCKS_MIN,
    DESIGN_EFFECT_MAX,
    INDEPENDENT,
    Clustering,
    independence,
    measure_clustering,
)
from drift_engine.statistics.summaries import Cuts, reference_cuts, summarise_number
from drift_engine.table import Floats, NumberColumn, TextColumn

SESSION = 20


def sessions(rng: np.random.Generator, rows: int) -> Floats:
    """Normal values in sessions of 20 rows, with correlation 0.5 in a session."""
    common = np.repeat(rng.normal(size=rows // SESSION), SESSION)
    return np.asarray(np.sqrt(0.5) * common + np.sqrt(0.5) * rng.normal(size=rows))


def look(values: Floats, window_rows: int = 300, alpha: float = 0.001) -> Clustering:
    """What a reference with these values shows."""
    column = NumberColumn(values)
    return measure_clustering(column, reference_cuts(column), window_rows, alpha)


def test_independent_rows_are_seldom_taken_for_clustered() -> None:
    """No more often than the stated chance; and where they are not, thresholds are the very ones without a look."""
    rng = np.random.default_rng(1)
    looks = [look(rng.normal(size=3000), alpha=0.01) for _ in range(300)]
    assert sum(found.is_clustered for found in looks) <= binom.isf(1e-3, 300, 0.01)
    kept = next(found for found in looks if not found.is_clustered)
    assert kept.blocks == BLOCKS_MIN
    assert kept.quantile(9, 1e-4) == INDEPENDENT.quantile(9, 1e-4) == chdtri(9, 1e-4)


def rule_with(clustering: Clustering, alpha: float, **settings: float) -> Rule:
    """The rule of a column of such rows."""
    return replace(rule_of("any", alpha, replace(DriftSettings(), **settings)), clustering=clustering)  # type: ignore[arg-type]


def alarms(rng: np.random.Generator, *, allow: bool, alpha: float) -> int:
    """Of 500 clean windows of 300 rows in sessions, those that are called drift."""
    count = 0
    for _ in range(25):
        column = NumberColumn(sessions(rng, 5000))
        cuts = reference_cuts(column)
        assert cuts is not None
        found = measure_clustering(column, cuts, 300, 0.001) if allow else INDEPENDENT
        before = summarise_number(column, cuts)
        rule = rule_with(found, alpha, psi_floor=0.0)
        for _ in range(20):
            _, checks = check_column(before, summarise_number(NumberColumn(sessions(rng, 300)), cuts), rule)
            count += any(check.detected for check in checks)
    return count


def test_sessions_are_allowed_for() -> None:
    """At nominally 1 % rows taken as independent alarm in a fifth of clean windows; the blocks bring it to 2 %."""
    assert alarms(np.random.default_rng(2), allow=False, alpha=0.01) > 100
    assert alarms(np.random.default_rng(2), allow=True, alpha=0.01) <= binom.isf(1e-3, 500, 0.02)


def test_a_shift_in_sessions_is_still_found() -> None:
    """One standard deviation, at 600 rows that tell as much as some 300."""
    rng = np.random.default_rng(3)
    column = NumberColumn(sessions(rng, 5000))
    cuts = reference_cuts(column)
    assert cuts is not None
    rule = rule_with(measure_clustering(column, cuts, 600, 0.001), 1e-3)
    assert rule.clustering.design_effect > 1.5
    now = summarise_number(NumberColumn(sessions(rng, 600) + 1), cuts)
    assert check_column(summarise_number(column, cuts), now, rule)[0].check.detected


def test_clustered_rows_count_for_fewer() -> None:
    """The fewest rows of a shape are independent ones, and the reason says so."""
    rng = np.random.default_rng(4)
    column = NumberColumn(sessions(rng, 5000))
    cuts = reference_cuts(column)
    assert cuts is not None
    rule = rule_with(measure_clustering(column, cuts, 60, 0.001), 1e-3)
    now = summarise_number(NumberColumn(sessions(rng, 60)), cuts)
    check = check_column(summarise_number(column, cuts), now, rule)[0].check
    assert check.detected is None
    assert "independent ones, 50 needed" in str(check.reason)


def test_missing_values_that_come_in_bunches_are_allowed_for() -> None:
    """Whole sessions lack the value: their share varies more, and its own design effect says by how much."""
    rng = np.random.default_rng(5)
    absent = np.repeat(rng.random(250) < 0.1, SESSION)
    found = look(np.where(absent, np.nan, rng.normal(size=5000)))
    assert found.missing_effect > 8
    assert found.design_effect < 2


def test_sessions_that_few_long_blocks_overlook_are_seen_in_more_shorter_ones() -> None:
    """30 blocks of 166 rows leave some references of zeros and numbers for independent; none of 300 stays so.

    One that does alarms on the longer time scales for as long as it is used.
    """
    rng = np.random.default_rng(11)
    alpha, overlooked = 0.01 / 3000, 0
    for _ in range(300):
        values = sessions(rng, 5000)
        column = NumberColumn(np.where(values < 0.25, 0.0, values))
        cuts = reference_cuts(column)
        assert cuts is not None
        long = measure_clustering(column, cuts, 7200, alpha)
        assert long.is_clustered
        overlooked += long.block_rows == BLOCK_ROWS_MIN
    assert overlooked > 0


def test_categories_are_looked_at_too() -> None:
    """By level."""
    rng = np.random.default_rng(6)
    codes = np.digitize(sessions(rng, 5000), [-1, 0, 1]).astype(np.int32)
    assert measure_clustering(TextColumn(codes, tuple("abcd")), None, 300, 0.001).design_effect > 2
    rng.shuffle(codes)
    assert not measure_clustering(TextColumn(codes, tuple("abcd")), None, 300, 0.001).is_clustered


def test_short_blocks_merge_bins_and_still_see_sessions() -> None:
    """Blocks of 50 rows hold five rows of each of ten bins; of twenty they would hold 2.5."""
    column = NumberColumn(sessions(np.random.default_rng(8), 5000))
    fine = Cuts(np.quantile(column.values, np.arange(1, 20) / 20), -9.0, 9.0)
    found = measure_clustering(column, fine, 50, 0.001)
    assert found.block_rows == 50
    assert len(found.weights) == 9
    assert found.design_effect > 1.8
    assert found.quantile(19, 1e-4) > INDEPENDENT.quantile(19, 1e-4)


def test_a_reference_that_changes_with_time_does_not_hide_all_drift() -> None:
    """A column that has another value in each block: what is allowed for is limited, what was measured is told."""
    found = look(np.repeat(np.arange(15.0), 400))
    assert found.measured_effect > 100
    assert not found.is_stationary
    assert found.design_effect == pytest.approx(DESIGN_EFFECT_MAX)
    told = independence([("month", found), ("age", dataclasses.replace(INDEPENDENT, blocks=30, block_rows=200))])
    assert told.not_stationary == ("month",)
    assert "rows are not independent in 1 of 2 columns" in told.sentence
    assert "changes with time in 1 of 2" in told.sentence


def test_a_small_reference_cannot_tell() -> None:
    """It says so, and rows count as independent."""
    found = look(sessions(np.random.default_rng(7), BLOCKS_MIN * BLOCK_ROWS_MIN - SESSION))
    assert found == INDEPENDENT
    told = independence([("a", found)])
    assert not told.checked
    assert "could not be checked" in told.sentence
