"""`changes.csv`: the rows whose answers changed most, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.logged import labels_of, moment_text, registry_columns
from drift_engine.results.spreadsheets import Value, csv_document
from gateway.registry import ModelCard
from gateway.registry.columns import class_text
from gateway.registry.inference import Answers

LARGEST_MAX = 1000


def largest_rows(change: NDArray[np.float64], changed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions of at most `LARGEST_MAX` rows that changed: other predictions first, then by size, then age."""
    order = np.lexsort((np.arange(len(change)), -np.abs(change), ~changed))[:LARGEST_MAX]
    return np.asarray(order[changed[order] | (change[order] != 0)])


def changes_document(
    card: ModelCard,
    live: LiveRows,
    logged: Answers,
    now: Answers,
    change: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> bytes:
    """The CSV. `live`: the rows at the positions `rows`, to which the answers and the change are taken."""
    shares = [class_text(label) for label in card.classes] if logged.probabilities is not None else []
    header = [
        *("timestamp", "request_id", "instance", "client_id", "label", "logged_prediction", "replayed_prediction"),
        "change",
        *(f"logged_probability_{text}" for text in shares),
        *(f"replayed_probability_{text}" for text in shares),
        *(f"feature.{name}" for name in card.feature_names),
    ]
    return csv_document(header, _rows(card, live, logged, now, change, rows))


def _rows(
    card: ModelCard,
    live: LiveRows,
    logged: Answers,
    now: Answers,
    change: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> Iterator[list[Value]]:
    assert live.attached is not None  # `read_log` asks for it
    keys, labels = live.attached.keys.to_pylist(), labels_of(live.table).tolist()
    columns = [column.inputs().tolist() for column in registry_columns(card.features, live.table)]
    for place, row in enumerate(rows.tolist()):
        key = keys[place]
        yield [
            moment_text(live.times[place]),
            key["request_id"],
            int(key["instance"]),
            key["client_id"],
            labels[place],
            *_plain(logged.predictions[row], now.predictions[row]),
            float(change[row]),
            *_shares(logged, row),
            *_shares(now, row),
            *(column[place] for column in columns),
        ]


def _plain(*values: object) -> Iterator[Value]:
    """Classes as texts, numbers as Python's."""
    for value in values:
        yield value if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def _shares(answers: Answers, row: int) -> list[Value]:
    return [] if answers.probabilities is None else [float(value) for value in answers.probabilities[row]]
