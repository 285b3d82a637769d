"""Which rows a run compares: the window's bounds, from the command line or from the run before."""

from __future__ import annotations

import re

from drift_engine.errors import DriftError
from drift_engine.results.schema import Window
from drift_engine.results.store import Latest
from gateway.clock import parse_utc, utc_text

DAY_SECONDS = 24 * 3600.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_SECONDS, "w": 7 * DAY_SECONDS}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


class InvalidWindow(DriftError):
    """The window that was asked for makes no sense."""


def duration_seconds(text: str) -> float:
    """A duration in seconds, from numbers with units s, m, h, d, w. Raises InvalidWindow.

    >>> duration_seconds("24h"), duration_seconds("1h30m")
    (86400.0, 5400.0)
    """
    if not _DURATION.fullmatch(text):
        raise InvalidWindow(f"{text!r} is not a duration; write 24h, 90m, 7d or 1h30m")
    seconds = sum(float(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    if seconds <= 0:
        raise InvalidWindow(f"a window of {text!r} holds no time")
    return seconds


def adhoc_window(now: float, *, length: str | None, since: str | None, until: str | None) -> Window:
    """The window a person asked for: `length` before its end, or from `since`; it ends at `until`, or now.

    Never later than now: a window that claims the future would keep scheduled runs from ever ending later.
    Never before 1970: no row is older.
    """
    if length is not None and since is not None:
        raise InvalidWindow("give --window or --since, not both")
    end = now if until is None else min(now, moment_asked(until))
    start = max(0.0, end - duration_seconds(length or "24h")) if since is None else moment_asked(since)
    if start >= end:
        raise InvalidWindow(f"the window would end ({utc_text(end)}) before it starts ({utc_text(start)})")
    return Window(utc_text(start), utc_text(end), "adhoc")


def scheduled_window(now: float, grace_seconds: float, latest: Latest | None) -> Window | None:
    """The window of a scheduled run, or None while the one before it still covers all up to now.

    It starts where the last scheduled window ended, so that no row falls between two. Where that one gave no
    verdict it is taken again, and grows until it does. It never reaches back more than 24 hours. A pointer that
    a clock ahead of this one wrote is not followed.
    """
    end = now - grace_seconds
    start = end - DAY_SECONDS
    if latest is not None and latest.scheduled_from is not None and not latest.is_ahead_of(now):
        start = max(start, parse_utc(latest.scheduled_from))
    return Window(utc_text(start), utc_text(end), "scheduled") if start < end else None


def moment_asked(text: str) -> float:
    """Seconds since the epoch, not before it."""
    try:
        seconds = max(0.0, parse_utc(text))
        utc_text(seconds)  # an offset may lead past the year 9999
        return seconds
    except ValueError as error:
        raise InvalidWindow(f"{text!r} is not a moment ({error}); write 2026-11-20T15:00:00Z") from None
