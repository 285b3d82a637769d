"""The questions asked of every column: has its shape moved, its location, its spread, its missing values, has it
shown novel values, does one value repeat?

Each is answered by observed / allowed, where `allowed` is what chance explains at this number of rows and at the
question's part of the column's share of the run's false-alarm budget (`Rule`). All but the last come from counts. How
often the rule errs, what it finds, and where its constants come from: docs/verdicts.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drift_engine.results.schema import Check
from drift_engine.statistics.clustering import INDEPENDENT, Clustering
from drift_engine.statistics.hypergeometric import critical_count
from drift_engine.statistics.rank_checks import LOCATION_METHOD, SPREAD_METHOD, check_location, check_spread
from drift_engine.statistics.repeat_check import check_repeat
from drift_engine.statistics.summaries import Counts, LevelSummary, NumberSummary, Summary

#: Cells that chance fills with fewer rows than this are pooled: below it the chi-square approximation fails.
EXPECTED_MIN = 5.0
#: Each step of the fixed point of `_allowed_beyond` at least halves its error.
_FIXED_POINT_STEPS = 40


@dataclass(frozen=True)
class Rule:
    """How one column is judged; the values come from the settings, under the same names.

    Attributes:
        alpha: the column's part of the run's false-alarm budget.
        method: what compares the shape; "default" is `check_shape`, the others are in `statistics.methods`.
        minimum_rows: fewest values, on either side, that a shape, a location and a spread are judged on, counted as
            independent ones.
        psi_floor, location_floor, spread_floor, missing_floor, novel_floor, repeat_floor: effects up to these count as
            none, however many rows there are, each in the unit of its check's score.
        location_share, spread_share, missing_share, novel_share, repeat_share: parts of `alpha`; the shape has the
            rest. A category has no location, no spread, and its values repeat: those parts are its shape's.
        clustering: how far its rows are from independent.
    """

    alpha: float
    method: str
    psi_floor: float
    minimum_rows: int
    location_floor: float
    spread_floor: float
    missing_floor: float
    novel_floor: float
    repeat_floor: float
    location_share: float
    spread_share: float
    missing_share: float
    novel_share: float
    repeat_share: float
    clustering: Clustering = INDEPENDENT

    def shape_alpha(self, ordered: bool) -> float:
        """What is left for the shape of a number (`ordered`) or of a category."""
        of_numbers = self.location_share + self.spread_share + self.repeat_share if ordered else 0.0
        return self.alpha * (1 - of_numbers - self.missing_share - self.novel_share)


@dataclass(frozen=True)
class Shape:
    """A shape check with its parts. `excess`: PSI beyond its expectation without drift, at least 0."""

    check: Check
    excess: float | None
    psi: float | None


def check_column(reference: Summary, window: Summary, rule: Rule) -> tuple[Shape, tuple[Check, ...]]:
    """All checks of one column, the shape's first; both summaries are of the same kind."""
    shape, rows = check_shape(reference, window, rule), rule.clustering
    checks = [shape.check]
    if isinstance(reference, NumberSummary):
        assert isinstance(window, NumberSummary)
        checks += _check_ranks(reference, window, rule)
    missing, novel = rule.alpha * rule.missing_share, rule.alpha * rule.novel_share
    checks.append(check_missing(reference, window, missing, rule.missing_floor, rows.missing_effect))
    checks.append(check_novel(reference, window, novel, rule.novel_floor, rows.cell_effect))
    if isinstance(reference, NumberSummary):
        assert isinstance(window, NumberSummary)
        checks += _check_repeats(reference, window, rule)
    return shape, tuple(checks)


def check_shape(reference: Summary, window: Summary, rule: Rule) -> Shape:
    """PSI of the pooled counts against the chi-square quantile that chance allows, or the floor."""
    n, m = reference.present, window.present
    if reason := _too_few(reference, window, rule):
        return _no_shape(reason)
    c, d = _pooled(reference, window)
    bins = len(c)
    if bins < 2:
        return _no_shape("the reference has one value, or only rare ones: there is no shape to compare")
    scale, alpha = 1 / n + 1 / m, rule.shape_alpha(isinstance(reference, NumberSummary))
    score = psi(c, d)
    allowed = max(rule.psi_floor, scale * rule.clustering.quantile(bins - 1, alpha))
    check = Check("shape", "psi", score, allowed, score / allowed, score > allowed)
    return Shape(check, max(0.0, score - scale * (bins - 1) * rule.clustering.design_effect), score)


def psi(reference: Counts, window: Counts) -> float:
    """Population stability index of two count vectors, shape (bins,), with a pseudo-count of 1 per bin.

    The pseudo-count keeps the tail of its distribution under the chi-square's; with 0.5 or none it does not.
    """
    bins = len(reference)
    p = (reference + 1) / (reference.sum() + bins)
    q = (window + 1) / (window.sum() + bins)
    return float(np.sum((p - q) * np.log(p / q)))


def check_missing(reference: Summary, window: Summary, alpha: float, floor: float, effect: float = 1.0) -> Check:
    """Did the share of missing values move by more than `floor` and by more than chance allows?

    Two-sided hypergeometric test given the total number of missing values. The score is the change of the
    share; the threshold is the largest change in its direction that is not significant, or the floor. With a
    design effect of the rows, counts are divided by it.
    """
    n_all, m_all = reference.present + reference.missing, window.present + window.missing
    if not n_all or not m_all:
        return Check("missing", "hypergeometric", None, None, None, None, "there are no rows to compare")
    total, observed = reference.missing + window.missing, window.missing
    change = observed / m_all - reference.missing / n_all
    allowed = floor
    if abs(change) > floor:
        n_told, m_told, total_told = (math.ceil(count / effect) for count in (n_all, m_all, total))
        k = critical_count(total_told, n_told, m_told, alpha / 2, upper=change > 0)
        allowed = max(floor, abs(k / m_told - (total_told - k) / n_told))
    score = abs(change)
    return Check("missing", "hypergeometric", score, allowed, score / allowed, score > allowed)


def check_novel(reference: Summary, window: Summary, alpha: float, floor: float, effect: float = 1.0) -> Check:
    """Does the window hold values that the reference never showed, more than chance would bring, and than `floor`?

    Numbers: see `_allowed_beyond`. Levels: see `_allowed_unseen`. With a design effect of the rows so many more are
    allowed: they come together.
    """
    n, m = reference.present, window.present
    if not n or not m:
        return Check("novel", "exceedance", None, None, None, None, "there are no values to compare")
    ratio = m / (n + m)
    if isinstance(window, NumberSummary):
        observed = window.below + window.above
        limit = _allowed_beyond(ratio, alpha) if observed else 0.0
    else:
        assert isinstance(reference, LevelSummary)
        observed = max((count for level, count in window.counts.items() if level not in reference.counts), default=0)
        limit = _allowed_unseen(reference, window, ratio, alpha) if observed else 0.0
    score, allowed = observed / m, max(floor, effect * limit / m)
    return Check("novel", "exceedance", score, allowed, score / allowed, score > allowed)


def _check_ranks(reference: NumberSummary, window: NumberSummary, rule: Rule) -> list[Check]:
    if reason := _too_few(reference, window, rule):
        return [
            Check("location", LOCATION_METHOD, None, None, None, None, reason),
            Check("spread", SPREAD_METHOD, None, None, None, None, reason),
        ]
    c, d = reference.counts, window.counts
    return [
        check_location(c, d, rule.alpha * rule.location_share, rule.location_floor, rule.clustering),
        check_spread(c, d, rule.alpha * rule.spread_share, rule.spread_floor, rule.clustering),
    ]


def _check_repeats(reference: NumberSummary, window: NumberSummary, rule: Rule) -> list[Check]:
    """Nothing where the counts were not taken of values but drawn."""
    if reference.ordered is None or window.ordered is None:
        return []
    rows, alpha = rule.clustering, rule.alpha * rule.repeat_share
    return [
        check_repeat(
            reference.ordered, window.ordered, alpha, rule.repeat_floor, rows.cell_effect, rows.usual_repeat_rows
        )
    ]


def _too_few(reference: Summary, window: Summary, rule: Rule) -> str | None:
    for rows, of in ((window.present, "window"), (reference.present, "reference")):
        told = int(rows / rule.clustering.design_effect)
        if told < rule.minimum_rows:
            like = "" if told == rows else f" that tell as much as {told} independent ones"
            return f"{rows} values in the {of}{like}, {rule.minimum_rows} needed"
    return None


def _no_shape(reason: str) -> Shape:
    return Shape(Check("shape", "psi", None, None, None, None, reason), None, None)


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


def _allowed_beyond(ratio: float, alpha: float) -> float:
    """The largest number of values beyond the reference's ends, both together, that is not significant.

    Without drift at least a of the window's values lie under the reference's minimum and at least b over its maximum
    with probability ratio**(a + b) at most: the a + b outermost of all rows are all the window's. A total of k can
    be split in k + 1 ways, so it has (k + 1) * ratio**k at most; the k at which that is alpha is a fixed point.
    """
    k = math.log(alpha) / math.log(ratio)
    for _ in range(_FIXED_POINT_STEPS):
        k = (math.log(alpha) - math.log(k + 1)) / math.log(ratio)
    return k


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
