"""The canonical form: rows are chosen and put in order without changing a value, or copying without need."""

from __future__ import annotations

import numpy as np
import pytest

from drift_engine.statistics.summaries import quantiles, reference_cuts, summarise_number
from drift_engine.table import NumberColumn, Table, TextColumn

VALUES = np.array([3.0, np.nan, -np.inf, 1.0, np.inf, 1.0, -0.0, np.nan])


def table() -> Table:
    return Table({"x": NumberColumn(VALUES), "text": TextColumn(np.arange(8, dtype=np.int32) % 3 - 1, ("a", "b"))}, 8)


@pytest.mark.parametrize(
    "mask", [[0] * 8, [1] * 8, [0, 0, 1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0, 1], [1] + [0] * 7, [0] * 7 + [1]]
)
def test_a_mask_chooses_the_same_rows_whether_they_lie_together_or_not(mask: list[int]) -> None:
    """Rows side by side come as a view, others as a copy; the values are those of numpy's own indexing."""
    chosen = np.array(mask, dtype=bool)
    taken = table().take(chosen)
    assert taken.rows == sum(mask)
    x, text = taken.columns["x"], taken.columns["text"]
    assert isinstance(x, NumberColumn)
    assert isinstance(text, TextColumn)
    np.testing.assert_array_equal(x.values, VALUES[chosen])
    np.testing.assert_array_equal(text.codes, (np.arange(8) % 3 - 1)[chosen])


def test_the_rows_of_a_window_are_not_copied() -> None:
    """A window is a piece of a table in time order: it costs no memory."""
    chosen = np.arange(8) >= 3
    x = table().take(chosen).columns["x"]
    assert isinstance(x, NumberColumn)
    assert np.shares_memory(x.values, VALUES)


def test_what_is_missing_is_not_in_order() -> None:
    """NaN is missing, infinity is a value."""
    np.testing.assert_array_equal(NumberColumn(VALUES).ordered(), [-np.inf, 0.0, 1.0, 1.0, 3.0, np.inf])
    assert len(NumberColumn(np.full(3, np.nan)).ordered()) == 0


@pytest.mark.parametrize("rows", [1, 2, 3, 9, 10, 11, 99, 100, 101, 1000, 4099])
def test_quantiles_are_numpys(rows: int) -> None:
    """Those of the inverse of the distribution function, to the digit."""
    ordered = np.sort(np.random.default_rng(rows).normal(size=rows))
    for shares in (np.arange(1, 10) / 10, np.array([0.25, 0.5, 0.75]), np.arange(1, 100) / 100):
        np.testing.assert_array_equal(quantiles(ordered, shares), np.quantile(ordered, shares, method="inverted_cdf"))


def test_the_counts_are_those_of_a_look_at_every_value() -> None:
    """Bins hold their upper edge, the outer ones are open, ties and infinities included."""
    random = np.random.default_rng(1)
    before = np.round(random.normal(size=3000), 2)
    now = np.append(np.round(random.normal(0.2, 2, 2000), 2), [np.inf, -np.inf, np.nan])
    cuts = reference_cuts(NumberColumn(before))
    assert cuts is not None
    summary = summarise_number(NumberColumn(now), cuts)
    bins = np.searchsorted(cuts.edges, now[~np.isnan(now)], side="left")
    np.testing.assert_array_equal(summary.counts, np.bincount(bins, minlength=len(cuts.edges) + 1))
    assert summary.missing == 1
    assert summary.below == np.count_nonzero(now < before.min())
    assert summary.above == np.count_nonzero(now > before.max())
