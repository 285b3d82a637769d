"""The three questions asked of every column: has its shape moved, its missing values, has it shown novel values?

Each is answered by observed / allowed, where `allowed` is what chance explains at this number of rows and at the
share of the run's false-alarm budget that the column got. Shape takes 60 % of it, missing and novel 20 % each.
Everything is computed from counts. How often the rule errs, and what it finds: docs/verdicts.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from drift_engine.clustering import INDEPENDENT, Clustering
from drift_engine.results.schema import Check
from drift_engine.summaries import Counts, LevelSummary, NumberSummary, Summary

SHAPE_SHARE, MISSING_SHARE, NOVEL_SHARE = 0.6, 0.2, 0.2
#: Cells that chance fills with fewer rows than this are pooled: below it the chi-square approximation fails.
EXPECTED_MIN = 5.0
#: A share of missing values must move by more than one percentage point, novel values must be more than 0.5 %.
MISSING_FLOOR = 0.01
NOVEL_FLOOR = 0.005


@dataclass(frozen=True)
class Rule:
    """How one column is judged: its part `alpha` of the run's budget, the PSI floor, the fewest rows for a shape.

    `clustering`: how far its rows are from independent; the fewest rows are independent ones.
    """

    alpha: float
    psi_floor: float
    minimum_rows: int
    clustering: Clustering = INDEPENDENT


@dataclass(frozen=True)
class Shape:
    """A shape check with its parts. `excess`: PSI beyond its expectation without drift, at least 0."""

    check: Check
    excess: float | None


def check_column(reference: Summary, window: Summary, rule: Rule) -> tuple[Shape, Check, Check]:
    """Shape, missing and novel check of one column; both summaries are of the same kind."""
    return (
        check_shape(reference, window, rule),
        check_missing(reference, window, rule.alpha * MISSING_SHARE, rule.clustering.missing_effect),
        check_novel(reference, window, rule.alpha * NOVEL_SHARE, rule.clustering.cell_effect),
    )


def check_shape(reference: Summary, window: Summary, rule: Rule) -> Shape:
    """PSI of the pooled counts against the chi-square quantile that chance allows, or the floor."""
    n, m = reference.present, window.present
    for rows, of in ((m, "window"), (n, "reference")):
        told = int(rows / rule.clustering.design_effect)
        if told < rule.minimum_rows:
            like = "" if told == rows else f" that tell as much as {told} independent ones"
            return _no_shape(f"{rows} values in the {of}{like}, {rule.minimum_rows} needed")
    c, d = _pooled(reference, window)
    bins = len(c)
    if bins < 2:
        return _no_shape("the reference has one value, or only rare ones: there is no shape to compare")
    scale = 1 / n + 1 / m
    score = psi(c, d)
    allowed = max(rule.psi_floor, scale * rule.clustering.quantile(bins - 1, SHAPE_SHARE * rule.alpha))
    check = Check("shape", "psi", score, allowed, score / allowed, score > allowed)
    return Shape(check, max(0.0, score - scale * (bins - 1) * rule.clustering.design_effect))


def psi(reference: Counts, window: Counts) -> float:
    """Population stability index of two count vectors, shape (bins,), with a pseudo-count of 1 per bin.

    The pseudo-count keeps the tail of its distribution under the chi-square's; with 0.5 or none it does not.
    """
    bins = len(reference)
    p = (reference + 1) / (reference.sum() + bins)
    q = (window + 1) / (window.sum() + bins)
    return float(np.sum((p - q) * np.log(p / q)))


def check_missing(reference: Summary, window: Summary, alpha: float, effect: float = 1.0) -> Check:
    """Did the share of missing values move by more than a percentage point and by more than chance allows?

    Two-sided hypergeometric test given the total number of missing values. The score is the change of the
    share; the threshold is the largest change in its direction that is not significant, or the floor. With a
    design effect of the rows, counts are divided by it.
    """
    n_all, m_all = reference.present + reference.missing, window.present + window.missing
    if not n_all or not m_all:
        return Check("missing", "hypergeometric", None, None, None, None, "there are no rows to compare")
    total, observed = reference.missing + window.missing, window.missing
    change = observed / m_all - reference.missing / n_all
    allowed = MISSING_FLOOR
    if abs(change) > MISSING_FLOOR:
        n_told, m_told, total_told = (math.ceil(count / effect) for count in (n_all, m_all, total))
        k = _critical_count(total_told, n_told, m_told, alpha / 2, upper=change > 0)
        allowed = max(MISSING_FLOOR, abs(k / m_told - (total_told - k) / n_told))
    score = abs(change)
    return Check("missing", "hypergeometric", score, allowed, score / allowed, score > allowed)


def check_novel(reference: Summary, window: Summary, alpha: float, effect: float = 1.0) -> Check:
    """Does the window hold values that the reference never showed, more than chance would bring?

    Numbers: k rows beyond the maximum (or minimum) of the reference have probability (m/(n+m))**k without
    drift, doubled for the two ends. Levels: see `_allowed_unseen`. With a design effect of the rows so many more are
    allowed: they come together.
    """
    n, m = reference.present, window.present
    if not n or not m:
        return Check("novel", "exceedance", None, None, None, None, "there are no values to compare")
    ratio = m / (n + m)
    if isinstance(window, NumberSummary):
        observed = max(window.below, window.above)
        limit = math.log(alpha / 2) / math.log(ratio)
    else:
        assert isinstance(reference, LevelSummary)
        observed = max((count for level, count in window.counts.items() if level not in reference.counts), default=0)
        limit = _allowed_unseen(reference, window, ratio, alpha) if observed else 0.0
    score, allowed = observed / m, max(NOVEL_FLOOR, effect * limit / m)
    return Check("novel", "exceedance", score, allowed, score / allowed, score > allowed)


def _no_shape(reason: str) -> Shape:
    return Shape(Check("shape", "psi", None, None, None, None, reason), None)


def _pooled(reference: Summary, window: Summary) -> tuple[Counts, Counts]:
    if isinstance(reference, NumberSummary):
        assert isinstance(window, NumberSummary)
        return pool_bins(reference.counts, window.counts)
    assert isinstance(window, LevelSummary)
    levels = sorted(reference.counts.keys() | window.counts.keys())
    c = np.array([reference.counts.get(level, 0) for level in levels], dtype=np.int64)
    d = np.array([window.counts.get(level, 0) for level in levels], dtype=np.int64)
    return pool_levels(c, d)


def pool_bins(c: Counts, d: Counts) -> tuple[Counts, Counts]:
    """Merge neighbouring bins, from the left, until chance fills each with EXPECTED_MIN rows on both sides.

    Decided by the reference's shares alone: the bins were cut from the reference, and letting the window's
    counts decide too would select against the reference's luck.
    """
    n, m = int(c.sum()), int(d.sum())
    expected = c * min(1.0, m / n)
    starts, filled = [0], 0.0
    for position, more in enumerate(expected):
        if filled >= EXPECTED_MIN:
            starts.append(position)
            filled = 0.0
        filled += more
    if filled < EXPECTED_MIN and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(c, starts), np.add.reduceat(d, starts)


def pool_levels(c: Counts, d: Counts) -> tuple[Counts, Counts]:
    """Put all rare levels into one; rare by the total of both sides, which treats both sides alike."""
    n, m = int(c.sum()), int(d.sum())
    expected = (c + d) * (min(n, m) / (n + m))
    order = np.argsort(-expected, kind="stable")
    c, d, expected = c[order], d[order], expected[order]
    kept = int(np.count_nonzero(expected >= EXPECTED_MIN))
    if kept == len(c):
        return c, d
    if kept and expected[kept:].sum() < EXPECTED_MIN:
        kept -= 1
    starts = list(range(kept + 1))
    return np.add.reduceat(c, starts), np.add.reduceat(d, starts)


def _critical_count(total: int, n: int, m: int, alpha: float, *, upper: bool) -> int:
    """The most extreme count of `total` missing rows that may fall into the window's m rows with p >= alpha."""
    k = np.arange(max(0, total - n), min(total, m) + 1)
    log_pmf = _log_choose(m, k) + _log_choose(n, total - k)
    pmf = np.exp(log_pmf - log_pmf.max())
    pmf /= pmf.sum()
    if upper:
        tail = np.cumsum(pmf[::-1])[::-1]
        return int(k[np.flatnonzero(tail >= alpha)[-1]])
    tail = np.cumsum(pmf)
    return int(k[np.flatnonzero(tail >= alpha)[0]])


def _log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), dtype=np.float64)


def _allowed_unseen(reference: LevelSummary, window: LevelSummary, ratio: float, alpha: float) -> int:
    """The largest count of an unseen level that is not significant.

    A level with s rows on both sides together has all of them in the window with probability ratio**s at
    most. Any level might be the unseen one, so p(t) = sum of ratio**s over the levels with s >= t.
    """
    levels = reference.counts.keys() | window.counts.keys()
    totals = sorted((reference.counts.get(level, 0) + window.counts.get(level, 0) for level in levels), reverse=True)
    p = np.cumsum(ratio ** np.array(totals, dtype=np.float64))
    not_significant = np.flatnonzero(p >= alpha)
    return totals[not_significant[0]] if len(not_significant) else 0
