"""Labelled rows as a pipeline takes them, and the split in time: the newest are judged, older ones may be fitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.logged import labels_of, registry_columns
from drift_engine.retraining.errors import TooFewRows
from gateway.registry import Feature, ModelCard
from gateway.registry.columns import class_text
from gateway.registry.frames import frame_of
from gateway.registry.table import Column


@dataclass(frozen=True)
class LabelledRows:
    """Rows with their true values.

    Attributes:
        columns: one per feature, in the model's order.
        truth: shape (rows,), classes as text (object) or float64.
    """

    columns: tuple[Column, ...]
    truth: NDArray[Any]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.truth)

    def take(self, places: NDArray[Any]) -> LabelledRows:
        """The rows at these positions, or under this mask."""
        columns = tuple(
            replace(column, values=column.values[places], missing=column.missing[places]) for column in self.columns
        )
        return LabelledRows(columns, self.truth[places])

    def classes(self, card: ModelCard) -> dict[str, int]:
        """Rows by true class, in the card's order; empty for regression."""
        counts = Counter(self.truth.tolist()) if card.task != "regression" else Counter()
        return {class_text(label): counts[class_text(label)] for label in card.classes}


@dataclass(frozen=True)
class Limits:
    """What retraining asks of the rows.

    Attributes:
        rows_min: labelled rows of the log.
        class_rows_min: rows of each class in the part that is fitted.
        judged_share: part of the labelled rows that stays unfitted, the newest ones.
        rows_max: labelled rows that are used of each log, and rows that are fitted, at most; the newest.
    """

    rows_min: int = 500
    class_rows_min: int = 50
    judged_share: float = 0.3
    rows_max: int = 1_000_000


@dataclass(frozen=True)
class Order:
    """What was asked for.

    Attributes:
        card: the champion.
        train: the original training table, if it is to be fitted on, too.
        deciding: the figure that decides; None for the first of `paired.compare.deciding_figures`.
    """

    card: ModelCard
    train: Path | None
    deciding: str | None
    limits: Limits
    seed: int


def split_in_time(live: LiveRows, limits: Limits) -> int:
    """The position of the first judged row. Rows of one moment, as those of a batch are, stay on one side.

    Raises TooFewRows.
    """
    rows = live.table.rows
    if rows < limits.rows_min:
        raise TooFewRows(f"{rows:,} labelled rows in the log, {limits.rows_min:,} are needed")
    cut = rows - int(np.ceil(limits.judged_share * rows))
    cut = int(np.searchsorted(live.times, live.times[min(cut, rows - 1)], side="left"))
    if cut == 0:
        raise TooFewRows("the labelled rows were all predicted in one moment, so they cannot be split in time")
    return cut


def labelled_rows(card: ModelCard, live: LiveRows) -> LabelledRows:
    """Rows that all have a label, as the pipeline takes them."""
    return LabelledRows(registry_columns(card.features, live.table), labels_of(live.table))


def together(parts: Sequence[LabelledRows]) -> LabelledRows:
    """Rows of several sources, in their order."""
    columns = tuple(
        replace(
            pieces[0],
            values=np.concatenate([piece.values for piece in pieces]),
            missing=np.concatenate([piece.missing for piece in pieces]),
        )
        for pieces in zip(*(part.columns for part in parts), strict=True)
    )
    return LabelledRows(columns, np.concatenate([part.truth for part in parts]))


def refuse_few_of_a_class(card: ModelCard, fitted: LabelledRows, judged: LabelledRows, limits: Limits) -> None:
    """Raise TooFewRows unless every class is there to be learned, and two are there to be judged."""
    if card.task == "regression":
        return
    counts = fitted.classes(card)
    lacking = [f"{count:,} of class {label!r}" for label, count in counts.items() if count < limits.class_rows_min]
    if lacking:
        raise TooFewRows(
            f"the rows to fit hold {', '.join(lacking)}; {limits.class_rows_min:,} of each class are needed"
        )
    present = [label for label, count in judged.classes(card).items() if count]
    if len(present) < 2:
        raise TooFewRows(f"the newest rows, which judge, hold one class only ({present[0]})")


def widened(features: Sequence[Feature], parts: Sequence[LabelledRows]) -> tuple[Feature, ...]:
    """The features with everything that these rows show beside what was known: levels, missing values, ranges.

    A successor must not refuse requests that its predecessor takes because a rare level is not among its newest rows.
    """
    return tuple(_widened(feature, [part.columns[place] for part in parts]) for place, feature in enumerate(features))


def equal_rows(features: Sequence[Feature], these: LabelledRows, those: LabelledRows) -> int:
    """How many of `these` are, with features and true value, among `those`."""
    return int(np.isin(_hashes(features, these), _hashes(features, those)).sum())


def _widened(feature: Feature, columns: Sequence[Column]) -> Feature:
    present = np.concatenate([column.values[~column.missing] for column in columns])
    feature = replace(feature, nullable=feature.nullable or any(column.nullable for column in columns))
    if feature.type == "category":
        return replace(feature, categories=tuple(dict.fromkeys([*(feature.categories or ()), *present.tolist()])))
    if feature.type == "boolean" or len(present) == 0:
        return feature
    low, high = float(present.min()), float(present.max())
    return replace(
        feature,
        minimum=low if feature.minimum is None else min(low, feature.minimum),
        maximum=high if feature.maximum is None else max(high, feature.maximum),
    )


def _hashes(features: Sequence[Feature], rows: LabelledRows) -> NDArray[np.uint64]:
    frame = frame_of(features, [column.inputs() for column in rows.columns])
    # No feature can be called this: names are printable.
    frame["\0"] = rows.truth
    return np.asarray(pd.util.hash_pandas_object(frame, index=False).to_numpy(), dtype=np.uint64)
