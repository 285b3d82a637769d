"""The rule on real files: quiet where nothing changed, and the known columns found where something did."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from benchmarks.verdict_files import Find, compared, moved, pairs, periods, random_split_alarms
from drift_engine.results.schema import DataDrift


@pytest.mark.parametrize("file", ["bank", "elec2", "fdh"])
def test_random_splits_of_one_period_alarm_no_more_often_than_their_budget(shared_data: Find, file: str) -> None:
    """200 windows of 500 rows against 5,000 rows of the same period, 1 % per run."""
    splits = 200
    assert random_split_alarms(periods(shared_data)[file], splits, seed=1) <= binom.isf(1e-3, splits, 0.01)


def drift_of(shared_data: Find, name: str) -> tuple[DataDrift, frozenset[str]]:
    """What was found in a pair, and what is known to have changed."""
    pair = pairs(shared_data)[name]
    return compared(pair.reference, pair.window), pair.changed


def test_bank(shared_data: Find) -> None:
    """In 2009 the five economic indices and the way of contact are not those of 2008, by far."""
    drift, changed = drift_of(shared_data, "bank, 2008 against 2009")
    assert changed <= moved(drift)
    assert drift.score is not None
    assert drift.score > 1


def test_elec2(shared_data: Find) -> None:
    """Three columns are constant up to row 17,423: the first 100 rows after that name all three, strongest."""
    pair = pairs(shared_data)["elec2, before and after row 17,424"]
    drift = compared(pair.reference, pair.window[:100])
    assert {finding.column for finding in drift.columns[:3]} == pair.changed


def test_simulated_cards(shared_data: Find) -> None:
    """Days 60-89 against 120-149 is a clean pair; days 0-13 are the warm-up of the counters."""
    clean, _ = drift_of(shared_data, "fdh, days 60-89 against 120-149 (clean)")
    assert moved(clean) == set()
    warm_up, changed = drift_of(shared_data, "fdh, days 60-89 against 0-13")
    assert changed <= moved(warm_up)


def test_cards_of_two_days(shared_data: Find) -> None:
    """The legitimate rows of the second day differ in the components that follow the clock."""
    drift, changed = drift_of(shared_data, "ulb, day 1 against day 2, legitimate")
    assert changed <= moved(drift)
