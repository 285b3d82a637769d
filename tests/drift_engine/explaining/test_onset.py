"""Since when: the change point is found where it is known, and its interval is as sure as it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drift_engine.explaining.cells import cells_of
from drift_engine.explaining.onset import ChangePoint, change_point, course
from drift_engine.table import NumberColumn, TextColumn


def found(reference: NumberColumn | TextColumn, window: NumberColumn | TextColumn) -> ChangePoint:
    """The change point of one column."""
    return course_of(reference, window)[0]


def course_of(
    reference: NumberColumn | TextColumn, window: NumberColumn | TextColumn
) -> tuple[ChangePoint, int | None]:
    """Where the change of one column begins, and where it is over."""
    cells = cells_of(reference, window)
    assert cells is not None
    result = course(cells)
    assert result is not None
    return result


@pytest.mark.parametrize("column", ["vicprice", "vicdemand", "transfer"])
def test_elec2_changes_in_its_row_17424(shared_data: Callable[[str], Path], column: str) -> None:
    """Constant before, never after: to the row, and the interval is that row alone."""
    values = pd.read_csv(shared_data("elec2.csv.gz"))[column].to_numpy(float)
    point = found(NumberColumn(values[:13_440]), NumberColumn(values[13_440:22_000]))
    assert [13_440 + row for row in (point.row, point.earliest, point.latest)] == [17_424] * 3


@pytest.mark.parametrize(
    ("rows", "shift", "at"), [(1000, 1.0, 300), (1000, 0.5, 500), (5000, 0.3, 2000), (1000, 0.5, 0), (1000, 0.7, 850)]
)
def test_the_interval_holds_the_change_in_95_of_100_windows(rows: int, shift: float, at: int) -> None:
    """A sudden shift of normal rows; a window that differs from the first row on is told as that."""
    rng = np.random.default_rng(rows + at)
    covered = before = 0
    for _ in range(200):
        values = rng.normal(size=rows)
        values[at:] += shift
        point = found(NumberColumn(rng.normal(size=5000)), NumberColumn(values))
        covered += point.earliest <= at <= point.latest
        before += point.earliest == 0
    # 181: at a coverage of 95 % fewer have a chance of 0.3 %.
    assert covered >= 181
    assert before >= 181 if at == 0 else before <= 10


def test_a_change_that_is_over_has_an_end_and_one_that_lasts_has_none() -> None:
    """The last row of an hour of trouble; in 200 windows that stay changed no end is told twice."""
    rng = np.random.default_rng(4)
    ended = 0
    for _ in range(200):
        values = rng.normal(size=1000)
        values[300:] += 0.7
        ended += course_of(NumberColumn(rng.normal(size=5000)), NumberColumn(values))[1] is not None
    assert ended <= 1
    for _ in range(50):
        values = rng.normal(size=1000)
        values[300:600] += 1.5
        point, end = course_of(NumberColumn(rng.normal(size=5000)), NumberColumn(values))
        assert end is not None
        assert abs(end - 600) <= 30
        assert abs(point.row - 300) <= 15


def test_trouble_at_the_start_of_a_window_larger_than_the_reference_is_not_mistaken_for_its_end() -> None:
    """Its rows are the odd ones, not the normal rows behind them."""
    rng = np.random.default_rng(5)
    for _ in range(50):
        values = rng.normal(size=3000)
        values[:1000] += 1.0
        point, end = course_of(NumberColumn(rng.normal(size=500)), NumberColumn(values))
        assert point.earliest == 0
        assert end is not None
        assert abs(end - 1000) <= 60


def test_a_surge_of_missing_values_and_a_new_level_have_a_beginning_too() -> None:
    """Whatever the cells are; the exact rows, since nothing of the kind came before."""
    values = np.random.default_rng(0).random(1000)
    gaps = NumberColumn(np.where(np.arange(1000) < 700, values, np.nan))
    assert found(NumberColumn(np.linspace(0, 1, 500)), gaps).row == 700
    codes = np.where(np.arange(1000) < 250, 0, 1).astype(np.int32)
    assert found(TextColumn(np.zeros(500, dtype=np.int32), ("a",)), TextColumn(codes, ("a", "b"))).row == 250


def test_a_million_rows_are_searched_to_the_row() -> None:
    """First in blocks, then row by row."""
    values = np.arange(1_000_000) % 2 * 0.5
    values[654_321:] = 1.0
    point = found(NumberColumn(np.arange(100) % 2 * 0.5), NumberColumn(values))
    assert (point.row, point.earliest, point.latest) == (654_321,) * 3


def test_a_window_without_rows_has_no_change_point() -> None:
    """Nor is it an error."""
    cells = cells_of(NumberColumn(np.arange(10.0)), NumberColumn(np.empty(0)))
    assert cells is not None
    assert change_point(cells) is None
    assert course(cells) is None
