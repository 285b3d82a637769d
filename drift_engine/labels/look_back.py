"""Labels come late: the newest labelled predictions may be far older than the rows that a run compares.

Older predictions are looked through step by step, each step reaching twice as far back, until there are labelled
rows enough. Of a prediction are read its keys, its time and the answer; kept are those that some label may name. A
step is passed over while every label that could be for it is of a prediction that is known already: there is
nothing to find. What it costs: docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from drift_engine.labels.counts import Matched
from drift_engine.labels.gathered import Gathered
from drift_engine.labels.join import lead_before
from drift_engine.reading.collector import Collector, time_order
from drift_engine.reading.log_files import Figures, Log
from drift_engine.reading.parsing import no_rows
from drift_engine.table import Table, stacked
from gateway.clock import parse_utc, utc_text
from gateway.registry.columns import LABEL

#: The first step reaches this far back from the end of the span, or twice as far as the span.
_FIRST_SECONDS = 24 * 3600.0
#: So many predictions, or as many as there are labels, are held before those that no label names are let go.
HELD_MAX = 200_000


@dataclass(frozen=True)
class Wanted:
    """So many labelled `rows`, of predictions from `since` on (RFC 3339 in UTC)."""

    rows: int
    since: str


@dataclass(frozen=True)
class Read:
    """A log, and what reading it came to so far."""

    log: Log
    figures: Figures


@dataclass(frozen=True)
class Reached:
    """How far was looked, and what was found.

    Attributes:
        since: every prediction from here on was looked at; `predictions` older than the span are so many.
        table: those of them that have a label, in time order: the answers and the label.
        matched: the labels of the span's predictions, and behind them those of the older ones.
        files: what reading came to now: predictions, labels.
    """

    since: str
    predictions: int
    table: Table
    matched: Matched
    files: tuple[Figures, Figures]


def look_back(
    predictions: Read, labels: Read, known: Gathered, columns: Mapping[str, bool], span: tuple[str, str], wanted: Wanted
) -> Reached:
    """Look for labelled predictions older than `span` while there are fewer than wanted.

    Args:
        known: the labels of the span's predictions, and all others that were received since.
        columns: what to read of an older prediction, and its label: by name, True for numbers.
    """
    answers = {name: is_number for name, is_number in columns.items() if name != LABEL}
    figures = [predictions.figures, labels.figures]
    matched, since, looked = known.matched(), span[0], 0
    steps: list[Collector] = []
    labels_until = lead_before(since)
    for bound in _bounds(*span, wanted.since):
        if matched.labelled >= wanted.rows:
            break
        labels_since = lead_before(bound)
        later = labels.log.read((labels_since, labels_until), known.add, before=figures[1])
        figures[1], labels_until = figures[1].with_files_of(later), labels_since
        if not known.unnamed:
            continue
        step = Collector(answers)
        log = replace(predictions.log, names=step.names)
        sieve = _Sieve(known, step, no_rows(log.columns, log.names))
        later = log.read((bound, since), sieve.add, before=figures[0])
        sieve.sift()
        figures[0], since = figures[0].with_files_of(later), bound
        looked += sieve.seen
        if step.rows:
            steps.append(step)
            known.add_predictions(step.keys(), step.times())
            matched = known.matched()
    return Reached(since, looked, _labelled(steps, matched, columns), matched, (figures[0], figures[1]))


def _bounds(start: str, end: str, since: str) -> Iterator[str]:
    """Each twice as far before the end as the one before it; the last is `since`."""
    last, back = max(0.0, parse_utc(since)), max(_FIRST_SECONDS / 2, parse_utc(end) - parse_utc(start))
    reached = parse_utc(start)
    while reached > last:
        back *= 2
        reached = max(last, parse_utc(end) - back)
        yield utc_text(reached)


def _labelled(steps: list[Collector], matched: Matched, columns: Mapping[str, bool]) -> Table:
    """The older predictions that have a label, with it; `steps`: newest first, as `matched` has them."""
    nothing = Collector({name: is_number for name, is_number in columns.items() if name != LABEL})
    tables = []
    behind = matched.predictions
    for step in reversed(steps or [nothing]):
        times = step.times()
        behind -= len(times)
        order = time_order(times, step.keys())
        label = matched.newest(behind + order, is_number=columns[LABEL])
        has_label = matched.joined.newest[behind + order] >= 0
        answers = step.table(order)
        tables.append(Table({**answers.columns, LABEL: label}, answers.rows).take(has_label))
    return stacked(tables)


class _Sieve:
    """Hands on the predictions that some label may name, and counts all: `seen`."""

    def __init__(self, known: Gathered, into: Collector, nothing: pa.Table) -> None:
        self._known = known
        self._into = into
        self._schema = nothing.schema
        self._tables: list[pa.Table] = []
        self._held = 0
        # No fewer than labels: each sifting looks at all of those.
        self._held_max = max(HELD_MAX, known.held)
        self.seen = 0

    def add(self, table: pa.Table) -> None:
        """Take rows of a file."""
        # Copies hold texts as dictionaries; a column has one type only.
        self._tables.append(table.cast(self._schema))
        self._held += table.num_rows
        self.seen += table.num_rows
        if self._held >= self._held_max:
            self.sift()

    def sift(self) -> None:
        """Hand on what is held."""
        if self._tables:
            table = pa.concat_tables(self._tables)
            self._into.add(table.filter(self._known.may_name(table)))
        self._tables, self._held = [], 0
