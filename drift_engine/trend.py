"""Is quality declining? The kept days, seven at a time.

A single day has few labels, and a Sunday is not a Monday. So quality is followed over 7 days at a time, which also
hold one of each weekday: the 7 days to the newest one whose labels have come, against the 7 days before. It is
declining when that difference is a fall beyond chance, and the 7-day figure has become worse three days in a row.

Rows of a day may depend on one another (sessions, half hours of one market). How much more days scatter than
independent rows would is measured on the days themselves, and widens interval and test:

    phi = max(1, mean over the lower three quarters of (x_a - x_b)^2 / (v_a + v_b), over that mean of chi^2_1)

for pairs of neighbouring days a and b, with x a day's mean loss and v its variance for independent rows. Without the
upper quarter, so that a day on which quality changes for good, and the steps between week and weekend, have no say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from statistics import NormalDist, median

from scipy.special import stdtr

from drift_engine.results.days import DayRecord, Losses
from drift_engine.results.quality import Trend
from drift_engine.results.schema import ConceptDrift
from gateway.registry import ModelCard
from gateway.registry.intervals import Z, wilson

WINDOW_DAYS = 7
#: For so many days in a row the 7-day figure is to have become worse.
DECLINING_DAYS_MIN = 3
#: And there is to be less than this chance, one-sided, of such a fall without a cause.
DECLINE_P = 0.0005
#: A day with less than this part of the usual coverage is left out: labels that come first are often of one kind.
SETTLED_SHARE = 0.5
#: Pairs of days from which their scatter can be told, of so many labelled rows each.
_PAIRS_MIN, _PAIR_ROWS_MIN = 8, 10
_KEPT_SHARE = 0.75
#: Of chi-square with 1 degree of freedom the mean of its lower three quarters.
_CHI2_LOWER_MEAN = 0.36852405098356217


@dataclass(frozen=True)
class Scatter:
    """How many times more the days' figures scatter than those of independent rows would: `factor`, at least 1.

    `degrees`: of freedom of that figure; neighbouring pairs share a day, and a quarter of them is left out.
    """

    factor: float
    degrees: float

    def chance(self, z: float) -> float:
        """The chance of a figure of `z` or more, where `z` is of independent rows."""
        z /= math.sqrt(self.factor)
        # Where rows are independent, nothing had to be estimated.
        return NormalDist().cdf(-z) if self.factor == 1 else float(stdtr(self.degrees, -z))


@dataclass(frozen=True)
class DayQuality:
    """What a trend needs of a day: its labelled rows' losses, and how many predictions they are of."""

    day: date
    predictions: int
    losses: Losses


def qualities(records: Sequence[DayRecord]) -> list[DayQuality]:
    """Of kept records, in any order."""
    return [DayQuality(date.fromisoformat(record.day), record.predictions, record.losses) for record in records]


def trend_metric(card: ModelCard) -> str:
    """The figure that the quality of a model is followed by."""
    return "mae" if card.task == "regression" else "accuracy"


def trend_of(
    metric: str, days: Sequence[DayQuality], *, rows_min: int, floor_percent: float, since: date = date.min
) -> Trend | None:
    """The trend of a model version's quality; None where no day has a label, or none from `since` on.

    Args:
        metric: "accuracy" (losses are 0 or 1) or "mae" (losses are absolute errors).
        days: in any order, one of a date.
        rows_min: labelled rows that each of the two times of 7 days needs.
        floor_percent: a fall of the figure by less than this part of what it was is none, however sure.
        since: where the newest labels are of an earlier day, nobody knows what quality is like now.
    """
    settled = settled_days(days)
    if not settled or settled[-1].day < since:
        return None
    by_day = {item.day: item.losses for item in settled}
    last = settled[-1].day
    now, before = _window(by_day, last), _window(by_day, last - timedelta(days=WINDOW_DAYS))
    scatter = day_scatter(settled)
    if scatter is None or min(now.rows, before.rows) < rows_min:
        return _too_early(metric, now, before, last, rows_min)
    value, lower, upper = _interval(metric, now, scatter.factor)
    value_before = _interval(metric, before, scatter.factor)[0]
    z, rise = _z(metric, now, before), _mean(now) - _mean(before)
    beyond_chance = scatter.chance(z) < DECLINE_P and rise > floor_percent / 100 * value_before
    falling = _days_in_a_row(by_day, [item.day for item in settled], rows_min)
    trend = Trend(
        metric=metric,
        value_7d=value,
        lower_7d=lower,
        upper_7d=upper,
        value_previous_7d=value_before,
        change=value - value_before,
        p_value=2 * scatter.chance(abs(z)),
        rows_7d=now.rows,
        rows_previous_7d=before.rows,
        declining_days=falling,
        declining=beyond_chance and falling >= DECLINING_DAYS_MIN,
        sentence="",
    )
    return replace(trend, sentence=_sentence(trend, last))


def with_trend(concept: ConceptDrift, trend: Trend | None) -> ConceptDrift:
    """The verdict with the trend told; one that says nothing, or "none", becomes a warning when quality declines."""
    if trend is None:
        return concept
    concept = replace(concept, trend=trend)
    if not trend.declining or concept.detected:
        return concept
    return replace(
        concept,
        detected=True,
        severity="warning",
        metric=concept.metric or trend.metric,
        reason=f"{trend.sentence}; {concept.reason}",
    )


def settled_days(days: Sequence[DayQuality]) -> list[DayQuality]:
    """The days whose labels have come as far as is usual, oldest first.

    Labels that come first are often of one kind (a fraud is reported, an honest payment is not): a day with few of them
    says nothing yet.
    """
    labelled = sorted((item for item in days if item.losses.rows), key=lambda item: item.day)
    if not labelled:
        return []
    usual = median(_coverage(item) for item in labelled)
    return [item for item in labelled if _coverage(item) >= SETTLED_SHARE * usual]


def day_scatter(days: Sequence[DayQuality]) -> Scatter | None:
    """How many times more the days' figures scatter than those of independent rows; None where too few tell.

    Args:
        days: oldest first; with fewer than 8 pairs of neighbours nobody can tell.
    """
    ratios = sorted(
        _difference(earlier.losses, later.losses)
        for earlier, later in pairwise(days)
        if min(earlier.losses.rows, later.losses.rows) >= _PAIR_ROWS_MIN
    )
    if len(ratios) < _PAIRS_MIN:
        return None
    lower = ratios[: math.ceil(_KEPT_SHARE * len(ratios))]
    return Scatter(max(1.0, math.fsum(lower) / len(lower) / _CHI2_LOWER_MEAN), len(ratios) / 2)


def _too_early(metric: str, now: Losses, before: Losses, last: date, rows_min: int) -> Trend:
    sentence = (
        f"quality by day cannot be followed yet: {now.rows:,} labelled rows in {_week_to(last)} and {before.rows:,} in "
        f"the 7 days before; {rows_min:,} are needed in each, and {_PAIRS_MIN + 1} days with {_PAIR_ROWS_MIN} or more"
    )
    value, lower, upper = _interval(metric, now, 1.0) if now.rows >= rows_min else (None, None, None)
    return Trend(metric, value, lower, upper, None, None, None, now.rows, before.rows, 0, None, sentence)


def _coverage(item: DayQuality) -> float:
    return item.losses.rows / max(1, item.predictions)


def _window(by_day: dict[date, Losses], last: date) -> Losses:
    """The sums over 7 days."""
    found = [by_day[day] for back in range(WINDOW_DAYS) if (day := last - timedelta(days=back)) in by_day]
    return _added(found)


def _added(losses: Sequence[Losses]) -> Losses:
    return Losses(
        sum(item.rows for item in losses),
        math.fsum(item.loss_sum for item in losses),
        math.fsum(item.loss_squares for item in losses),
    )


def _mean(losses: Losses) -> float:
    return losses.loss_sum / losses.rows


def _variance(losses: Losses) -> float:
    """Of one row's loss."""
    if losses.rows < 2:
        return 0.0
    return max(0.0, losses.loss_squares - losses.rows * _mean(losses) ** 2) / (losses.rows - 1)


def _difference(a: Losses, b: Losses) -> float:
    """The squared difference of two days over its variance for independent rows; 0 where nothing varies."""
    variance = _variance(_added([a, b])) * (1 / a.rows + 1 / b.rows)
    return (_mean(a) - _mean(b)) ** 2 / variance if variance > 0 else 0.0


def _days_in_a_row(by_day: dict[date, Losses], days: Sequence[date], rows_min: int) -> int:
    """So many of the newest days in a row the 7-day figure was worse than on the day before."""
    count = 0
    for earlier, later in zip(reversed(days[:-1]), reversed(days), strict=False):
        then, now = _window(by_day, earlier), _window(by_day, later)
        if min(then.rows, now.rows) < rows_min or _mean(now) <= _mean(then):
            break
        count += 1
    return count


def _interval(metric: str, losses: Losses, scatter: float) -> tuple[float, float, float]:
    """The figure with its 95 % interval: Wilson's for accuracy, of as many rows as dependent ones are worth; normal."""
    if metric == "accuracy":
        right = losses.rows - losses.loss_sum
        return right / losses.rows, *wilson(right / scatter, losses.rows / scatter)
    mean, half = _mean(losses), Z * math.sqrt(scatter * _variance(losses) / losses.rows)
    return mean, max(0.0, mean - half), mean + half


def _z(metric: str, now: Losses, before: Losses) -> float:
    """Of the rise of the mean loss, for independent rows: two proportions pooled, or two means by Welch, as normal."""
    if metric == "accuracy":
        pooled = _mean(_added([now, before]))
        variance = pooled * (1 - pooled) * (1 / now.rows + 1 / before.rows)
    else:
        variance = _variance(now) / now.rows + _variance(before) / before.rows
    return (_mean(now) - _mean(before)) / math.sqrt(variance) if variance > 0 else 0.0


def _sentence(trend: Trend, last: date) -> str:
    name = trend.metric if trend.metric == "accuracy" else trend.metric.upper()
    worse = "lower" if trend.metric == "accuracy" else "higher"
    figures = (
        f"{name} was {trend.value_7d:.4g} (95 % interval {trend.lower_7d:.4g} to {trend.upper_7d:.4g}) on "
        f"{trend.rows_7d:,} labelled rows of {_week_to(last)}, after {trend.value_previous_7d:.4g} on "
        f"{trend.rows_previous_7d:,} of the 7 days before"
    )
    if trend.declining:
        return f"{figures}: declining, {worse} each day for {trend.declining_days} days"
    return f"{figures}: no decline beyond chance"


def _week_to(last: date) -> str:
    return f"the 7 days to {last.isoformat()}"
