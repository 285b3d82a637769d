"""Does one exact number repeat that the reference hardly ever shows? A stuck sensor does that, or a default.

Ten bins see such a value only when it fills a bin; here a handful of rows is enough. Given the pooled rows, the count
of a value in the window is hypergeometric without drift, and a value with few rows on both sides together cannot be
significant at all: those need no part of the budget (Tarone, "A modified Bonferroni method for discrete data",
Biometrics 46, 1990). So a number without ties pays nothing for its thousands of values, and one that is rounded pays
for those that could alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift_engine.results.schema import Check
from drift_engine.statistics.hypergeometric import critical_count, log_choose
from drift_engine.table import Floats

REPEAT_METHOD = "tarone"
#: A value with this share of the reference is a mass point: how that share moves is for the shape to say.
MASS_POINT_MIN = 0.05
#: What the reference itself shows in a stretch is no news until it is this many times as much, as with runs of a value.
_USUAL_TIMES = 2.0
#: Stretches of the reference that are looked at, at most; they overlap by half where it has no more.
_STRETCHES_MAX = 400


@dataclass(frozen=True)
class Repeat:
    """An exact `value`: its rows in `window` and `reference`, and by how much its share grew from one to the other."""

    value: float
    window: int
    reference: int
    growth: float


def check_repeat(
    reference: Floats, window: Floats, alpha: float, floor: float, effect: float = 1.0, usual_rows: float = 0.0
) -> Check:
    """Did a value's share grow by more than `floor` and by more than chance allows? See `find_repeat`.

    The score is that growth, 0 to 1.

    Args:
        reference: ascending, without missing values; `window` likewise.
        alpha: chance of a false alarm over all values together.
        floor: growths up to it are no drift, however many rows there are.
        effect: the design effect of rows that come together; counts are divided by it.
        usual_rows: what the reference itself shows in a stretch as long as the window, see `usual_repeat`.
    """
    n, m = len(reference), len(window)
    if not n or not m:
        return Check("repeat", REPEAT_METHOD, None, None, None, None, "there are no values to compare")
    found = find_repeat(reference, window)
    score, allowed = (0.0 if found is None else found.growth), floor
    if found is not None and score > floor:
        told = [math.ceil(rows / effect) for rows in (n, m, found.window + found.reference)]
        tests = _tests(np.ceil(_tied_totals(reference, window) / effect).astype(np.int64), told[0], told[1], alpha)
        k = critical_count(told[2], told[0], told[1], alpha / tests, upper=True)
        chance = k / told[1] - (told[2] - k) / told[0]
        allowed = max(floor, chance, _USUAL_TIMES * usual_rows / m)
    return Check("repeat", REPEAT_METHOD, score, allowed, score / allowed, score > allowed)


def find_repeat(reference: Floats, window: Floats) -> Repeat | None:
    """The value whose share grew most, of those that occur twice in the window and are no mass point of the reference.

    None where there is no such value, or none whose share grew. Both sides ascending, without missing values.
    """
    values, counts = _ties(window)
    before = np.searchsorted(reference, values, side="right") - np.searchsorted(reference, values, side="left")
    rare = before < MASS_POINT_MIN * len(reference)
    values, counts, before = values[rare], counts[rare], before[rare]
    growth = counts / max(1, len(window)) - before / max(1, len(reference))
    if not len(growth) or growth.max() <= 0:
        return None
    most = int(np.argmax(growth))
    return Repeat(float(values[most]), int(counts[most]), int(before[most]), float(growth[most]))


def usual_repeat(reference: Floats, rows: int) -> float:
    """By how many rows a value grows at most in a stretch of the reference, against the rest of it.

    Where the rows of one session, customer or hour share a value, values come and go without anything being stuck.

    Args:
        reference: in time order, NaN where missing.
        rows: of the window; a stretch is as long, or half of the reference.
    """
    length = min(rows, len(reference) // 2)
    ordered = np.sort(reference[~np.isnan(reference)])
    if not length:
        return 0.0
    count = min(_STRETCHES_MAX, 2 * len(reference) // length)
    starts = np.linspace(0, len(reference) - length, count).astype(np.int64)
    most = 0.0
    for start in starts:
        stretch = reference[start : start + length]
        found = find_repeat(ordered, np.sort(stretch[~np.isnan(stretch)]))
        most = max(most, 0.0 if found is None else found.growth)
    # Against the whole, which holds the stretch, a growth is smaller by that part.
    return most * length * len(reference) / (len(reference) - length)


def _ties(ordered: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The values that occur at least twice, ascending, and how often each does."""
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return ordered[:0], np.empty(0, dtype=np.int64)
    starts = np.flatnonzero(np.append(True, ~same))
    counts = np.diff(starts, append=len(ordered))
    tied = counts > 1
    return ordered[starts[tied]], counts[tied]


def _tied_totals(reference: Floats, window: Floats) -> NDArray[np.int64]:
    """How many rows of both sides together each value has that has two at least."""
    # Two ascending runs: a stable sort merges them.
    return _ties(np.sort(np.concatenate([reference, window]), kind="stable"))[1]


def _tests(totals: NDArray[np.int64], n: int, m: int, alpha: float) -> int:
    """Tarone's number of tests: the smallest k such that at most k values can be significant at alpha / k.

    A value with s rows on both sides is most significant when all of them, or all rows, are the window's.
    """
    inside = np.minimum(totals, m)
    least = np.sort(log_choose(totals, inside) + log_choose(n + m - totals, m - inside)) - log_choose(n + m, m)
    tests = np.arange(1, len(inside) + 1)
    able = np.searchsorted(least, math.log(alpha) - np.log(tests), side="right")
    return int(tests[np.flatnonzero(able <= tests)[0]])
