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

from gateway.registry.card import Feature

if TYPE_CHECKING:
    import pandas as pd

#: Missing, in every column. scikit-learn's encoders tell None from NaN, and NaN is what `pandas.read_csv`
#: gave the model when it was fitted.
MISSING = math.nan


def frame_of(features: Sequence[Feature], columns: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Build the model's input from one sequence of values per feature, each of the same length.

    Values are Python's (or arrays of them), None or NaN where missing. Dtypes depend on the features alone,
    never on the values: number float64; integer int64, or float64 when nullable; boolean bool, or object
    holding True, False and NaN when nullable; category object holding str and NaN.

    Raises:
        ValueError, TypeError: a value that its column's dtype cannot hold.
    """
    import pandas as pd

    series = {
        feature.name: pd.Series(_array_of(feature, values), copy=False, dtype=_dtype_of(feature))
        for feature, values in zip(features, columns, strict=True)
    }
    return pd.DataFrame(series, copy=False)


def _dtype_of(feature: Feature) -> Any:
    """The dtype of a column; always named, because pandas 3 would turn an object array of texts into `str`."""
    match feature.type:
        case "number":
            return np.float64
        case "integer":
            return np.float64 if feature.nullable else np.int64
        case "boolean":
            return object if feature.nullable else np.bool_
        case "category":
            return object


def _array_of(feature: Feature, values: Sequence[Any]) -> np.ndarray[Any, Any]:
    dtype = _dtype_of(feature)
    if dtype is not object:
        # numpy reads None as NaN here, and refuses NaN or None for int64 rather than making a number of it.
        return np.asarray(values, dtype=dtype)
    return _objects(MISSING if value is None else value for value in values)


def _objects(values: Iterable[Any]) -> np.ndarray[Any, Any]:
    return np.fromiter(values, dtype=object)
