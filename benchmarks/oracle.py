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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.log import predictions
from gateway.log.reader import scan
from gateway.log.segment import UnreadableSegment
from gateway.registry import ModelCard
from gateway.registry.columns import CONFIDENCE, PREDICTION, probability_columns

_BACK_OFF_SECONDS = 0.02
_FAULTS_SHOWN_MAX = 5

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
    """

    port: int
    card: ModelCard
    seed: int
    stop: threading.Event
    acknowledged: dict[str, Recorded] = field(default_factory=dict)
    unanswered: list[Features] = field(default_factory=list)
    refused: int = 0

    def run(self) -> None:
        """Ask until told to stop; a connection that breaks means "not answered"."""
        rng = random.Random(self.seed)
        names = self.card.feature_names
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.stop.is_set():
            row = tuple(rng.gauss(0, 1) for _ in names)
            body = json.dumps(dict(zip(names, row, strict=True)))
            try:
                connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                self.unanswered.append(row)
                connection.close()
                time.sleep(_BACK_OFF_SECONDS)
                continue
            if response.status == 200:
                self._remember(row, answer)
            else:
                self.unanswered.append(row)
                self.refused += 1
        connection.close()

    def _remember(self, row: Features, answer: bytes) -> None:
        told = json.loads(answer)
        self.acknowledged[told["request_id"]] = Recorded(
            row, str(told["prediction"]), told["confidence"], tuple(told["probabilities"].values())
        )


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
    """How the log compares with what clients were told. All but the first four must be 0.

    Attributes:
        acknowledged: rows that were answered with 2xx.
        unanswered: rows that were sent and not answered.
        logged: intact rows in the log.
        torn_lines: lines that are damaged; they were never acknowledged unless `lost` says so.
        lost: acknowledged rows that the log does not have.
        different: acknowledged rows that it has with other content.
        duplicates: rows whose request the log has already.
        invented: logged rows that nobody sent, or that were sent and answered under another id.
        unreadable_segments: files that are no segment.
    """

    acknowledged: int = 0
    unanswered: int = 0
    logged: int = 0
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
    """Compare what the clients were told with the prediction log under `live`."""
    rows: list[tuple[str, Recorded]] = []
    torn = unreadable = 0
    for path in predictions.segments(live, card.name, card.version):
        try:
            found = scan(path, predictions.columns(card))
        except UnreadableSegment:
            unreadable += 1
            continue
        torn += len(found.damage)
        rows += _rows(found.data, card)
    logged = dict(rows)
    acknowledged = {key: told for client in clients for key, told in client.acknowledged.items()}
    unanswered = {row for client in clients for row in client.unanswered}
    lost = [key for key in acknowledged if key not in logged]
    different = [key for key, told in acknowledged.items() if key in logged and logged[key] != told]
    invented = [key for key, row in logged.items() if key not in acknowledged and row.features not in unanswered]
    return Findings(
        acknowledged=len(acknowledged),
        unanswered=sum(len(client.unanswered) for client in clients),
        logged=len(rows),
        torn_lines=torn,
        lost=len(lost),
        different=len(different),
        duplicates=len(rows) - len(logged),
        invented=len(invented),
        unreadable_segments=unreadable,
        examples=tuple(
            f"{what}: {key}"
            for what, keys in (("lost", lost), ("different", different), ("invented", invented))
            for key in keys[:_FAULTS_SHOWN_MAX]
        ),
    )


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
