"""The prediction log of a version as a whole, bounded in rows, and its rows as inputs of a model.

What is scored here is built by the functions that registering and serving use, so a version answers a logged row as it
answered the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.live_log import LiveRows, Progress, read_live
from drift_engine.table import NumberColumn, Table, TextColumn
from gateway.clock import utc_text
from gateway.log import predictions
from gateway.log.manifest import UnreadableChain, read_chain
from gateway.registry import Feature, ModelCard
from gateway.registry.columns import (
    CONFIDENCE,
    LABEL,
    PREDICTION,
    class_text,
    feature_column,
    probability_columns,
)
from gateway.registry.frames import frame_of
from gateway.registry.inference import Answers, score
from gateway.registry.table import Column
from gateway.settings import Paths

#: Two answers are one when they differ by no more than this, relative where they are large. It is what a gateway allows
#: its check rows: libraries of another build, or a batch of another size, may round sums differently.
ALIKE = 1e-9
#: All of time, as the log writes it.
EVER = ("0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z")


@dataclass(frozen=True)
class Refused:
    """Rows that a version would not take, though another one did. `reasons`: rows by reason in words."""

    rows: NDArray[np.bool_]
    reasons: dict[str, int]


def read_log(
    paths: Paths,
    card: ModelCard,
    *,
    since: str = EVER[0],
    until: str = EVER[1],
    rows_max: int,
    progress: Progress = lambda *_: None,
) -> LiveRows:
    """The newest `rows_max` predictions of a version with since <= timestamp < until, with labels and `attached`.

    Sealed segments that only hold older rows are not read, so time and memory are bounded by `rows_max` and by what is
    not sealed yet.
    """
    start = max(since, start_of_newest(paths, card, until, rows_max))
    live = read_span(paths, card, start, until, progress)
    rows = live.table.rows
    return live if rows <= rows_max else take_rows(live, np.arange(rows - rows_max, rows))


def read_span(paths: Paths, card: ModelCard, since: str, until: str, progress: Progress = lambda *_: None) -> LiveRows:
    """The predictions of a version with since <= timestamp < until, with labels and `attached`."""
    return read_live(
        paths.live,
        card,
        cache=ColumnCache(paths.state / "columns"),
        span_start=since,
        window_start=since,
        end=until,
        attached=True,
        progress=progress,
    )


def start_of_newest(paths: Paths, card: ModelCard, until: str, rows_max: int) -> str:
    """A time before `until` from which on at least `rows_max` rows, or all, lie before it, as the manifests tell.

    `EVER[0]` where that is all of the log.
    """
    try:
        chain = read_chain(paths.live)
    except UnreadableChain:
        return EVER[0]
    # Answers of a shadow and counts of refusals lie in the same folder.
    home = f"{card.name}/{card.version}/{predictions.PREFIX}-"
    segments = [
        (sealed.last_timestamp, sealed.first_timestamp, sealed.rows)
        for sealed in chain.present.values()
        if sealed.path.startswith(home) and sealed.first_timestamp and sealed.last_timestamp
    ]
    held, start = 0, until
    for last, first, rows in sorted(segments, reverse=True):
        if last >= until:
            continue
        if held >= rows_max:
            return start
        held, start = held + rows, min(start, first)
    return EVER[0]


def take_rows(live: LiveRows, rows: NDArray[np.int64] | NDArray[np.bool_]) -> LiveRows:
    """Some of the rows, by positions or by a mask; `labels` and `quality` stay those of all."""
    places = np.arange(live.table.rows)[rows]
    return replace(
        live,
        table=live.table.take(places),
        times=live.times[places],
        in_window=live.in_window[places],
        attached=None if live.attached is None else live.attached.take(places),
    )


def registry_columns(features: Sequence[Feature], table: Table) -> tuple[Column, ...]:
    """The features of a table, typed as the registry types those of a file."""
    return tuple(_registry_column(feature, table) for feature in features)


def score_rows(model: object, card: ModelCard, columns: Sequence[Column]) -> Answers:
    """A registered version's answers, in the form that serves. Raises CannotScore, RegistryError."""
    return score(model, inputs_of(card.features, columns, as_array=card.input_form == "array"), card.classes)


def inputs_of(features: Sequence[Feature], columns: Sequence[Column], *, as_array: bool) -> object:
    """What an estimator is given: a float64 array of shape (rows, features), or the registry's DataFrame."""
    if as_array:
        return np.column_stack([np.asarray(column.inputs(), dtype=np.float64) for column in columns])
    return frame_of(features, [column.inputs() for column in columns])


def differing(card: ModelCard, table: Table, answers: Answers) -> NDArray[np.bool_]:
    """Which rows of a log `answers` say otherwise than what was logged, beyond the rounding of sums."""
    logged = answers_of(card, table)
    if logged.predictions.dtype.kind == "f":
        return np.asarray(~np.isclose(logged.predictions, answers.predictions, rtol=ALIKE, atol=ALIKE))
    found = logged.predictions != answers.predictions
    if logged.probabilities is not None and answers.probabilities is not None:
        found |= ~(np.abs(logged.probabilities - answers.probabilities) <= ALIKE).all(axis=1)
    return np.asarray(found, dtype=np.bool_)


def answers_of(card: ModelCard, table: Table) -> Answers:
    """The answers that a log holds, as a model gives them."""
    prediction = table.columns[PREDICTION]
    if isinstance(prediction, NumberColumn):
        return Answers(prediction.values, None, None, False)
    names = probability_columns(card)
    if not names:
        return Answers(prediction.texts(), None, None, False)
    probabilities = np.column_stack([_numbers(table, name) for name in names])
    return Answers(prediction.texts(), probabilities, _numbers(table, CONFIDENCE), card.prediction_is_argmax)


def labels_known(table: Table) -> NDArray[np.bool_]:
    """Which rows have a label, whatever it says."""
    label = table.columns[LABEL]
    return ~np.isnan(label.values) if isinstance(label, NumberColumn) else label.codes >= 0


def labels_usable(card: ModelCard, table: Table) -> NDArray[np.bool_]:
    """Which rows have a label that is one of the model's classes, or a finite number."""
    label = table.columns[LABEL]
    if isinstance(label, NumberColumn):
        return np.isfinite(label.values)
    classes = {class_text(item) for item in card.classes}
    # The last entry is what the code -1, no label, finds.
    return np.array([*(level in classes for level in label.levels), False], dtype=np.bool_)[label.codes]


def labels_of(table: Table) -> NDArray[Any]:
    """The labels, as texts or numbers."""
    label = table.columns[LABEL]
    return label.values if isinstance(label, NumberColumn) else label.texts()


def moment_text(microseconds: int) -> str:
    """Microseconds since the epoch as the log writes them.

    >>> moment_text(1_795_186_800_123_456)
    '2026-11-20T15:00:00.123456Z'
    """
    return utc_text(int(microseconds) / 1e6)


def refused_by(card: ModelCard, table: Table) -> Refused:
    """Which rows the version would refuse as requests."""
    rows, reasons = np.zeros(table.rows, dtype=np.bool_), {}
    for feature in card.features:
        for reason, mask in _refusals(feature, table):
            if mask.any():
                reasons[f"{feature.name}: {reason}"] = int(mask.sum())
                rows |= mask
    return Refused(rows, reasons)


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    column = table.columns[name]
    assert isinstance(column, NumberColumn)
    return column.values


def _registry_column(feature: Feature, table: Table) -> Column:
    column = table.columns[feature_column(feature.name)]
    if isinstance(column, NumberColumn):
        missing = np.isnan(column.values)
        values = column.values
        if feature.type == "integer":
            values = np.where(missing, 0, values).astype(np.int64)
        return Column(feature.name, feature.type, values, missing, f"{feature.type}s")
    assert isinstance(column, TextColumn)
    missing = column.codes < 0
    texts = column.texts()
    if feature.type == "boolean":
        return Column(feature.name, "boolean", np.asarray(texts == "true", dtype=np.bool_), missing, "booleans")
    return Column(feature.name, "category", texts, missing, "texts")


def _refusals(feature: Feature, table: Table) -> list[tuple[str, NDArray[np.bool_]]]:
    column = table.columns[feature_column(feature.name)]
    if isinstance(column, TextColumn):
        missing = column.codes < 0
        known = set(feature.categories) if feature.categories is not None else set(column.levels)
        # The last entry is what the code -1, no value, finds.
        strange = np.array([*(level not in known for level in column.levels), False], dtype=np.bool_)[column.codes]
    else:
        missing = np.isnan(column.values)
        low = -np.inf if feature.minimum is None else feature.minimum
        high = np.inf if feature.maximum is None else feature.maximum
        strange = (column.values < low) | (column.values > high)
    found = [] if feature.nullable else [("a missing value", missing)]
    return found if feature.accepts_unseen else [*found, ("a value it does not know", strange)]
