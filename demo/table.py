"""A real data file for the demo: read as it is, its columns judged, its rows parted in time order."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from demo.errors import DemoError

#: A text column with more levels than this is an identifier, not a category.
LEVELS_MAX = 1000
#: A numeric label with more distinct values than this, or with fractions, is a quantity and not a class.
CLASSES_MAX = 20
_SEPARATORS = ",;\t|"
_DATE = r"\d{4}-\d{2}-\d{2}"


@dataclass(frozen=True)
class Shares:
    """How the rows are parted: the `first` share is parted at random into fit, reference and traffic alike."""

    first: float = 0.4
    fit: float = 0.6
    reference: float = 0.25


@dataclass(frozen=True)
class Parts:
    """Four parts of one table, none overlapping.

    Attributes:
        fit: the model learns from these; in time order.
        reference: the model is judged and compared on these; a random sample like `fit`, in time order.
        alike: traffic in which nothing has changed; a random sample like `fit`, in random order, so that any
            stretch of it looks like the whole.
        later: traffic in which things may have changed; in time order where time is known.
    """

    fit: pd.DataFrame
    reference: pd.DataFrame
    alike: pd.DataFrame
    later: pd.DataFrame


@dataclass(frozen=True)
class Usable:
    """A table fit for a model: its feature columns, and those left out, each with its reason."""

    table: pd.DataFrame
    features: tuple[str, ...]
    left_out: dict[str, str]


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file (also .gz; its separator is found out) or a Parquet file. Missing is what pandas takes for it.

    Raises:
        DemoError: no such file, or not a table.
    """
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep=_separator(path), float_precision="round_trip", low_memory=False)
    except FileNotFoundError:
        raise DemoError(f"{path}: there is no such file") from None
    except (OSError, ValueError, UnicodeError) as error:
        raise DemoError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from None


def usable(table: pd.DataFrame, label: str, exclude: Sequence[str]) -> Usable:
    """Judge the columns: which can be features, and why not the others.

    Raises:
        DemoError: no such label or excluded column, a label that cannot be learned, or no feature left.
    """
    table = table.rename(columns=str)
    for column in (label, *exclude):
        if column not in table.columns:
            raise DemoError(f"there is no column {column!r}; there are {', '.join(table.columns)}")
    if label in exclude:
        raise DemoError(f"the label {label!r} cannot be left out")
    table = _with_one_missing(table)
    table[label] = _label_values(table[label])
    left_out: dict[str, str] = dict.fromkeys(exclude, "as asked")
    for column in table.columns.difference([label, *exclude], sort=False):
        reason = _unusable(table[column])
        if reason:
            left_out[column] = reason
    features = tuple(column for column in table.columns if column != label and column not in left_out)
    if not features:
        raise DemoError("no column is left to learn from")
    return Usable(table[[*features, label]], features, left_out)


def is_quantity(label: pd.Series) -> bool:
    """Whether a label is predicted by regression: a number with fractions or with many distinct values."""
    if pd.api.types.is_bool_dtype(label) or not pd.api.types.is_numeric_dtype(label):
        return False
    values = label.dropna()
    return bool(values.nunique() > CLASSES_MAX or (values % 1 != 0).any())


def split(table: pd.DataFrame, shares: Shares, seed: int) -> Parts:
    """Part a table whose rows are in time order; see `Parts`. Raises DemoError when it is too short."""
    first = round(len(table) * shares.first)
    order = np.random.default_rng(seed).permutation(first)
    fit_end = round(first * shares.fit)
    reference_end = fit_end + round(first * shares.reference)
    parts = Parts(
        fit=table.iloc[np.sort(order[:fit_end])],
        reference=table.iloc[np.sort(order[fit_end:reference_end])],
        alike=table.iloc[order[reference_end:]],
        later=table.iloc[first:],
    )
    shortest = min(len(parts.fit), len(parts.reference), len(parts.alike), len(parts.later))
    if shortest < 100:
        raise DemoError(f"{len(table)} rows are too few: the smallest part has {shortest} and needs 100")
    return parts


def thinned(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """At most `rows` rows, evenly spaced, in their order; 0 keeps all of them."""
    if rows == 0 or len(table) <= rows:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, rows).round().astype(int)]


def _with_one_missing(table: pd.DataFrame) -> pd.DataFrame:
    """NaN wherever a column of objects holds None: to encoders the two are different values, and serving gives NaN."""
    table = table.copy()
    for column in filter(lambda name: pd.api.types.is_object_dtype(table[name]), table.columns):
        table[column] = table[column].where(table[column].notna(), np.nan)
    return table


def _separator(path: Path) -> str:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as stream:
        sample = "".join(stream.readline() for _ in range(20))
    if not sample.strip():
        raise DemoError(f"{path}: is empty")
    try:
        return csv.Sniffer().sniff(sample, _SEPARATORS).delimiter
    except csv.Error:
        # The sniffer gives up on some regular files; the header's commonest separator is right for those.
        header = sample.partition("\n")[0]
        return max(_SEPARATORS, key=header.count)


def _label_values(label: pd.Series) -> pd.Series:
    """The label with classes in their own type: whole numbers that missing values turned into floats become
    integers again, where `Int64` holds the missing ones."""
    if label.nunique() < 2:
        raise DemoError(f"the label {label.name!r} has fewer than two different values")
    whole = pd.api.types.is_float_dtype(label) and not is_quantity(label)
    return label.astype("Int64") if whole else label


def _unusable(column: pd.Series) -> str | None:
    if column.isna().all():
        return "it has no values"
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        return "it is a time"
    if pd.api.types.is_numeric_dtype(column):
        return None
    if column.nunique() > LEVELS_MAX:
        return f"it is text with {column.nunique():,} different values"
    if column.dropna().astype(str).str.match(_DATE).all():
        return "it is a date"
    return None
