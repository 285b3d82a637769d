"""Reading the table a model was evaluated on, CSV or Parquet, into typed columns.

pandas is used here and by `frames` alone; registering is the only command that reads tables.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gateway.registry.card import FeatureType, RegistryError

SEPARATORS = (",", ";", "\t")
#: What `pandas.read_csv` takes for a missing value, beside the empty field.
MISSING_WORDS = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)
_PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"
#: Enough to hold the first line.
_SAMPLE_CHARACTERS = 1 << 20
_INT64_MAX = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        type: what a feature of these values is; None for what a model cannot take, such as times.
        values: shape (rows,): float64, int64, bool or object (of str); whatever where missing.
        missing: shape (rows,), True where the table holds no value.
        kind: the column's type in words, for messages.
    """

    name: str
    type: FeatureType | None
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    kind: str

    @property
    def nullable(self) -> bool:
        """Whether any value is missing."""
        return bool(self.missing.any())

    def inputs(self) -> NDArray[Any]:
        """The values as `frames.frame_of` takes them: None or NaN where missing."""
        if not self.nullable:
            return self.values
        if self.type in ("number", "integer"):
            return _masked(self.values.astype(np.float64), self.missing, np.nan)
        return _masked(self.values.astype(object), self.missing, None)


@dataclass(frozen=True)
class Table:
    """Columns by name, in the file's order, each with `rows` values."""

    columns: dict[str, Column]
    rows: int


def read_table(path: Path, texts: Mapping[str, Set[str]] | None = None, *, as_texts: Collection[str] = ()) -> Table:
    """Read a CSV (separated by comma, semicolon or tab; plain or gzip) or a Parquet file, told by its content.

    Missing values are what `pandas.read_csv` takes for them (empty, NaN, null, NA, ...): models were fitted on
    tables read that way. A column of whole numbers with missing ones stays whole.

    Args:
        texts: by column, those of `MISSING_WORDS` that are texts there.
        as_texts: columns of a CSV whose fields stay the texts that they are, however much they look like numbers.

    Raises:
        RegistryError: not such a file, or not a table with a name per column.
    """
    try:
        frame = _read_parquet(path) if _is_parquet(path) else _read_csv(path, texts or {}, as_texts)
    except FileNotFoundError:
        raise RegistryError(f"{path}: no such file") from None
    except (OSError, EOFError) as error:
        raise RegistryError(f"{path}: cannot be read ({error})") from None
    if frame.empty:
        raise RegistryError(f"{path}: holds no rows")
    return Table({str(name): _column(str(name), frame[name]) for name in frame.columns}, len(frame))


def words_read_as_missing(path: Path, columns: Sequence[str], words: Set[str]) -> dict[str, str]:
    """The `columns` of a CSV that hold one of `words`, each with the first such word. None in a Parquet file."""
    if not columns or not words or _is_parquet(path):
        return {}
    with _opened_csv(path) as stream:
        _, separator = _header_of(path, stream.read(_SAMPLE_CHARACTERS))
        stream.seek(0)
        frame = pd.read_csv(stream, sep=separator, usecols=list(columns), dtype=object, keep_default_na=False)
    found = {name: frame[name][frame[name].isin(list(words))] for name in columns}
    return {name: str(fields.iloc[0]) for name, fields in found.items() if len(fields)}


def _is_parquet(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(4) == _PARQUET_MAGIC


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
        _check_header(path, table.column_names)
        # Without pandas' own metadata: it would turn columns into an index, and texts into categories.
        frame: pd.DataFrame = table.to_pandas(types_mapper=_nullable_dtype, ignore_metadata=True)
    except (pyarrow.ArrowException, NotImplementedError) as error:
        raise RegistryError(f"{path}: is not a readable Parquet file ({error})") from None
    return frame


def _nullable_dtype(kind: Any) -> Any:
    """The pandas dtype that keeps a Parquet type and its missing values apart."""
    import pyarrow.types as types

    if types.is_boolean(kind):
        return pd.BooleanDtype()
    if types.is_unsigned_integer(kind):
        return pd.UInt64Dtype()
    if types.is_integer(kind):
        return pd.Int64Dtype()
    if types.is_floating(kind):
        return pd.Float64Dtype()
    if types.is_string(kind) or types.is_large_string(kind):
        return pd.StringDtype()
    return None


def _read_csv(path: Path, texts: Mapping[str, Set[str]], as_texts: Collection[str]) -> pd.DataFrame:
    try:
        with _opened_csv(path) as stream:
            header, separator = _header_of(path, stream.read(_SAMPLE_CHARACTERS))
            _check_header(path, header)
            stream.seek(0)
            missing = {name: ["", *sorted(MISSING_WORDS - texts.get(name, frozenset()))] for name in header}
            frame = pd.read_csv(
                stream,
                sep=separator,
                keep_default_na=False,
                na_values=missing,
                dtype=dict.fromkeys(as_texts, pd.StringDtype()),
                dtype_backend="numpy_nullable",
                # Exactly the number that the text says: serving parses JSON just as exactly.
                float_precision="round_trip",
                low_memory=False,
            )
    except UnicodeDecodeError as error:
        raise RegistryError(f"{path}: is neither Parquet nor a CSV in UTF-8 ({error})") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise RegistryError(f"{path}: is not a readable CSV ({str(error).strip()})") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise RegistryError(f"{path}: its rows have more fields than its first line has names")
    return frame


def _opened_csv(path: Path) -> IO[str]:
    with open(path, "rb") as stream:
        opener = gzip.open if stream.read(2) == _GZIP_MAGIC else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _header_of(path: Path, sample: str) -> tuple[list[str], str]:
    """The first line's fields and the separator that gives the most of them."""
    headers = {separator: next(csv.reader(io.StringIO(sample), delimiter=separator), []) for separator in SEPARATORS}
    separator = max(SEPARATORS, key=lambda candidate: len(headers[candidate]))
    if len(headers[separator]) < 2:
        raise RegistryError(f"{path}: its first line does not name two columns separated by comma, semicolon or tab")
    return headers[separator], separator


def _check_header(path: Path, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise RegistryError(f"{path}: has more than one column named {', '.join(repeated)}")


def _column(name: str, series: Any) -> Column:
    """Type one column by its dtype. bool before integer: in numpy, too, the one passes for the other."""
    missing = series.isna().to_numpy(dtype=np.bool_)
    dtype = series.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return Column(name, "boolean", series.to_numpy(dtype=np.bool_, na_value=False), missing, "booleans")
    if pd.api.types.is_unsigned_integer_dtype(dtype) and series.max(skipna=True) > _INT64_MAX:
        return _numbers(name, series, missing)
    if pd.api.types.is_integer_dtype(dtype):
        return Column(name, "integer", series.to_numpy(dtype=np.int64, na_value=0), missing, "integers")
    if pd.api.types.is_float_dtype(dtype):
        return _numbers(name, series, missing)
    if isinstance(dtype, pd.CategoricalDtype):
        # Dictionary-encoded Parquet columns: typed by what the dictionary holds.
        return _column(name, series.astype(dtype.categories.dtype) if not missing.any() else _decoded(series))
    if isinstance(dtype, pd.StringDtype):
        return _texts(name, series.to_numpy(dtype=object, na_value=None), missing)
    return Column(name, None, np.empty(len(series), dtype=object), missing, str(dtype))


def _decoded(series: Any) -> Any:
    return pd.Series(series.astype(object).tolist()).convert_dtypes()


def _numbers(name: str, series: Any, missing: NDArray[np.bool_]) -> Column:
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return Column(name, "number", values, missing | np.isnan(values), "numbers")


def _texts(name: str, values: NDArray[Any], missing: NDArray[np.bool_]) -> Column:
    present = values[~missing]
    if len(present) and all(_is_date(text) for text in present[:1000]):
        return Column(name, None, values, missing, "dates")
    return Column(name, "category", values, missing, "texts")


def _masked(values: NDArray[Any], missing: NDArray[np.bool_], filler: float | None) -> NDArray[Any]:
    """`values`, a fresh array, with `filler` where missing."""
    values[missing] = filler
    return values


def _is_date(text: str) -> bool:
    """Whether a text begins like an ISO 8601 date: 2026-11-20, perhaps with a time."""
    return len(text) >= 10 and text[4] == text[7] == "-" and (text[:4] + text[5:7] + text[8:10]).isdigit()
