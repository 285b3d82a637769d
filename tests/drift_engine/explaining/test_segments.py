"""Where: the rows that hold the change are named, and nothing is where it is everywhere alike."""

from __future__ import annotations

import numpy as np
import pytest

from drift_engine.explaining.cells import Cells, cells_of
from drift_engine.explaining.segments import contributions
from drift_engine.results.schema import Contribution
from drift_engine.table import Column, NumberColumn, TextColumn

COUNTRIES = ("de", "fr", "it", "pl")


def side(
    rng: np.random.Generator, rows: int, where: str = "", shares: tuple[float, ...] = (0.5, 0.3, 0.15, 0.05)
) -> list[Column]:
    """An amount that depends on age, a country, an age and noise; the amount moves in the rows named by `where`."""
    country = rng.choice(4, rows, p=shares).astype(np.int32)
    age = rng.normal(size=rows)
    amount = rng.normal(size=rows) + 0.3 * age
    moved = {"": 0.0, "all": 0.5, "it": np.where(country == 2, 1.5, 0), "old": np.where(age > 1.28, 2.0, 0)}[where]
    return [
        NumberColumn(amount + moved),
        TextColumn(country, COUNTRIES),
        NumberColumn(age),
        NumberColumn(rng.normal(size=rows)),
    ]


def told(reference: list[Column], window: list[Column]) -> tuple[Contribution, ...]:
    """The segments of the amount's change."""
    cells: list[Cells] = []
    for before, now in zip(reference, window, strict=True):
        found = cells_of(before, now)
        assert found is not None
        cells.append(found)
    return contributions(cells[0], dict(zip(("country", "age", "noise"), cells[1:], strict=True)))


def test_the_level_that_moved_is_named() -> None:
    """A sixth of the rows, most of the change."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        segments = told(side(rng, 5000), side(rng, 2000, "it"))
        assert [(item.column, item.where) for item in segments] == [("country", '"it"')]
        assert segments[0].change_share > 0.6
        assert 0.12 < segments[0].rows_share < 0.18


def test_the_range_that_moved_is_named() -> None:
    """By the reference's cuts."""
    rng = np.random.default_rng(2)
    segments = told(side(rng, 5000), side(rng, 5000, "old"))
    assert [item.column for item in segments] == ["age"]
    assert segments[0].where.startswith("above 1.")


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.15, 0.05), (0.1, 0.3, 0.3, 0.3)])
def test_a_change_that_is_everywhere_is_nowhere_in_particular(shares: tuple[float, ...]) -> None:
    """Also when the mix of countries changes beside it: in 200 windows no segment is told."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        assert told(side(rng, 5000), side(rng, 500, "all", shares)) == ()
