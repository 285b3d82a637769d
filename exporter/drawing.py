"""The shapes of a chart, which a template draws as SVG: no script, no style of its own.

Coordinates are those of a drawing `WIDTH` wide; the page scales it. Every chart has a title, a description and the
figures as a table, for who cannot see it.
"""

from __future__ import annotations

from dataclasses import dataclass

WIDTH, HEIGHT = 460.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 10.0, 10.0, 26.0


@dataclass(frozen=True)
class Tick:
    """A label of an axis, at a coordinate of that axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    """One figure, with what it says when it is pointed at."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Bar:
    """A rectangle; `style` is the CSS class of its colour."""

    x: float
    y: float
    width: float
    height: float
    style: str
    title: str


@dataclass(frozen=True)
class Line:
    """Figures in their order. `lines` and `bands` are SVG point lists, a new one after each gap."""

    style: str
    lines: tuple[str, ...]
    bands: tuple[str, ...]
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Rule:
    """A level line across the chart."""

    y: float
    style: str


@dataclass(frozen=True)
class Key:
    """An entry of the legend."""

    style: str
    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing. `name` is its id on the page; `table` has the figures, its first row the headings."""

    name: str
    title: str
    about: str
    height: float
    left: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    table: tuple[tuple[str, ...], ...]
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    rules: tuple[Rule, ...] = ()
    keys: tuple[Key, ...] = ()

    @property
    def bottom(self) -> float:
        """Where the horizontal axis is."""
        return self.height - BOTTOM
