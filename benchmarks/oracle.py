"""The oracle of every crash test: a client that remembers what it was told, and the comparison with the log.

Answered implies logged, with equal content, once; what is logged beyond that was sent and got no answer.
"""

from __future__ import annotations

import csv
import http.client
import io
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from gateway.log import labels, predictions
from gateway.log.line import LogColumn
from gateway.log.reader import scan
from gateway.log.segment import UnreadableSegment
from gateway.registry import ModelCard
from gateway.registry.columns import CONFIDENCE, PREDICTION, probability_columns

_BACK_OFF_SECONDS = 0.02
_FAULTS_SHOWN_MAX = 5
_LABELLED_SHARE = 0.25

T = TypeVar("T")
#: Features in the model's order.
Features = tuple[float, ...]


@dataclass(frozen=True)
class Recorded:
    """One prediction, as it was answered or as it was logged: what must be equal."""

    features: Features
    prediction: str
    confidence: float
    probabilities: tuple[float, ...]


@dataclass
class Client:
    """Sends rows for as long as it is told to, on one connection while that lasts.

    Attributes:
        acknowledged: what a 2xx said, by request id.
        unanswered: the features of rows that got no 2xx; they may be in the log or not.
        labels: the label that a 2xx of /feedback confirmed, by request id.
        unanswered_labels: request ids whose label got no 2xx.
    """

    port: int
    card: ModelCard
    seed: int
    stop: threading.Event
    acknowledged: dict[str, Recorded] = field(default_factory=dict)
    unanswered: list[Features] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    unanswered_labels: set[str] = field(default_factory=set)
    refused: int = 0

    def run(self) -> None:
        """Ask until told to stop; a connection that breaks means "not answered"."""
        rng = random.Random(self.seed)
        names = self.card.feature_names
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.stop.is_set():
            row = tuple(rng.gauss(0, 1) for _ in names)
            answer = self._post(connection, "/predict", dict(zip(names, row, strict=True)))
            if answer is None:
                self.unanswered.append(row)
                continue
            request_id = answer["request_id"]
            self.acknowledged[request_id] = Recorded(
                row, str(answer["prediction"]), answer["confidence"], tuple(answer["probabilities"].values())
            )
            if rng.random() < _LABELLED_SHARE:
                self._send_label(connection, request_id, rng.choice(self.card.classes))
        connection.close()

    def _send_label(self, connection: http.client.HTTPConnection, request_id: str, label: Any) -> None:
        if self._post(connection, "/feedback", {"request_id": request_id, "label": label}) is None:
            self.unanswered_labels.add(request_id)
        else:
            self.labels[request_id] = str(label)

    def _post(self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer of a 2xx; None for everything else."""
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            time.sleep(_BACK_OFF_SECONDS)
            return None
        if response.status != 200:
            self.refused += 1
            return None
        found: dict[str, Any] = json.loads(answer)
        return found


class Clients:
    """Several clients in threads of this process, asking for as long as the block runs."""

    def __init__(self, port: int, card: ModelCard, count: int, seed: int) -> None:
        self._stop = threading.Event()
        self.all = [Client(port, card, seed + number, self._stop) for number in range(count)]
        self._threads = [threading.Thread(target=client.run) for client in self.all]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def answered(self) -> int:
        """Answers so far."""
        return sum(len(client.acknowledged) for client in self.all)


@dataclass(frozen=True)
class Findings:
    """How the logs compare with what clients were told. All from `lost` on must be 0.

    Attributes:
        acknowledged: predictions that were answered with 2xx.
        unanswered: predictions that were asked for and not answered.
        logged: intact rows in the prediction log.
        labels_acknowledged, labels_logged: the same for labels.
        torn_lines: lines that are damaged; they were never acknowledged unless `lost` says so.
        lost: acknowledged rows, labels among them, that the logs do not have.
        different: acknowledged rows that they have with other content.
        duplicates: rows whose request their log has already.
        invented: logged rows that nobody sent, or that were sent and answered under another id.
        unreadable_segments: files that are no segment.
    """

    acknowledged: int = 0
    unanswered: int = 0
    logged: int = 0
    labels_acknowledged: int = 0
    labels_logged: int = 0
    torn_lines: int = 0
    lost: int = 0
    different: int = 0
    duplicates: int = 0
    invented: int = 0
    unreadable_segments: int = 0
    examples: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.different or self.duplicates or self.invented or self.unreadable_segments)

    def __add__(self, other: Findings) -> Findings:
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return Findings(**counts, examples=(self.examples + other.examples)[:_FAULTS_SHOWN_MAX])


COUNTS = tuple(name for name in Findings.__dataclass_fields__ if name != "examples")


def judge(clients: Sequence[Client], live: Path, card: ModelCard) -> Findings:
    """Compare what the clients were told with the prediction log and the label log under `live`."""
    files = predictions.segments(live, card.name, card.version)
    answers = _compare(
        {key: told for client in clients for key, told in client.acknowledged.items()},
        _read(files, predictions.columns(card), lambda data: _rows(data, card)),
        {row for client in clients for row in client.unanswered},
        lambda _, row: row.features,
    )
    outcomes = _compare(
        {key: told for client in clients for key, told in client.labels.items()},
        _read(labels.segments(live, card.name), labels.columns(card), _labels),
        {key for client in clients for key in client.unanswered_labels},
        lambda key, _: key,
    )
    total = answers + outcomes
    return replace(
        total,
        acknowledged=answers.acknowledged,
        unanswered=sum(len(client.unanswered) for client in clients),
        logged=answers.logged,
        labels_acknowledged=outcomes.acknowledged,
        labels_logged=outcomes.logged,
    )


@dataclass(frozen=True)
class _Log(Generic[T]):
    """A log as read: its intact rows by request, damaged lines, files that are no segment."""

    rows: list[tuple[str, T]]
    torn: int
    unreadable: int


def _read(files: Sequence[Path], columns: tuple[LogColumn, ...], parse: Callable[[bytes], Iterator[Any]]) -> _Log[Any]:
    rows: list[tuple[str, Any]] = []
    torn = unreadable = 0
    for path in files:
        try:
            found = scan(path, columns)
        except UnreadableSegment:
            unreadable += 1
            continue
        torn += len(found.damage)
        rows += parse(found.data)
    return _Log(rows, torn, unreadable)


def _compare(
    acknowledged: dict[str, T], log: _Log[T], unanswered: set[Any], sent_as: Callable[[str, T], Any]
) -> Findings:
    """Compare one log. `sent_as`: how a logged row would stand in `unanswered`."""
    logged = dict(log.rows)
    lost = [key for key in acknowledged if key not in logged]
    different = [key for key, told in acknowledged.items() if key in logged and logged[key] != told]
    invented = [key for key, row in logged.items() if key not in acknowledged and sent_as(key, row) not in unanswered]
    return Findings(
        acknowledged=len(acknowledged),
        logged=len(log.rows),
        torn_lines=log.torn,
        lost=len(lost),
        different=len(different),
        duplicates=len(log.rows) - len(logged),
        invented=len(invented),
        unreadable_segments=log.unreadable,
        examples=tuple(
            f"{what}: {key}"
            for what, keys in (("lost", lost), ("different", different), ("invented", invented))
            for key in keys[:_FAULTS_SHOWN_MAX]
        ),
    )


def _labels(data: bytes) -> Iterator[tuple[str, str]]:
    for record in csv.DictReader(io.StringIO(data.decode(), newline="")):
        yield record["request_id"], record["label"]


def _rows(data: bytes, card: ModelCard) -> Iterator[tuple[str, Recorded]]:
    """The rows of a model whose features are all numbers: nothing in them is quoted or escaped."""
    for record in csv.DictReader(io.StringIO(data.decode(), newline="")):
        yield (
            record["request_id"],
            Recorded(
                tuple(float(record[name]) for name in card.feature_names),
                record[PREDICTION],
                float(record[CONFIDENCE]),
                tuple(float(record[name]) for name in probability_columns(card)),
            ),
        )
