"""The shape of a column by one of Evidently's own methods, with an allowance instead of a fixed threshold.

`[drift] method` chooses one; "default" is the rule of `statistics.checks`, which these replace for the shape
alone: none of them sees missing values, and Evidently leaves out infinite ones. The score is Evidently's to 1e-9
for Wasserstein, Jensen-Shannon and PSI; of K-S and chi-square it is the statistic, where Evidently shows a p-value
and takes the reference for exact. What is allowed is what chance explains at the column's share of the budget, or
the effect floor: `psi_floor` in the method's own unit.

The law of a distance without drift is the permutation law: given the pooled values, each split of them into
reference and window is equally likely. 5,000 seeded splits give its 95 % point; beyond it the tail is continued as
an exponential of the squared distance (of PSI itself), with the mean excess of the splits or, if that is larger,
the one that it has in the limit. The tail of such a law, a sum of squares of normal variables, decays at least so
fast, so that the allowance errs to the side of fewer false alarms. K-S: the bound of Dvoretzky, Kiefer, Wolfowitz
and Massart for two samples (Wei and Dudley 2012). How often each errs: tests/drift_engine/statistics/test_methods.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, rel_entr

from drift_engine.results.schema import Check
from drift_engine.statistics import distances
from drift_engine.statistics.checks import pool_levels
from drift_engine.table import Column, Floats, NumberColumn, TextColumn

DEFAULT = "default"
#: What stands in place of a method that says nothing of a column's kind.
_FOR_NUMBERS = {"chisquare": "ks"}
_FOR_LEVELS = {"wasserstein": "jensenshannon", "ks": "chisquare"}
_SPLITS = 5000
#: The part of the splits that the tail is continued from.
_TAIL = 0.05
#: The pooled values are permuted in so many cells of equal size, and the outermost ones each by itself.
_CELLS, _OUTERMOST = 100, 20
#: PSI of a shift by d standard deviations is about 0.96 d**2 with ten bins; its K-S distance is 0.399 d.
_PSI_PER_SQUARED_SHIFT, _KS_PER_SHIFT = 0.96, 0.399

_Draws = NDArray[np.int64]


@dataclass(frozen=True)
class Allowance:
    """What a column may spend: `alpha` of the budget; effects up to `psi_floor` count as none.

    `minimum_rows`: fewest values on either side. `seed`: of the splits.
    """

    alpha: float
    psi_floor: float
    minimum_rows: int
    seed: int


@dataclass(frozen=True)
class _Measured:
    """A score and what chance allows of it."""

    score: float
    allowed: float


class _NoVerdict(Exception):
    """The method cannot say anything of the column; the text says why."""


def shape_by(method: str, reference: Column, window: Column, allowance: Allowance) -> Check:
    """The shape check of one column by `method`, any choice of the setting but the default."""
    used = _method_for(method, reference)
    shown = "evidently psi" if used == "psi" else used
    try:
        if isinstance(reference, NumberColumn):
            assert isinstance(window, NumberColumn)
            before, now = _finite(reference), _finite(window)
            _check_rows(len(before), len(now), allowance)
            measured = _of_numbers(used, before, now, allowance)
        else:
            assert isinstance(window, TextColumn)
            c, d = _level_counts(reference, window)
            _check_rows(int(c.sum()), int(d.sum()), allowance)
            measured = _of_counts(used, c, d, allowance)
    except (_NoVerdict, OverflowError) as error:
        return Check("shape", shown, None, None, None, None, str(error))
    score, allowed = measured.score, measured.allowed
    return Check("shape", shown, score, allowed, score / allowed, score > allowed)


def _method_for(method: str, column: Column) -> str:
    return (_FOR_NUMBERS if isinstance(column, NumberColumn) else _FOR_LEVELS).get(method, method)


def _check_rows(n: int, m: int, allowance: Allowance) -> None:
    for rows, of in ((m, "window"), (n, "reference")):
        if rows < allowance.minimum_rows:
            raise _NoVerdict(f"{rows} values in the {of}, {allowance.minimum_rows} needed")


def _of_numbers(method: str, reference: Floats, window: Floats, allowance: Allowance) -> _Measured:
    if method == "ks":
        return _ks(reference, window, allowance)
    if method == "wasserstein":
        return _wasserstein(reference, window, allowance)
    return _of_counts(method, *distances.histograms(reference, window), allowance)


def _of_counts(method: str, c: distances.Counts, d: distances.Counts, allowance: Allowance) -> _Measured:
    if len(c) < 2:
        raise _NoVerdict("both have the same one value: there is no shape to compare")
    if method == "chisquare":
        return _chisquare(c, d, allowance)
    n, m = int(c.sum()), int(d.sum())
    scale, floor = 1 / n + 1 / m, allowance.psi_floor
    splits = _splits(c + d, m, allowance.seed)
    if method == "psi":
        law = _psi_of_splits(c + d - splits, splits)
        return _Measured(distances.population_stability(c, d), max(floor, _tail_point(law, allowance.alpha, 2 * scale)))
    # Of small changes the divergence is an eighth of PSI.
    law = _divergence_of_splits(c + d - splits, splits)
    allowed = math.sqrt(max(floor / 8, _tail_point(law, allowance.alpha, scale / 4)))
    return _Measured(distances.jensen_shannon(c, d), allowed)


def _wasserstein(reference: Floats, window: Floats, allowance: Allowance) -> _Measured:
    """Values as large as 1e154 and more cannot be squared; they give no verdict."""
    with np.errstate(all="ignore"):
        score = distances.normed_wasserstein(reference, window)
        squares = _distances_of_splits(reference, window, allowance.seed) ** 2
    if not (math.isfinite(score) and np.isfinite(squares).all()):
        raise _NoVerdict("the values are too large for their distance to be computed")
    scale = 1 / len(reference) + 1 / len(window)
    # The widest direction of the limit is the difference of the means, whose variance is `scale` squared deviations.
    chance = _tail_point(squares, allowance.alpha, 2 * scale)
    return _Measured(score, math.sqrt(max(allowance.psi_floor / _PSI_PER_SQUARED_SHIFT, chance)))


def _ks(reference: Floats, window: Floats, allowance: Allowance) -> _Measured:
    scale = 1 / len(reference) + 1 / len(window)
    chance = math.sqrt(scale * math.log(2 / allowance.alpha) / 2)
    floor = _KS_PER_SHIFT * math.sqrt(allowance.psi_floor / _PSI_PER_SQUARED_SHIFT)
    return _Measured(distances.kolmogorov_smirnov(reference, window), max(floor, chance))


def _chisquare(c: distances.Counts, d: distances.Counts, allowance: Allowance) -> _Measured:
    """Rare levels are pooled, since the chi-square law fails for them."""
    scale = 1 / int(c.sum()) + 1 / int(d.sum())
    c, d = pool_levels(c, d)
    if len(c) < 2:
        raise _NoVerdict("there are only rare levels: there is no shape to compare")
    chance = float(chdtri(len(c) - 1, allowance.alpha))
    return _Measured(distances.homogeneity(c, d), max(allowance.psi_floor / scale, chance))


def _tail_point(law: Floats, alpha: float, excess_min: float) -> float:
    """The value, above 0, that a draw of the law exceeds with chance `alpha` at most; see the module's text.

    Args:
        law: draws of it, in any order.
        excess_min: mean excess of its tail in the limit.
    """
    if alpha >= _TAIL:
        return max(float(np.quantile(law, 1 - alpha, method="higher")), np.finfo(np.float64).tiny)
    ordered = np.sort(law)
    # Both figures come from a draw: each is taken one standard error to the safe side.
    slack = math.sqrt(len(law) * _TAIL * (1 - _TAIL))
    place = min(len(law) - 1, math.ceil(len(law) * (1 - _TAIL) + slack))
    start, beyond = float(ordered[place]), ordered[place + 1 :]
    mean_excess = float(np.mean(beyond - start)) * (1 + 1 / math.sqrt(len(beyond))) if len(beyond) else 0.0
    excess = max(excess_min, mean_excess)
    return start + excess * math.log(_TAIL / alpha)


def _splits(totals: distances.Counts, m: int, seed: int) -> _Draws:
    """The window's counts in random splits of the pooled rows, shape (_SPLITS, cells)."""
    return np.random.default_rng(seed).multivariate_hypergeometric(totals, m, size=_SPLITS, method="marginals")


def _psi_of_splits(c: _Draws, d: _Draws) -> Floats:
    p, q = (_filled_rows(counts / counts.sum(axis=1, keepdims=True)) for counts in (c, d))
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=1), dtype=np.float64)


def _filled_rows(shares: Floats) -> Floats:
    """As `distances.population_stability` fills empty cells, in every row."""
    least = np.where(shares > 0, shares, np.inf).min(axis=1, keepdims=True)
    return np.where(shares == 0, np.where(least <= 0.0001, least / 10**6, 0.0001), shares)


def _divergence_of_splits(c: _Draws, d: _Draws) -> Floats:
    p, q = (counts / counts.sum(axis=1, keepdims=True) for counts in (c, d))
    middle = (p + q) / 2
    return np.asarray((rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2, dtype=np.float64)


def _distances_of_splits(reference: Floats, window: Floats, seed: int) -> Floats:
    """Normed Wasserstein distances in random splits of the pooled values, which are permuted cell by cell."""
    pooled = np.sort(np.concatenate([reference, window]))
    n, m = len(reference), len(window)
    starts = _cell_starts(n + m)
    sizes = np.diff(starts, append=n + m)
    # From the middle, so that squares of large values keep their digits.
    centred = pooled - pooled[(n + m) // 2]
    means = np.add.reduceat(centred, starts) / sizes
    squares = np.add.reduceat(centred**2, starts) / sizes
    inside = _splits(sizes, m, seed)
    below_window = np.cumsum(inside, axis=1)[:, :-1]
    below_reference = np.cumsum(sizes)[:-1] - below_window
    areas = np.abs(below_reference / n - below_window / m) @ np.diff(means)
    outside = (sizes - inside) / n
    deviations = np.sqrt(np.maximum(outside @ squares - (outside @ means) ** 2, 0.0))
    return np.asarray(areas / np.maximum(deviations, distances.DEVIATION_MIN), dtype=np.float64)


def _cell_starts(rows: int) -> NDArray[np.int64]:
    if rows <= _CELLS + 2 * _OUTERMOST:
        return np.arange(rows)
    inner = np.linspace(_OUTERMOST, rows - _OUTERMOST, _CELLS + 1)[:-1].astype(np.int64)
    return np.concatenate([np.arange(_OUTERMOST), inner, np.arange(rows - _OUTERMOST, rows)])


def _finite(column: NumberColumn) -> Floats:
    values = column.ordered()
    # Ascending: what is not finite lies at the ends.
    return values[np.searchsorted(values, -np.inf, side="right") : np.searchsorted(values, np.inf, side="left")]


def _level_counts(reference: TextColumn, window: TextColumn) -> tuple[distances.Counts, distances.Counts]:
    levels = sorted({*reference.levels, *window.levels})
    place = {level: index for index, level in enumerate(levels)}

    def counts(column: TextColumn) -> distances.Counts:
        found = np.zeros(len(levels), dtype=np.int64)
        for level, count in zip(
            column.levels, np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels)), strict=True
        ):
            found[place[level]] = count
        return found

    before, now = counts(reference), counts(window)
    seen = before + now > 0
    return before[seen], now[seen]
