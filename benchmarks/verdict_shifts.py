"""The shifts that the rule's power is measured on, and what it is measured against: K-S and chi-square, Bonferroni."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp

from benchmarks.verdict_columns import RARE_LEVELS, Continuous, Kind, Levels, Random
from drift_engine.statistics.checks import pool_levels
from drift_engine.statistics.summaries import summarise_levels
from drift_engine.table import Column, Floats, NumberColumn, TextColumn

Change = Callable[[Random, Column], Column]
_LOGNORMAL_SD = float(np.sqrt((np.e - 1) * np.e))


@dataclass(frozen=True)
class Shift:
    """`changes`: the columns that moved, each with what is done to the window's undrifted rows."""

    name: str
    changes: tuple[tuple[Kind, Change], ...]


def baseline_flags(reference: Column, window: Column, alpha: float) -> bool:
    """K-S on numbers, chi-square on the table of levels; nulls are left out, as both must.

    Levels that expect under five rows are one level: with them apart the chi-square errs far above its nominal rate.
    """
    if isinstance(reference, NumberColumn):
        assert isinstance(window, NumberColumn)
        return bool(ks_2samp(reference.present(), window.present(), method="asymp").pvalue < alpha)
    assert isinstance(window, TextColumn)
    before, now = summarise_levels(reference).counts, summarise_levels(window).counts
    levels = sorted(before.keys() | now.keys())
    c, d = (np.array([side.get(level, 0) for level in levels], dtype=np.int64) for side in (before, now))
    return bool(chi2_contingency(pool_levels(c, d), correction=False).pvalue < alpha)


def _numbers(change: Callable[[Random, Floats], Floats]) -> Change:
    def changed(rng: Random, column: Column) -> Column:
        assert isinstance(column, NumberColumn)
        return NumberColumn(change(rng, column.values))

    return changed


def _added(amount: float) -> Change:
    return _numbers(lambda rng, values: values + amount)


def _scaled(factor: float) -> Change:
    return _numbers(lambda rng, values: values * factor)


def _replaced(share: float, value: float) -> Change:
    return _numbers(lambda rng, values: np.where(rng.random(len(values)) < share, value, values))


def _multiplied(share: float, factor: float) -> Change:
    return _numbers(lambda rng, values: np.where(rng.random(len(values)) < share, factor * values, values))


def _recoded(share: float, source: int | None, level: int) -> Change:
    """`share` of all rows, those of `source` only if it is given, get `level`, which may be a new one."""

    def changed(rng: Random, column: Column) -> Column:
        assert isinstance(column, TextColumn)
        part = share if source is None else share / RARE_LEVELS[source]
        chosen = rng.random(len(column.codes)) < part
        if source is not None:
            chosen &= column.codes == source
        names = (*column.levels, "new")
        return TextColumn(np.where(chosen, level, column.codes).astype(np.int32), names)

    return changed


def _spread(share: float, source: int, targets: range) -> Change:
    """`share` of all rows, those of `source`, get one of the levels `targets`, each as often as its own share says."""
    weights = np.array([RARE_LEVELS[target] for target in targets])

    def changed(rng: Random, column: Column) -> Column:
        assert isinstance(column, TextColumn)
        chosen = (column.codes == source) & (rng.random(len(column.codes)) < share / RARE_LEVELS[source])
        drawn = rng.choice(targets, size=len(column.codes), p=weights / weights.sum())
        return TextColumn(np.where(chosen, drawn, column.codes).astype(np.int32), column.levels)

    return changed


_GAUSSIAN, _LOGNORMAL, _LEVELS = Continuous(), Continuous(log=True), Levels(RARE_LEVELS)

SHIFTS = (
    Shift("mean 0.1 SD in 1 of 30 columns", ((_GAUSSIAN, _added(0.1)),)),
    Shift("mean 0.2 SD in 1", ((_GAUSSIAN, _added(0.2)),)),
    Shift(
        "mean 0.2 SD in 10 (6 normal, 4 lognormal)",
        ((_GAUSSIAN, _added(0.2)),) * 6 + ((_LOGNORMAL, _added(0.2 * _LOGNORMAL_SD)),) * 4,
    ),
    Shift("mean 0.5 SD in 1", ((_GAUSSIAN, _added(0.5)),)),
    Shift("scale x1.5 in 1", ((_GAUSSIAN, _scaled(1.5)),)),
    Shift("scale x1.2 in 1", ((_GAUSSIAN, _scaled(1.2)),)),
    Shift("scale x0.8 in 1", ((_GAUSSIAN, _scaled(0.8)),)),
    Shift("missing 0 to 5 %", ((_GAUSSIAN, _replaced(0.05, np.nan)),)),
    Shift("new category 1 %", ((_LEVELS, _recoded(0.01, None, len(RARE_LEVELS))),)),
    Shift("new category 5 %", ((_LEVELS, _recoded(0.05, None, len(RARE_LEVELS))),)),
    Shift("category mix, total variation 0.10 (40/30 % to 30/40 %)", ((_LEVELS, _recoded(0.10, 0, 1)),)),
    Shift(
        "category mix, total variation 0.10 (40 to 30 %, five rare levels 10 to 20 %)",
        ((_LEVELS, _spread(0.10, 0, range(3, len(RARE_LEVELS)))),),
    ),
    Shift("1 % of rows x1000", ((_GAUSSIAN, _multiplied(0.01, 1000.0)),)),
    Shift("10 % stuck at one value (mean + 1 SD)", ((_GAUSSIAN, _replaced(0.10, 1.0)),)),
    Shift("10 % stuck at one value (the mean)", ((_GAUSSIAN, _replaced(0.10, 0.0)),)),
)
