"""From figures to the shapes of a chart: lines over days, stacked bars, a histogram, a timeline."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.drawing import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Bar, Chart, Dot, Key, Line, Rule, Tick

_TICKS_MAX = 5
_DAY_LABELS_MAX = 5
_VALUE_MAX = 1e15


@dataclass(frozen=True)
class Point:
    """One figure of a line at a place from 0 on, with its interval where one is known."""

    place: int
    value: float
    lower: float | None
    upper: float | None
    title: str


@dataclass(frozen=True)
class Course:
    """A line of a line chart."""

    style: str
    text: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Part:
    """A part of every bar of a stacked chart: its values day by day."""

    style: str
    text: str
    values: Sequence[float]


class Scale:
    """From values to vertical coordinates."""

    def __init__(self, low: float, high: float) -> None:
        # A single value, too, gets a scale in which it can be read.
        # And values that differ in their last digits only, one that is more than rounding.
        least = 4 * math.ulp(max(abs(low), abs(high)))
        step = _nice(max((high - low) / _TICKS_MAX or abs(high) / 20, least))
        self.low = math.floor(low / step + 1e-9) * step
        self.high = max(math.ceil(high / step - 1e-9) * step, self.low + step)
        self._step = step

    def y(self, value: float) -> float:
        """The coordinate of a value; what lies beyond the scale is drawn at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    def ticks(self) -> tuple[Tick, ...]:
        """Labels at round values."""
        count = round((self.high - self.low) / self._step)
        values = [self.low + i * self._step for i in range(count + 1)]
        texts = [short_number(value) for value in values]
        if len(set(texts)) < len(texts):
            texts = [f"{value:.12g}" for value in values]
        return tuple(Tick(self.y(value), text) for value, text in zip(values, texts, strict=True))


def line_chart(
    name: str,
    title: str,
    about: str,
    days: Sequence[str],
    courses: Sequence[Course],
    level: tuple[float, str] | None,
    table: tuple[tuple[str, ...], ...],
) -> Chart | None:
    """Lines over days, with a `level` line where there is one (value, legend); None without any point."""
    courses = [_drawable(course) for course in courses]
    points = [point for course in courses for point in course.points]
    if not points:
        return None
    level = level if level is not None and abs(level[0]) <= _VALUE_MAX else None
    values = [value for point in points for value in (point.value, point.lower, point.upper) if value is not None]
    values += [level[0]] if level else []
    scale = Scale(min(values), max(values))
    return Chart(
        name=name,
        title=title,
        about=about,
        height=HEIGHT,
        left=LEFT,
        x_ticks=_day_ticks(days),
        y_ticks=scale.ticks(),
        lines=tuple(_line(course, scale, len(days)) for course in courses if course.points),
        rules=(Rule(scale.y(level[0]), "level"),) if level else (),
        keys=(
            *(Key(course.style, course.text) for course in courses if course.points),
            *((Key("level", level[1]),) if level else ()),
        ),
        table=table,
    )


def stacked_days(
    name: str,
    title: str,
    about: str,
    days: Sequence[str],
    parts: Sequence[Part],
    table: tuple[tuple[str, ...], ...],
    unit: str = "",
) -> Chart | None:
    """Bars of every day, one part upon the other; None when all are 0."""
    totals = [sum(values) for values in zip(*(part.values for part in parts), strict=True)]
    if not any(totals):
        return None
    scale = Scale(0.0, max(totals))
    bars = []
    width = _slot(len(days))
    for place, day in enumerate(days):
        base = 0.0
        for part in parts:
            value = part.values[place]
            if value:
                top, bottom = scale.y(base + value), scale.y(base)
                said = f"{day}, {part.text}: {short_number(value)}{unit}"
                bars.append(_bar(_x(place, len(days)) - width / 2, top, width, bottom - top, part.style, said))
            base += value
    return Chart(
        name=name,
        title=title,
        about=about,
        height=HEIGHT,
        left=LEFT,
        x_ticks=_day_ticks(days),
        y_ticks=scale.ticks(),
        bars=tuple(bars),
        keys=tuple(Key(part.style, part.text) for part in parts) if len(parts) > 1 else (),
        table=table,
    )


def histogram(
    name: str, title: str, about: str, counts: Sequence[int], ends: tuple[float, float], bins: int
) -> Chart | None:
    """Counts in equal bins between `ends`, drawn in `bins` of them (a divisor of their number); None without any."""
    if not any(counts):
        return None
    size = len(counts) // bins
    folded = [sum(counts[i : i + size]) for i in range(0, len(counts), size)]
    low, high = ends
    edges = [low + (high - low) * i / len(folded) for i in range(len(folded) + 1)]
    named = [f"{short_number(a)} to {short_number(b)}" for a, b in itertools.pairwise(edges)]
    scale = Scale(0.0, max(folded))
    width = (WIDTH - LEFT - RIGHT) / len(folded)
    bars = []
    for place, count in enumerate(folded):
        if count:
            top = scale.y(count)
            said = f"{named[place]}: {count:,}"
            bars.append(_bar(LEFT + place * width + 0.5, top, width - 1, scale.y(0.0) - top, "part0", said))
    every = max(1, len(folded) // _TICKS_MAX)
    return Chart(
        name=name,
        title=title,
        about=about,
        height=HEIGHT,
        left=LEFT,
        x_ticks=tuple(Tick(round(LEFT + i * width, 1), short_number(edges[i])) for i in range(0, len(edges), every)),
        y_ticks=scale.ticks(),
        bars=tuple(bars),
        table=((title, "rows"), *((text, f"{count:,}") for text, count in zip(named, folded, strict=True))),
    )


@dataclass(frozen=True)
class Stretch:
    """A time that something lasted, in days from the first one drawn; `style` the CSS class of its colour."""

    text: str
    start: float
    end: float
    style: str
    title: str


def timeline(
    name: str,
    title: str,
    about: str,
    days: Sequence[str],
    stretches: Sequence[Stretch],
    keys: tuple[Key, ...],
    table: tuple[tuple[str, ...], ...],
) -> Chart | None:
    """One row per stretch, in the order given; None without any."""
    if not stretches:
        return None
    left, row = 165.0, 22.0
    width = (WIDTH - left - RIGHT) / len(days)
    ticks, bars = [], []
    for number, stretch in enumerate(stretches):
        top = TOP + number * row
        ticks.append(Tick(top + row / 2, shortened(stretch.text, 21)))
        start = min(max(stretch.start, 0.0), float(len(days)))
        end = min(max(stretch.end, start), float(len(days)))
        # Not thinner than a line: something that lasted minutes is still to be seen.
        drawn = max((end - start) * width, 3.0)
        x = min(left + start * width, WIDTH - RIGHT - drawn)
        bars.append(_bar(x, top + 4, drawn, row - 8, stretch.style, stretch.title))
    return Chart(
        name=name,
        title=title,
        about=about,
        height=TOP + len(stretches) * row + BOTTOM,
        left=left,
        x_ticks=_day_ticks(days, left, labels_max=3),
        y_ticks=tuple(ticks),
        bars=tuple(bars),
        keys=keys,
        table=table,
    )


def shortened(text: str, length_max: int) -> str:
    """`text`, cut to so many characters.

    >>> shortened("probability of a default", 12)
    'probability\\u2026'
    """
    return text if len(text) <= length_max else text[: length_max - 1].rstrip() + "\u2026"


def short_number(value: float) -> str:
    """A label of an axis.

    >>> short_number(0.95), short_number(1200000.0), short_number(15000.0), short_number(0.30000000000000004)
    ('0.95', '1.2M', '15k', '0.3')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:.6g}"


def _drawable(course: Course) -> Course:
    """Without figures beyond any scale: those of a broken file, or of an error that overflowed."""
    points = tuple(
        point
        for point in course.points
        if all(abs(value) <= _VALUE_MAX for value in (point.value, point.lower or 0.0, point.upper or 0.0))
    )
    return Course(course.style, course.text, points)


def _line(course: Course, scale: Scale, places: int) -> Line:
    lines, bands = [], []
    for part in _without_gaps(course.points):
        lines.append(" ".join(f"{_x(point.place, places)},{scale.y(point.value)}" for point in part))
        there = [(_x(p.place, places), p.lower, p.upper) for p in part if p.lower is not None and p.upper is not None]
        if len(there) > 1:
            above = [f"{x},{scale.y(upper)}" for x, _, upper in there if upper is not None]
            below = [f"{x},{scale.y(lower)}" for x, lower, _ in reversed(there) if lower is not None]
            bands.append(" ".join(above + below))
    dots = tuple(Dot(_x(point.place, places), scale.y(point.value), point.title) for point in course.points)
    return Line(course.style, tuple(lines), tuple(bands), dots)


def _without_gaps(points: Iterable[Point]) -> list[list[Point]]:
    """The points in runs of neighbouring places."""
    parts: list[list[Point]] = []
    for point in points:
        if parts and parts[-1][-1].place + 1 == point.place:
            parts[-1].append(point)
        else:
            parts.append([point])
    return parts


def _bar(x: float, y: float, width: float, height: float, style: str, title: str) -> Bar:
    return Bar(round(x, 1), round(y, 1), round(width, 1), round(max(height, 0.5), 1), style, title)


def _slot(places: int) -> float:
    """The width of a day's bar."""
    return (WIDTH - LEFT - RIGHT) / places * 0.8


def _x(place: int, places: int, left: float = LEFT) -> float:
    return round(left + (place + 0.5) * (WIDTH - left - RIGHT) / places, 1)


def _day_ticks(days: Sequence[str], left: float = LEFT, labels_max: int = _DAY_LABELS_MAX) -> tuple[Tick, ...]:
    """Month and day at even distances, the newest day always."""
    every = max(1, math.ceil(len(days) / labels_max))
    places = range(len(days) - 1, -1, -every)
    # The outermost labels would leave the drawing.
    return tuple(
        Tick(min(max(_x(place, len(days), left), left + 14), WIDTH - RIGHT - 12), days[place][5:])
        for place in reversed(places)
    )


def _nice(step: float) -> float:
    """The next larger of 1, 2, 2.5 and 5 times a power of ten."""
    if step <= 0:
        return 0.01
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * (1 - 1e-9))
