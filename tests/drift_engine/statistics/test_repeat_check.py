"""One exact number that repeats: found from a handful of rows, and never more often by chance than the budget says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from drift_engine.findings import Subject, judge
from drift_engine.results.schema import ColumnFinding
from drift_engine.settings import DriftSettings
from drift_engine.statistics.repeat_check import MASS_POINT_MIN, check_repeat, find_repeat, usual_repeat
from drift_engine.table import Floats, NumberColumn, Table

Draw = Callable[[np.random.Generator, int], Floats]
FLOOR = 0.005

#: Numbers without drift, from none of which repeats to few that do all the time.
KINDS: dict[str, Draw] = {
    "normal": lambda rng, rows: rng.normal(size=rows),
    "rounded to 0.1 SD": lambda rng, rows: rng.normal(size=rows).round(1),
    "rounded to 0.01 SD": lambda rng, rows: rng.normal(size=rows).round(2),
    "prices": lambda rng, rows: rng.zipf(1.5, rows).clip(max=2000) * 37.0 % 2003,
    "zero-inflated": lambda rng, rows: np.where(rng.random(rows) < 0.6, 0.0, rng.exponential(size=rows).round(2)),
    "counts": lambda rng, rows: rng.poisson(2, rows).astype(np.float64),
    "codes": lambda rng, rows: rng.choice([1.0, 2.0, 3.0, 9.0], rows, p=[0.97, 0.02, 0.009, 0.001]),
    "half repeats": lambda rng, rows: np.where(
        rng.random(rows) < 0.5, rng.integers(0, 300, rows), rng.normal(size=rows)
    ),
}


def detected(before: Floats, now: Floats, alpha: float, floor: float = FLOOR) -> bool | None:
    """The verdict on values in any order."""
    return check_repeat(np.sort(before), np.sort(now), alpha, floor).detected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("reference", "window"), [(500, 50), (5000, 300), (1000, 1000), (300, 5000), (20_000, 60)])
def test_without_drift_it_errs_no_more_often_than_its_part_of_the_budget(
    kind: str, reference: int, window: int
) -> None:
    """600 windows at 5 % and no floor: at most as many alarms as a rate of 5 % gives in 999 of 1,000 tries."""
    rng = np.random.default_rng([reference, window])
    draw = KINDS[kind]
    alarms = sum(bool(detected(draw(rng, reference), draw(rng, window), 0.05, 1e-9)) for _ in range(600))
    assert alarms <= 48


def test_a_stuck_value_is_found_in_small_windows_that_ten_bins_are_blind_in() -> None:
    """10 % of 100 rows at one value, at what one of 30 columns may spend; the same where values are rounded."""
    rng = np.random.default_rng(1)
    alpha = 0.02 * 0.01 / 30
    for draw in (KINDS["normal"], KINDS["rounded to 0.01 SD"]):
        found = 0
        for _ in range(100):
            now = draw(rng, 100)
            now[rng.random(100) < 0.1] = 1.0
            found += bool(detected(draw(rng, 5000), now, alpha))
        assert found >= 75


def test_the_value_whose_share_grew_most_is_named_with_its_rows() -> None:
    """Not the mass point, not one that occurs once, and none at all where no share grew."""
    before = np.sort(np.concatenate([np.zeros(500), np.arange(1, 501) / 7]))
    now = np.sort(np.concatenate([np.zeros(70), [1 / 7] * 5, [3.3] * 20, np.arange(100, 105)]))
    found = find_repeat(before, now)
    assert found is not None
    assert (found.value, found.window, found.reference) == (3.3, 20, 0)
    assert found.growth == pytest.approx(0.2)
    assert find_repeat(before, np.arange(600.0, 700.0)) is None
    assert find_repeat(before, np.zeros(100)) is None
    mass = np.sort(np.append(np.zeros(5), np.arange(1.0, 96.0)))
    assert MASS_POINT_MIN * len(mass) <= 5
    assert find_repeat(mass, np.zeros(100)) is None


def test_nothing_to_compare_is_no_verdict_and_infinity_is_a_value() -> None:
    """A sensor that overflows repeats, too."""
    empty = np.empty(0)
    assert check_repeat(empty, np.ones(60), 0.01, FLOOR).detected is None
    assert check_repeat(np.ones(60), empty, 0.01, FLOOR).detected is None
    before = np.arange(1000.0)
    assert detected(before, np.append(np.arange(90.5, 180.5), [np.inf] * 10), 1e-4)


def test_the_floor_lets_trifles_pass_however_many_rows_there_are() -> None:
    """0.4 % of a million rows at one value are far beyond chance, and none of anybody's business."""
    before, now = np.arange(1_000_000.0), np.arange(1_000_000.0) + 0.5
    now[:4000] = 0.5
    check = check_repeat(before, np.sort(now), 1e-6, FLOOR)
    assert (check.detected, check.score, check.threshold) == (False, pytest.approx(0.004), FLOOR)


def judged(before: Floats, now: Floats) -> ColumnFinding:
    """What a run says of the one column of two tables in time order."""
    tables = [Table({"x": NumberColumn(values)}, len(values)) for values in (before, now)]
    return judge([Subject("x", "x", "number", 1.0)], *tables, 0.01, DriftSettings())[0].finding


def test_values_that_come_in_sessions_are_not_stuck() -> None:
    """Every session of ten rows has a value of its own, in the window as in the reference: no repeat is news there.

    A value that fills a quarter of the window is.
    """
    rng = np.random.default_rng(5)
    for _ in range(50):
        before, now = (np.repeat(rng.normal(size=sessions), 10) for sessions in (500, 30))
        check = judged(before, now).check("repeat")
        assert check is not None
        assert check.detected is False
    now[:75] = 0.123
    finding = judged(before, now)
    assert finding.kind == "stuck"
    assert finding.sentence.startswith("25 % of values are 0.123 exactly (0 % in the reference)")


def test_what_a_stretch_of_the_reference_shows_is_its_own_measure() -> None:
    """20 rows in a stretch of 100 of 1,000: so many rows beyond what the rest has."""
    values = np.arange(1000.0)
    values[400:420] = 7.5
    assert usual_repeat(values, 100) == pytest.approx(20, rel=0.01)
    assert usual_repeat(np.arange(1000.0), 100) == 0.0
    assert usual_repeat(np.array([1.0]), 100) == 0.0
    assert usual_repeat(np.full(10, np.nan), 4) == 0.0


def test_a_move_of_everything_is_no_stuck_value_though_new_ones_repeat() -> None:
    """Whole numbers that gathered about another one: a shift, whose sentence comes first."""
    rng = np.random.default_rng(9)
    before, now = rng.normal(100, 25, 4000).round(), rng.normal(150, 2, 1000).round()
    finding = judged(before, now)
    repeat = finding.check("repeat")
    assert repeat is not None
    assert repeat.detected
    assert finding.kind == "shift"
    assert "values are 151 exactly (0.25 % in the reference)" in finding.sentence.partition("; ")[2]
