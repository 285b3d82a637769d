"""The frame a model is scored with depends on its features, not on the values of one request."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gateway.registry import Feature
from gateway.registry.frames import frame_of

FEATURES = (
    Feature("number", "number"),
    Feature("integer", "integer"),
    Feature("integer?", "integer", nullable=True),
    Feature("boolean", "boolean"),
    Feature("boolean?", "boolean", nullable=True),
    Feature("category", "category", nullable=True),
)


@pytest.mark.parametrize(
    "row",
    [
        (1.5, 2, 3, True, False, "x"),
        (1.5, 2, None, True, None, None),
        (math.nan, -(2**62), 3, False, True, ""),
        (None, 2, 3, True, True, 'Köln, "x"'),
    ],
)
def test_dtypes_are_the_features(row: tuple[object, ...]) -> None:
    """The same for every row, missing values or not, so that no encoder meets a surprise."""
    frame = frame_of(FEATURES, [[value] for value in row])
    assert list(frame.columns) == [feature.name for feature in FEATURES]
    expected = [np.float64, np.int64, np.float64, np.bool_, np.object_, np.object_]
    assert [dtype.type for dtype in frame.dtypes] == expected
    for value, stored in zip(row, frame.iloc[0].tolist(), strict=True):
        assert (stored != stored) if value is None or value != value else stored == value


def test_missing_is_nan_and_never_none() -> None:
    """scikit-learn's encoders tell the two apart, and read_csv gives NaN."""
    frame = frame_of(FEATURES, [[None], [1], [None], [True], [None], [None]])
    assert all(isinstance(frame.iloc[0, position], float) for position in (0, 2, 4, 5))


@pytest.mark.parametrize(("position", "value"), [(1, None), (1, "x"), (0, "x")])
def test_values_of_another_type_are_refused(position: int, value: object) -> None:
    """A whole number must be one: None would otherwise turn into a number of some kind."""
    columns: list[list[object]] = [[1.0], [1], [1], [True], [True], ["x"]]
    columns[position] = [value]
    with pytest.raises((TypeError, ValueError)):
        frame_of(FEATURES, columns)
