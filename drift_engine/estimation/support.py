"""Which rows the reference says nothing about: inputs outside of what it shows, scores that it hardly has.

An estimate carries what the reference knows over to a window. Of a row beyond it nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift_engine.estimation.answers import positive_code, probabilities_of
from drift_engine.table import Column, Floats, NumberColumn, Table
from gateway.registry import ModelCard
from gateway.registry.columns import PREDICTION, feature_columns

#: More rows than this part, beyond those that chance alone puts there, and the estimate is not to be trusted.
OUTSIDE_MAX = 0.10
#: A score is counted in so many equal bins from 0 to 1; with fewer labelled rows than this a bin is hardly known.
_SCORE_BINS = 20
_SCORE_ROWS_MIN = 20

Mask = NDArray[np.bool_]
#: Which rows of a column lie outside.
_Outside = Callable[[Column], Mask]


@dataclass(frozen=True)
class Coverage:
    """How much of a window lies outside.

    Attributes:
        share: of the rows.
        usual: the share of the reference's own rows that would, if each were left out of it: what chance does.
        most: the column that puts most of them there, or "the score"; "" where none does.
    """

    share: float
    usual: float
    most: str

    @property
    def suffices(self) -> bool:
        """Whether the reference shows enough of the rows."""
        return self.share - self.usual <= OUTSIDE_MAX


class Support:
    """What the labelled rows of a reference show.

    Args:
        reference: labelled rows only.
    """

    def __init__(self, card: ModelCard, reference: Table) -> None:
        self._card = card
        names = (*feature_columns(card), *((PREDICTION,) if card.task == "regression" else ()))
        known = {name: reference.columns[name] for name in names if name in reference.columns}
        self._outside = {name: _outside_of(column) for name, column in known.items()}
        self._known_scores: NDArray[np.bool_] | None = None
        alone = np.zeros(reference.rows, dtype=bool)
        for column in known.values():
            alone |= _alone(column)
        if card.has_probabilities:
            bins = _bins(card, reference)
            self._known_scores = np.bincount(bins, minlength=_SCORE_BINS) >= _SCORE_ROWS_MIN
            alone |= ~self._known_scores[bins]
        self._usual = float(alone.mean()) if reference.rows else 0.0

    def coverage(self, table: Table) -> Coverage:
        """How much of `table`, which has rows, lies outside."""
        found = {name: outside(table.columns[name]) for name, outside in self._outside.items() if name in table.columns}
        if self._known_scores is not None:
            found["the score"] = ~self._known_scores[_bins(self._card, table)]
        anywhere = np.zeros(table.rows, dtype=bool)
        for outside in found.values():
            anywhere |= outside
        counts = {name: int(outside.sum()) for name, outside in found.items()}
        most = max(counts, key=lambda name: counts[name], default="")
        return Coverage(float(anywhere.mean()), self._usual, most if counts.get(most) else "")


def _outside_of(column: Column) -> _Outside:
    """A test for values that the column does not show: beyond its range, of no level of it, missing where none is."""
    if isinstance(column, NumberColumn):
        present = column.present()
        low, high = (float(present.min()), float(present.max())) if len(present) else (np.inf, -np.inf)
        some_missing = len(present) < len(column.values)

        def beyond(other: Column) -> Mask:
            assert isinstance(other, NumberColumn)
            found = (other.values < low) | (other.values > high)
            return found if some_missing else found | np.isnan(other.values)

        return beyond
    levels = {column.levels[code] for code in np.unique(column.codes[column.codes >= 0])}
    some_missing = bool((column.codes < 0).any())

    def unseen(other: Column) -> Mask:
        assert not isinstance(other, NumberColumn)
        # The last one is for what is missing, whose code is -1.
        known = np.array([*(level in levels for level in other.levels), some_missing])
        return np.asarray(~known[other.codes])

    return unseen


def _alone(column: Column) -> Mask:
    """Rows that would lie outside if they were left out: the only one at an end of the range, or of a level."""
    if isinstance(column, NumberColumn):
        present = column.present()
        found = np.isnan(column.values)
        found &= np.count_nonzero(found) == 1
        for end in (present.min(), present.max()) if len(present) else ():
            at_end = column.values == end
            if np.count_nonzero(at_end) == 1:
                found |= at_end
        return found
    return np.asarray(np.bincount(column.codes + 1, minlength=len(column.levels) + 1)[column.codes + 1] == 1)


def _bins(card: ModelCard, table: Table) -> NDArray[np.int64]:
    """The bin of each row's score: the positive class's probability, else the largest one."""
    probabilities = probabilities_of(card, table)
    positive = positive_code(card)
    scores: Floats = probabilities.max(axis=1) if positive is None else probabilities[:, positive]
    scores = np.nan_to_num(scores, nan=0.0)
    return np.clip((scores * _SCORE_BINS).astype(np.int64), 0, _SCORE_BINS - 1)
