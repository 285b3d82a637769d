"""Which rows a window is compared with: the registered ones, or another time of the live log.

A setting's text chooses: `file`; `<since>/<until>`; `rolling:7d`; `season:4w`. A reference of the live log is
made of the rows that were answered then, with their answers; quality is measured against the registered rows always.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drift_engine.errors import DriftError
from drift_engine.reading.live_log import Span
from drift_engine.reading.sources import Source
from drift_engine.reference import Reference, UnusableReference, load_reference
from drift_engine.results.schema import InputFile, ReferenceUsed, Window
from drift_engine.settings import DriftSettings
from drift_engine.statistics.power import Need, rows_needed
from drift_engine.table import NumberColumn, Table
from drift_engine.window import DAY_SECONDS, InvalidWindow, duration_seconds
from gateway.clock import parse_utc, utc_text
from gateway.registry import ModelCard, Registry

_HOUR_SECONDS, _WEEK_SECONDS = 3600.0, 7 * DAY_SECONDS
#: A season further back would be another year's.
_WEEKS_MAX = 52


class InvalidReference(DriftError):
    """The text that chooses a reference makes no sense."""


@dataclass(frozen=True)
class Choice:
    """A reference that was asked for. `seconds`: how long a rolling one is; `weeks`: how many a season has."""

    kind: Literal["file", "range", "rolling", "season"]
    asked: str
    span: Span | None = None
    seconds: float = 0.0
    weeks: int = 0


@dataclass(frozen=True)
class Chosen:
    """A reference that was read, and what the result says of it."""

    reference: Reference
    used: ReferenceUsed


def parse_choice(text: str) -> Choice:
    """Read the setting. Raises InvalidReference.

    >>> parse_choice("rolling:7d").seconds, parse_choice("season:4w").weeks
    (604800.0, 4)
    """
    word, _, rest = text.partition(":")
    if text == "file":
        return Choice("file", text)
    try:
        if word == "rolling":
            return Choice("rolling", text, seconds=duration_seconds(rest))
        if word == "season":
            return Choice("season", text, weeks=_weeks(rest))
        if "/" in text:
            since, _, until = text.partition("/")
            return Choice("range", text, span=_span(since, until))
    except (InvalidWindow, ValueError) as error:
        raise InvalidReference(f"reference {text!r}: {error}") from None
    raise InvalidReference(f"reference {text!r} is not file, <since>/<until>, rolling:7d or season:4w")


def spans_of(choice: Choice, window: Window) -> tuple[Span, ...]:
    """The times that a reference is of, newest first; none for the registered file. Raises UnusableReference."""
    start, end = parse_utc(window.start), parse_utc(window.end)
    if choice.kind == "file":
        return ()
    if choice.kind == "rolling":
        return (_texts(start - choice.seconds, start),)
    if choice.kind == "season":
        # Whole hours: the last weeks' same five minutes alone would be few rows.
        first, last = math.floor(start / _HOUR_SECONDS) * _HOUR_SECONDS, math.ceil(end / _HOUR_SECONDS) * _HOUR_SECONDS
        if last - first > _WEEK_SECONDS:
            raise UnusableReference("a window of more than a week would be its own season; choose another reference")
        return tuple(
            _texts(first - back * _WEEK_SECONDS, last - back * _WEEK_SECONDS) for back in range(1, choice.weeks + 1)
        )
    assert choice.span is not None
    since, until = choice.span
    if since < window.end and window.start < until:
        raise UnusableReference(
            f"the reference {choice.asked} overlaps the window: rows would be compared with themselves"
        )
    return (choice.span,)


def choose_reference(
    registry: Registry, card: ModelCard, window: Window, settings: DriftSettings, source: Source
) -> Chosen:
    """Read the reference that the settings ask for. Raises UnusableReference, InvalidReference."""
    choice = parse_choice(settings.reference)
    spans = spans_of(choice, window)
    reference = load_reference(registry, card)
    inputs: tuple[InputFile, ...] = ()
    if spans:
        read = source.reference(card, spans)
        reference = Reference(read.table, table_sha256(read.table), registered=reference.table)
        inputs = read.inputs
    need = rows_needed(card, reference.table, window, settings)
    used = ReferenceUsed(
        kind=choice.kind,
        asked=choice.asked,
        spans=spans,
        rows=reference.table.rows,
        sha256=reference.sha256,
        inputs=inputs,
        rows_needed=need.rows,
        warning=_warning(reference.table.rows, need, settings),
    )
    return Chosen(reference, used)


def table_sha256(table: Table) -> str:
    """A hash of a table's values, the same for equal rows whatever files they came from."""
    found = hashlib.sha256()
    for name, column in table.columns.items():
        found.update(json.dumps([name, table.rows]).encode())
        if isinstance(column, NumberColumn):
            # One bit pattern for what is missing, one for zero.
            values = np.where(np.isnan(column.values), np.nan, column.values + 0.0)
            found.update(values.astype("<f8").tobytes())
        else:
            found.update(json.dumps(column.levels).encode())
            found.update(column.codes.astype("<i4").tobytes())
    return found.hexdigest()


def _warning(rows: int, need: Need, settings: DriftSettings) -> str | None:
    if rows >= need.rows:
        return None
    return (
        f"the reference has {rows:,} rows; with {need.rows:,}, and a window as large, a change of PSI "
        f"{settings.psi_floor:g} could be told from chance in every column (most are needed for {need.column})"
    )


def _weeks(text: str) -> int:
    seconds = duration_seconds(text)
    weeks = seconds / _WEEK_SECONDS
    if weeks != int(weeks) or not 1 <= weeks <= _WEEKS_MAX:
        raise ValueError(f"a season is of 1 to {_WEEKS_MAX} whole weeks; write season:4w")
    return int(weeks)


def _span(since: str, until: str) -> Span:
    found = (utc_text(max(0.0, parse_utc(since))), utc_text(max(0.0, parse_utc(until))))
    if found[0] >= found[1]:
        raise ValueError("it would end before it starts")
    return found


def _texts(start: float, end: float) -> Span:
    return utc_text(max(0.0, start)), utc_text(max(0.0, end))
