"""Answers of little confidence for a person to look at, out of the kept reviews; and as CSV for a spreadsheet."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from drift_engine.results.days import Review, ReviewRow
from drift_engine.results.spreadsheets import csv_document

#: What rows are sorted by; a "-" before it turns the order round.
SORTS = ("confidence", "-confidence", "timestamp", "-timestamp")
LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000
#: The columns before the features.
_COLUMNS = ("timestamp", "request_id", "instance", "client_id", "prediction", "confidence", "label")


@dataclass(frozen=True)
class Wanted:
    """Which rows: `threshold` is the confidence that they stay under, `answer` the predicted class (None: any)."""

    threshold: float
    answer: str | None
    sort: str
    limit: int


@dataclass(frozen=True)
class Found:
    """`rows` of `matching` that are kept. `more_days`: days on which more rows match than were kept of them."""

    rows: tuple[ReviewRow, ...]
    matching: int
    more_days: tuple[str, ...]


def select(reviews: Iterable[Review], wanted: Wanted) -> Found:
    """The rows of several days. `reviews` is read one by one: many days need no more memory than `limit` rows."""
    counted = 0
    more: list[str] = []

    def matching() -> Iterator[ReviewRow]:
        nonlocal counted
        for review in reviews:
            for row in review.rows:
                if row.confidence < wanted.threshold and wanted.answer in (None, answer_text(row.prediction)):
                    counted += 1
                    yield row
            # Kept are those of least confidence: if even the last of them is under the line, others were left out.
            if review.rows_of_day > len(review.rows) and review.rows and review.rows[-1].confidence < wanted.threshold:
                more.append(review.day)

    pick = heapq.nlargest if wanted.sort.startswith("-") else heapq.nsmallest
    rows = pick(wanted.limit, matching(), key=_key(wanted.sort.removeprefix("-")))
    return Found(tuple(rows), counted, tuple(more))


def answer_text(value: str | float | None) -> str:
    """A class or value as text.

    >>> answer_text("yes"), answer_text(1.0), answer_text(None)
    ('yes', '1', '')
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.10g}"


def features_of(rows: Sequence[ReviewRow]) -> list[str]:
    """The features of all rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row.features))


def to_csv(rows: Sequence[ReviewRow]) -> bytes:
    """The rows as CSV with a header, formulas neutralised.

    A feature that is called like one of the first columns becomes `feature.<name>`, as in the log.
    """
    features = features_of(rows)
    header = [*_COLUMNS, *(f"feature.{name}" if name in _COLUMNS else name for name in features)]
    return csv_document(
        header, ([*(getattr(row, name) for name in _COLUMNS), *map(row.features.get, features)] for row in rows)
    )


def _key(name: str) -> Callable[[ReviewRow], tuple[Any, ...]]:
    """Rows alike in what they are sorted by stand in order of request, so that the same files give the same page."""
    return lambda row: (getattr(row, name), row.timestamp, row.request_id, row.instance)
