"""The DataFrame form of a model's input: one way to build it, for registering and for serving.

A pipeline that selects columns by name needs a DataFrame. What a column's dtype and its missing values look
like changes what encoders and imputers answer, so the reference is scored through the same function that
serves later. pandas is imported on the first call: a gateway whose models take plain arrays never loads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry.card import Feature

if TYPE_CHECKING:
    import pandas as pd

#: Missing, in every column. scikit-learn's encoders tell None from NaN, and NaN is what `pandas.read_csv`
#: gave the model when it was fitted.
MISSING = math.nan

Values = Sequence[Any] | NDArray[Any]


def frame_of(features: Sequence[Feature], columns: Sequence[Values]) -> pd.DataFrame:
    """Build the model's input from one sequence of values per feature, each of the same length.

    Values are Python's (or arrays of them), None or NaN where missing. Dtypes depend on the features alone,
    never on the values: number float64; integer int64, or float64 when nullable; boolean bool, or object
    holding True, False and NaN when nullable; category object holding str and NaN.

    Raises:
        ValueError, TypeError: a value that its column's dtype cannot hold.
    """
    import pandas as pd

    index = pd.RangeIndex(len(columns[0]))
    data: dict[str, Any] = {}
    for feature, values in zip(features, columns, strict=True):
        array = _array_of(feature, values)
        # A bare object array of texts would become pandas 3's `str`. Plain arrays keep their dtype, and a Series
        # costs 20 us, most of a one-row frame.
        data[feature.name] = pd.Series(array, index, dtype=object, copy=False) if array.dtype == object else array
    return pd.DataFrame(data, index, copy=False)


def _dtype_of(feature: Feature) -> Any:
    match feature.type:
        case "number":
            return np.float64
        case "integer":
            return np.float64 if feature.nullable else np.int64
        case "boolean":
            return object if feature.nullable else np.bool_
        case "category":
            return object


def _array_of(feature: Feature, values: Values) -> NDArray[Any]:
    dtype = _dtype_of(feature)
    if dtype is not object:
        # numpy reads None as NaN here, and refuses NaN or None for int64 rather than making a number of it.
        return np.asarray(values, dtype=dtype)
    return _objects(MISSING if value is None else value for value in values)


def _objects(values: Iterable[Any]) -> NDArray[Any]:
    return np.fromiter(values, dtype=object)
