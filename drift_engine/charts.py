"""Small pictures as inline SVG: a page needs no script for them. Every one says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from drift_engine.sentences import number

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 40
#: Blue for what is known, orange for what is new; they differ in lightness, too, and the new one has dots.
COLOURS = ("#3d5a99", "#d1731f")


@dataclass(frozen=True)
class Line:
    """A series. `points`: (x, y) in order of x; `bounds`: (lower, upper) of each point, or nothing."""

    name: str
    points: Sequence[tuple[float, float]]
    bounds: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Axis:
    """An axis: its range, what is written under it, and what it is of."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    title: str


def axis_for(values: Sequence[float], title: str, *, within: tuple[float, float] = (-math.inf, math.inf)) -> Axis:
    """An axis that holds the values, with some room, and some round ticks; `within` bounds the room."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    room = 0.08 * (high - low) or 0.5 * abs(high) or 1.0
    low, high = max(within[0], low - room), min(within[1], high + room)
    if not low < high:
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / 6)
    first = math.ceil(low / step)
    ticks = [(place * step, number(round(place * step, 12))) for place in range(first, math.floor(high / step) + 1)]
    return Axis(low, high, ticks, title)


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, says: str, *, diagonal: bool = False) -> Markup:
    """Lines with dots, and bars for their bounds; `diagonal` draws where both axes are equal."""
    parts = [_frame(x, y)]
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(
            f'<line x1="{_x(low, x)}" y1="{_y(low, y)}" x2="{_x(high, x)}" y2="{_y(high, y)}" '
            'stroke="#9aa5b8" stroke-dasharray="4 4"/>'
        )
    for place, line in enumerate(lines):
        parts.append(_line(line, x, y, COLOURS[place % len(COLOURS)], dots=place > 0))
    return _svg(parts, says, [line.name for line in lines])


def bar_chart(bars: Sequence[tuple[float, float, float]], x: Axis, y: Axis, says: str) -> Markup:
    """Bars (from, to, height) that stand on zero."""
    parts = [_frame(x, y)]
    for start, end, height in bars:
        left, right, top, bottom = _x(start, x), _x(end, x), _y(height, y), _y(0, y)
        width, tall = max(0.5, right - left - 1), max(0.0, bottom - top)
        parts.append(f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{tall:.1f}" fill="{COLOURS[0]}"/>')
    return _svg(parts, says, [])


def _line(line: Line, x: Axis, y: Axis, colour: str, *, dots: bool) -> str:
    places = [(_x(across, x), _y(up, y)) for across, up in line.points]
    drawn = " ".join(f"{across},{up}" for across, up in places)
    bars = "".join(
        f'<line x1="{across}" y1="{_y(low, y)}" x2="{across}" y2="{_y(high, y)}" stroke="{colour}" opacity=".45"/>'
        for (across, _), (low, high) in zip(places, line.bounds, strict=False)
    )
    marks = "".join(f'<circle cx="{a}" cy="{u}" r="{3 if dots else 2}" fill="{colour}"/>' for a, u in places)
    return f'{bars}<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.8"/>{marks}'


def _frame(x: Axis, y: Axis) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [f'<line x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#9aa5b8"/>']
    for value, text in y.ticks:
        up = _y(value, y)
        parts.append(f'<line x1="{_LEFT}" y1="{up}" x2="{right}" y2="{up}" stroke="#e3e7ef"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{up + 4}" text-anchor="end">{escape(text)}</text>')
    for place, (value, text) in enumerate(x.ticks):
        anchor = "start" if place == 0 else "end" if place == len(x.ticks) - 1 else "middle"
        parts.append(f'<text x="{_x(value, x)}" y="{bottom + 16}" text-anchor="{anchor}">{escape(text)}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x.title)}</text>')
    middle = (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 12 {middle})"'
    parts.append(f'<text x="12" y="{middle}" text-anchor="middle" {turned}>{escape(y.title)}</text>')
    return "".join(parts)


def _svg(parts: Sequence[str], says: str, names: Sequence[str]) -> Markup:
    legend = "".join(
        f'<rect x="{_LEFT + 8 + 150 * place}" y="{_TOP - 8}" width="12" height="4" fill="{COLOURS[place]}"/>'
        f'<text x="{_LEFT + 25 + 150 * place}" y="{_TOP - 2}">{escape(name)}</text>'
        for place, name in enumerate(names)
    )
    # Everything that came from outside was escaped where it was put in.
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="11.5" fill="#5b6780">'
        f"<title>{escape(says)}</title>{''.join(parts)}{legend}</svg>"
    )


def _x(value: float, axis: Axis) -> float:
    share = (value - axis.low) / (axis.high - axis.low)
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(value: float, axis: Axis) -> float:
    share = (value - axis.low) / (axis.high - axis.low)
    return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999999)
