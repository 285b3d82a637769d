"""What moved, in words and numbers."""

from __future__ import annotations

import math

import numpy as np

from drift_engine.results.schema import Check
from drift_engine.statistics.repeat_check import find_repeat
from drift_engine.statistics.summaries import Cuts, LevelSummary, NumberSummary, Summary

#: A spread that changes by more than this factor, while the middle stays, is called a change of scale.
_SCALE_FACTOR = 1.25
#: The middle stays when the median moves by less than this part of the distance between the quartiles.
_MIDDLE_STAYS = 0.25
_LEVEL_LENGTH_MAX = 40
#: A value is stuck when it alone makes this part of the change of a number with many values.
_STUCK_PART_MIN = 0.5
#: A value beyond all seen, as codes for missing are, is a novelty unless it makes nearly all rows.
_STANDSTILL_MIN = 0.9
#: Of a category the levels that moved most are told, those by a point or more.
_LEVELS_TOLD_MAX = 3
_MOVE_TOLD_MIN = 0.01


def describe(checks: tuple[Check, ...], reference: Summary, window: Summary, cuts: Cuts | None) -> tuple[str, str]:
    """The sentence of a column, and the kind of its strongest change ("" where nothing moved)."""
    ratios = {check.name: check.drift_ratio or 0.0 for check in checks if check.detected}
    distribution = max((ratios[name] for name in ("shape", "location", "spread") if name in ratios), default=None)
    found: list[tuple[float, str, str]] = []
    if distribution is not None:
        # One sentence for the three: they are three looks at the same change.
        scaled = ratios.get("spread", 0.0) > ratios.get("location", 0.0)
        found.append((distribution, *_distribution(reference, window, cuts, scaled)))
    if "missing" in ratios:
        found.append((ratios["missing"], *_missing(reference, window)))
    if "novel" in ratios:
        found.append((ratios["novel"], *_novel(reference, window, cuts)))
    if "repeat" in ratios:
        found.append(_repeat(reference, window, cuts))
    if found:
        found.sort(key=lambda item: -item[0])
        return "; ".join(sentence for _, _, sentence in found), found[0][1]
    reasons = [check.reason for check in checks if check.reason]
    if checks[0].detected is None and reasons:
        return reasons[0], ""
    return "no change beyond chance", ""


def better_or_worse(drop_percent: float) -> str:
    """A drop of quality in words that need no sign; a rise of an error is a drop too.

    >>> better_or_worse(5.24), better_or_worse(-1.3), better_or_worse(0.04)
    ('5.2 % worse', '1.3 % better', 'unchanged')
    """
    size = f"{abs(drop_percent):.1f}"
    return "unchanged" if size == "0.0" else f"{size} % {'worse' if drop_percent > 0 else 'better'}"


def number(value: float) -> str:
    """A number for people: four significant digits, no exponent where it can be avoided.

    >>> number(1234567.0), number(0.00012345), number(-12.0)
    ('1234567', '0.0001234', '-12')
    """
    if math.isfinite(value) and (value == int(value) and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A share as percent, with a digit more where it is small.

    >>> percent(0.0042), percent(0.31), percent(1.0)
    ('0.42 %', '31 %', '100 %')
    """
    value = 100 * share
    if value == 0 or value >= 9.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"


def _distribution(reference: Summary, window: Summary, cuts: Cuts | None, scaled: bool) -> tuple[str, str]:
    if isinstance(reference, NumberSummary):
        assert isinstance(window, NumberSummary)
        assert cuts is not None
        return _number_distribution(reference, window, cuts, scaled)
    assert isinstance(window, LevelSummary)
    return "mix", _mix(reference, window)


def _number_distribution(reference: NumberSummary, window: NumberSummary, cuts: Cuts, scaled: bool) -> tuple[str, str]:
    """`scaled`: the spread moved by more than the location, compared with what each is allowed."""
    (low, middle, high), (low_now, middle_now, high_now) = reference.quartiles, window.quartiles
    spread, spread_now = high - low, high_now - low_now
    p, q = reference.counts / reference.present, window.counts / window.present
    most = int(np.argmax(q - p))
    where = bin_range(cuts, most)
    rows = f"{percent(q[most])} of rows {where} ({percent(p[most])} in the reference)"
    if cuts.values is None and spread > 0 and abs(middle_now - middle) < _MIDDLE_STAYS * spread:
        factor = spread_now / spread
        if scaled or not 1 / _SCALE_FACTOR < factor < _SCALE_FACTOR:
            word = "wider" if factor > 1 else "narrower"
            ends = f"the middle half was {number(low)} to {number(high)}, is {number(low_now)} to {number(high_now)}"
            return "scale", f"{word}: {ends}; {rows}"
    return "shift", f"median {number(middle)} -> {number(middle_now)}; {rows}"


def bin_range(cuts: Cuts, position: int) -> str:
    """Where a bin lies, e.g. "above 3.2"."""
    edges = cuts.edges
    if cuts.values is not None:
        # The outer bins are open: they also hold values that the reference never showed.
        ends = {len(edges): "at or above", 0: "at or below"}
        return f"{ends.get(position, 'at')} {number(cuts.values[position])}"
    if position == 0:
        # The first bin may be a mass point, whose upper edge is the minimum itself.
        return f"at or below {number(edges[0])}" if edges[0] > cuts.minimum else f"at {number(cuts.minimum)}"
    if position == len(edges):
        return f"above {number(edges[-1])}"
    return f"between {number(edges[position - 1])} and {number(edges[position])}"


def _mix(reference: LevelSummary, window: LevelSummary) -> str:
    levels = sorted(reference.counts.keys() | window.counts.keys())
    moves = []
    for level in levels:
        p = reference.counts.get(level, 0) / reference.present
        q = window.counts.get(level, 0) / window.present
        moves.append((-abs(q - p), f"{quoted(level)} {percent(p)} -> {percent(q)}"))
    moves.sort()
    told = [text for move, text in moves[:_LEVELS_TOLD_MAX] if move <= -_MOVE_TOLD_MIN]
    return ", ".join(told or [moves[0][1]])


def _missing(reference: Summary, window: Summary) -> tuple[str, str]:
    before = reference.missing / (reference.missing + reference.present)
    now = window.missing / (window.missing + window.present)
    kind = "missing surge" if now > before else "fewer missing"
    return kind, f"missing in {percent(now)} of rows ({percent(before)} in the reference)"


def _novel(reference: Summary, window: Summary, cuts: Cuts | None) -> tuple[str, str]:
    if isinstance(window, LevelSummary):
        assert isinstance(reference, LevelSummary)
        unseen = {level: count for level, count in window.counts.items() if level not in reference.counts}
        level, count = max(unseen.items(), key=lambda item: (item[1], item[0]))
        more = f" (and {len(unseen) - 1} other new levels)" if len(unseen) > 1 else ""
        return "novel values", (
            f"{percent(count / window.present)} of values are {quoted(level)}, which the reference never showed{more}"
        )
    assert cuts is not None
    ends = (
        (window.above, f"above {number(cuts.maximum)}, the largest"),
        (window.below, f"below {number(cuts.minimum)}, the smallest"),
    )
    told = [f"{percent(count / window.present)} of values {end} of the reference" for count, end in ends if count]
    return "novel values", " and ".join(told)


def _repeat(reference: Summary, window: Summary, cuts: Cuts | None) -> tuple[float, str, str]:
    """Before all else where the value makes most of the change; else after it."""
    assert isinstance(reference, NumberSummary)
    assert isinstance(window, NumberSummary)
    assert reference.ordered is not None
    assert window.ordered is not None
    assert cuts is not None
    found = find_repeat(reference.ordered, window.ordered)
    assert found is not None
    share, before = found.window / window.present, found.reference / reference.present
    sentence = f"{percent(share)} of values are {number(found.value)} exactly ({percent(before)} in the reference)"
    change = float(np.abs(window.counts / window.present - reference.counts / reference.present).sum()) / 2
    is_novel = not cuts.minimum <= found.value <= cuts.maximum and share < _STANDSTILL_MIN
    explains = cuts.values is None and not is_novel and found.growth >= _STUCK_PART_MIN * change
    return math.inf if explains else 0.0, "stuck", sentence


def quoted(level: str) -> str:
    """A level as it may be printed: no control characters, not longer than a line allows."""
    return f'"{printable(level if len(level) <= _LEVEL_LENGTH_MAX else level[: _LEVEL_LENGTH_MAX - 3] + "...")}"'


def printable(text: str) -> str:
    """Without control characters, which would steer a terminal or turn a line round."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def moment(text: str) -> str:
    """A time for people, to the second.

    >>> moment("2026-11-20T15:11:39.123456Z")
    '2026-11-20 15:11:39 UTC'
    """
    return f"{text[:10]} {text[11:19]} UTC"
