"""The benchmark of the verdicts measures what it says: its counts are those of rows, Evidently's decisions its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from benchmarks import verdicts
from benchmarks.evidently_defaults import flags
from benchmarks.verdict_columns import KINDS
from drift_engine.findings import rule_of
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import check_column
from drift_engine.statistics.summaries import Summary
from drift_engine.table import Column, NumberColumn

RULE = rule_of("any", 0.01, DriftSettings(minimum_rows=20))


def scores(draw: Callable[[], tuple[Summary, Summary]], draws: int) -> dict[str, list[float]]:
    """Scores of every check over many draws; a check without a verdict counts as -1."""
    found: dict[str, list[float]] = {}
    for _ in range(draws):
        for check in check_column(*draw(), RULE)[1]:
            found.setdefault(check.name, []).append(-1.0 if check.score is None else check.score)
    return found


@pytest.mark.parametrize(("reference", "window"), [(200, 100), (90, 400)])
@pytest.mark.parametrize("name", KINDS)
def test_counts_drawn_directly_have_the_distribution_of_those_of_rows(name: str, reference: int, window: int) -> None:
    """The scores of all checks, over 600 draws each way: two samples of one distribution."""
    kind, rng = KINDS[name], np.random.default_rng(3)
    by_rows = scores(lambda: verdicts.summaries(kind.rows(rng, reference), kind.rows(rng, window)), 600)
    directly = scores(lambda: kind.counts(rng, reference, window), 600)
    assert by_rows.keys() == directly.keys()
    for check in by_rows:
        assert ks_2samp(by_rows[check], directly[check], method="asymp").pvalue > 1e-4, check


def evidently_flags(reference: Column, window: Column) -> bool:
    """What the library's own default test says."""
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    before, now = _series(reference), _series(window)
    kind = ColumnType.Numerical if isinstance(reference, NumberColumn) else ColumnType.Categorical
    return bool(get_stattest(before, now, kind, None)(before, now, kind, None).drifted)


def _series(column: Column) -> pd.Series:
    values = column.present() if isinstance(column, NumberColumn) else column.texts()
    return pd.Series(values)


@pytest.mark.parametrize(("reference", "window"), [(500, 60), (1000, 300), (1001, 60), (3000, 800)])
@pytest.mark.parametrize("name", KINDS)
# Evidently imports from numpy.core, and divides by the zero count of an unseen level.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_the_recomputed_decision_is_evidentlys(name: str, reference: int, window: int) -> None:
    """Twenty windows of each kind, on both sides of the 1,000 rows at which its default tests change."""
    kind, rng = KINDS[name], np.random.default_rng(7)
    pairs = [(kind.rows(rng, reference), kind.rows(rng, window)) for _ in range(20)]
    ours = [flags(before, now) for before, now in pairs]
    assert ours == [evidently_flags(before, now) for before, now in pairs]


def test_a_part_gives_the_same_figures_again() -> None:
    """Every cell has a seed of its own, so parts may be run alone."""
    assert verdicts.power(5, 2) == verdicts.power(5, 2)
