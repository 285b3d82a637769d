"""What a gateway answered to many requests, held against its logs: every 2xx has its rows, and no row is extra."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.log import labels, predictions
from gateway.log.line import LogColumn
from gateway.log.reader import scan
from gateway.registry import ModelCard

_SHOWN_MAX = 10


@dataclass
class Answers:
    """All answers so far.

    Attributes:
        cases: what was sent; one case may get several answers, as in a request that hides another one.
        statuses: how often each came.
        rows: rows answered by request_id.
        labels: labels answered.
        unanswered: cases whose connection ended without an answer.
        faults: what no client may see, in words; the first ones.
    """

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    labels: int = 0
    unanswered: int = 0
    faults: list[str] = field(default_factory=list)

    def take(self, status: int, content_type: str, body: bytes, asked: str) -> None:
        """Count one answer. `asked`: the request, to be shown when something is wrong with the answer."""
        self.statuses[status] += 1
        if status >= 500:
            self.fault(f"{status} to {asked}: {body[:200]!r}")
        elif status >= 400 and (content_type != "application/problem+json" or not _is_problem(body, status)):
            self.fault(f"{status} that is no problem document to {asked}: {content_type} {body[:200]!r}")
        elif status < 300 and content_type == "application/json":
            self._take_document(json.loads(body))

    def fault(self, text: str) -> None:
        """Note something that is wrong."""
        if len(self.faults) < _SHOWN_MAX:
            self.faults.append(text)

    def _take_document(self, document: Any) -> None:
        if "request_id" in document and "model_version" in document:
            self.rows[document["request_id"]] += len(document.get("predictions", [None]))
        elif "received_at" in document:
            self.labels += document.get("labels", 1)

    @property
    def server_errors(self) -> int:
        """Answers with 5xx."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def __add__(self, other: Answers) -> Answers:
        return Answers(
            self.cases + other.cases,
            self.statuses + other.statuses,
            self.rows + other.rows,
            self.labels + other.labels,
            self.unanswered + other.unanswered,
            (self.faults + other.faults)[:_SHOWN_MAX],
        )


@dataclass(frozen=True)
class Logged:
    """What the logs hold: rows by request_id, and labels."""

    rows: Counter[str]
    labels: int

    def __sub__(self, earlier: Logged) -> Logged:
        return Logged(self.rows - earlier.rows, self.labels - earlier.labels)


def logged(live: Path, cards: Iterable[ModelCard]) -> Logged:
    """Everything in the logs of these models."""
    rows: Counter[str] = Counter()
    count = 0
    for card in cards:
        files = predictions.segments(live, card.name, card.version)
        rows.update(row["request_id"] for row in _read(files, predictions.columns(card)))
        count += sum(1 for _ in _read(labels.segments(live, card.name), labels.columns(card)))
    return Logged(rows, count)


def _read(files: Sequence[Path], columns: tuple[LogColumn, ...]) -> Iterator[dict[str, str]]:
    for path in files:
        yield from csv.DictReader(io.StringIO(scan(path, columns).data.decode(), newline=""))


def _is_problem(body: bytes, status: int) -> bool:
    try:
        document = json.loads(body)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("status") == status and "request_id" in document
