"""Where answers change: levels and ranges of features that hold more of it than the other rows, beyond chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from drift_engine.explaining.cells import cells_of
from drift_engine.replay.schema import Segment
from drift_engine.table import Table
from gateway.registry import Feature
from gateway.registry.columns import feature_column

#: So many segments are told at most, and so many of one feature.
SEGMENTS_MAX, OF_FEATURE_MAX = 12, 3
#: A segment with fewer rows is an anecdote.
_ROWS_MIN = 30
#: The chance that any segment is told although changes have nothing to do with any feature.
_ALPHA = 0.01


def segments_of(features: Sequence[Feature], table: Table, change: NDArray[np.float64]) -> tuple[Segment, ...]:
    """The segments with most change, strongest first.

    Args:
        change: shape (rows,): 1 for a changed prediction and 0 for another, or the absolute change of a number.
    """
    cells = {feature.name: cells_of(*[table.columns[feature_column(feature.name)]] * 2) for feature in features}
    tested = sum(found.size for found in cells.values() if found is not None)
    found: list[tuple[float, Segment]] = []
    for feature, divided in cells.items():
        if divided is not None:
            told = _of_feature(feature, divided.reference, divided.texts, change, tested)
            found += sorted(told, key=lambda item: -item[0])[:OF_FEATURE_MAX]
    found.sort(key=lambda item: (-item[0], item[1].feature, item[1].text))
    return tuple(segment for _, segment in found[:SEGMENTS_MAX])


def _of_feature(
    feature: str, places: NDArray[np.int64], texts: Sequence[str], change: NDArray[np.float64], tested: int
) -> list[tuple[float, Segment]]:
    """The told segments of one feature, each with its standard errors above the rest."""
    rows = np.bincount(places, minlength=len(texts))
    sums = np.bincount(places, weights=change, minlength=len(texts))
    total, whole = len(change), float(change.sum())
    # One variance for all: under "nothing to do with it" the rows of a segment scatter as all do.
    variance = float(change.var())
    bound = -float(ndtri(_ALPHA / max(1, tested)))
    found = []
    for place, text in enumerate(texts):
        inside, outside = int(rows[place]), total - int(rows[place])
        if inside < _ROWS_MIN or outside < _ROWS_MIN or variance == 0:
            continue
        here, elsewhere = float(sums[place]) / inside, (whole - float(sums[place])) / outside
        errors = (here - elsewhere) / np.sqrt(variance * (1 / inside + 1 / outside))
        if errors > bound:
            found.append((float(errors), Segment(feature, text, inside, here, elsewhere)))
    return found
