"""Replay rows as timed traffic through the running gateway, with their labels some time later."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from demo.client import Address, Answer, GatewayClient, NoAnswer
from gateway.registry import ModelCard
from gateway.registry.columns import class_text


@dataclass(frozen=True)
class TrafficRow:
    """One transaction: the features as JSON values, and its true label where it is known."""

    features: Mapping[str, Any]
    label: Any = None


@dataclass(frozen=True)
class Traffic:
    """How rows are sent.

    Attributes:
        model_name: the model that is asked.
        rows_per_second: 0 is as fast as the gateway answers.
        label_delay_seconds: between a row's answer and its label.
        threads: requests under way at once.
        patience_seconds: how long one row is tried again while the gateway is away.
        client_prefix: rows carry `<prefix>-<number>` as X-Request-ID.
    """

    model_name: str
    rows_per_second: float = 0.0
    label_delay_seconds: float = 5.0
    threads: int = 4
    patience_seconds: float = 60.0
    client_prefix: str = "demo"


@dataclass
class Tally:
    """What became of the rows: `sent` = `answered` + refused + unanswered + those under way."""

    total: int = 0
    sent: int = 0
    answered: int = 0
    retries: int = 0
    labels_sent: int = 0
    labels_total: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    labels_refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _DueLabel:
    """A label to be sent when the monotonic clock reaches `due`."""

    due: float
    request_id: str
    label: Any


def replay(
    address: Address,
    rows: Sequence[TrafficRow],
    traffic: Traffic,
    *,
    on_progress: Callable[[Tally], None] = lambda tally: None,
    stop: threading.Event | None = None,
) -> Tally:
    """Send every row, then every label, and say what became of them.

    Args:
        rows: in the order of sending.
        on_progress: called about five times a second, and at the end, from the calling thread.
        stop: once set, nothing more is sent; what is under way is finished.
    """
    run = _Run(address, rows, traffic, stop or threading.Event())
    senders = [threading.Thread(target=run.send_rows, daemon=True) for _ in range(traffic.threads)]
    labeller = threading.Thread(target=run.send_labels, daemon=True)
    for thread in (*senders, labeller):
        thread.start()
    try:
        for thread in senders:
            _join(thread, lambda: on_progress(run.tally))
        run.no_more_labels()
        _join(labeller, lambda: on_progress(run.tally))
    except BaseException:
        # An impatient Ctrl-C must not leave senders behind a caller who believes that all is over.
        run.stop.set()
        raise
    on_progress(run.tally)
    return run.tally


def traffic_rows(card: ModelCard, table: pd.DataFrame) -> list[TrafficRow]:
    """Turn a table that holds the model's features and target into rows; missing values become None."""
    columns = [_json_values(table[feature.name], feature.type) for feature in card.features]
    classes = {class_text(label): label for label in card.classes}
    labels = _json_values(table[card.target], "number" if card.task == "regression" else "label")
    if card.task != "regression":
        labels = [classes.get(_as_text(label), label) if label is not None else None for label in labels]
    names = card.feature_names
    return [
        TrafficRow(dict(zip(names, values, strict=True)), label)
        for *values, label in zip(*columns, labels, strict=True)
    ]


def reason_of(answer: Answer) -> str:
    """Why a request was refused, in the words of its problem document; without the row's number or values."""
    errors = answer.body.get("errors") or []
    if errors:
        first = errors[0]
        return f"{answer.status} {first.get('pointer', '')}: {first.get('detail', '')}"[:160]
    return f"{answer.status} {answer.body.get('detail', 'no reason given')}"[:160]


class _Run:
    """What the threads of one replay share."""

    def __init__(self, address: Address, rows: Sequence[TrafficRow], traffic: Traffic, stop: threading.Event) -> None:
        self.stop = stop
        self.tally = Tally(total=len(rows))
        self._address = address
        self._traffic = traffic
        self._mutex = threading.Lock()
        self._numbered: Iterator[tuple[int, TrafficRow]] = iter(enumerate(rows))
        self._started = time.monotonic()
        self._labels: queue.SimpleQueue[_DueLabel | None] = queue.SimpleQueue()

    def send_rows(self) -> None:
        """Take rows one at a time, each no sooner than the rate allows, until none is left."""
        client = self._client()
        while not self.stop.is_set():
            with self._mutex:
                number, row = next(self._numbered, (-1, None))
            if row is None or not self._wait_for_turn(number):
                break
            self._send_row(client, number, row)
        client.close()

    def send_labels(self) -> None:
        """Send labels as they fall due. They were queued in the order of their answers, so nearly sorted."""
        client = self._client()
        while (entry := self._labels.get()) is not None:
            if self.stop.wait(max(0.0, entry.due - time.monotonic())):
                break
            self._send_label(client, entry)
        client.close()

    def no_more_labels(self) -> None:
        """Every row is settled: the labeller may end when its queue is empty."""
        self._labels.put(None)

    def _client(self) -> GatewayClient:
        return GatewayClient(self._address, patience_seconds=self._traffic.patience_seconds, stop=self.stop)

    def _wait_for_turn(self, number: int) -> bool:
        if self._traffic.rows_per_second <= 0:
            return True
        due = self._started + number / self._traffic.rows_per_second
        return not self.stop.wait(max(0.0, due - time.monotonic()))

    def _send_row(self, client: GatewayClient, number: int, row: TrafficRow) -> None:
        traffic, tally = self._traffic, self.tally
        with self._mutex:
            tally.sent += 1
        try:
            answer = client.post(
                f"/models/{traffic.model_name}/predict", row.features, f"{traffic.client_prefix}-{number}"
            )
        except NoAnswer as error:
            with self._mutex:
                tally.unanswered[str(error)] += 1
            return
        with self._mutex:
            tally.retries += answer.retries
            if answer.status != 200:
                tally.refused[reason_of(answer)] += 1
                return
            tally.answered += 1
            if row.label is None:
                return
            tally.labels_total += 1
        due = time.monotonic() + traffic.label_delay_seconds
        self._labels.put(_DueLabel(due, answer.body["request_id"], row.label))

    def _send_label(self, client: GatewayClient, entry: _DueLabel) -> None:
        document = {"model_name": self._traffic.model_name, "request_id": entry.request_id, "label": entry.label}
        try:
            answer = client.post("/feedback", document)
            reason = None if 200 <= answer.status < 300 else reason_of(answer)
        except NoAnswer as error:
            reason = f"unanswered: {error}"
        with self._mutex:
            if reason is None:
                self.tally.labels_sent += 1
            else:
                self.tally.labels_refused[reason] += 1


def _join(thread: threading.Thread, meanwhile: Callable[[], None]) -> None:
    while thread.is_alive():
        thread.join(timeout=0.2)
        meanwhile()


def _json_values(column: pd.Series, kind: str) -> list[Any]:
    """Plain Python values, None where missing. Integers that missing values turned into floats are integers again."""
    missing = column.isna().to_numpy()
    values = column.astype(object).tolist()
    convert: Callable[[Any], Any] = {"integer": int, "number": float, "boolean": bool, "category": str}.get(
        kind, _plain
    )
    return [None if gone else convert(value) for value, gone in zip(values, missing, strict=True)]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _as_text(label: Any) -> str:
    """A label as `class_text` writes the class it equals: 1.0 is the class 1."""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return class_text(label)
