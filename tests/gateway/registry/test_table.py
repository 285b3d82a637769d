"""Tables are read with the types that their values have, exactly."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from gateway.registry.table import Table, read_table


def written(tmp_path: Path, text: str) -> Table:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def kinds(table: Table) -> dict[str, tuple[str | None, bool]]:
    return {name: (column.type, column.nullable) for name, column in table.columns.items()}


def test_csv_types(tmp_path: Path) -> None:
    """Whole numbers stay whole beside missing ones, 1.0 is a number, true and FALSE are booleans, the rest text."""
    table = written(
        tmp_path,
        "whole,gaps,real,flag,flags,word,date,huge\n"
        "1,1,1.0,true,TRUE,x,2026-11-20,9223372036854775808\n"
        "2,,2.0,FALSE,,,2026-11-21T10:00:00,1\n",
    )
    assert kinds(table) == {
        "whole": ("integer", False),
        "gaps": ("integer", True),
        "real": ("number", False),
        "flag": ("boolean", False),
        "flags": ("boolean", True),
        "word": ("category", True),
        "date": (None, False),
        "huge": ("number", False),
    }
    assert table.columns["date"].kind == "dates"
    assert table.rows == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_are_found(tmp_path: Path, separator: str) -> None:
    """By the first line; the others may stand inside quotes."""
    text = separator.join(['"a,b;c"', "d", "e"]) + "\n" + separator.join(['"x;y,z"', "1", "2"]) + "\n"
    table = written(tmp_path, text)
    assert list(table.columns) == ["a,b;c", "d", "e"]
    assert table.columns["a,b;c"].values.tolist() == ["x;y,z"]


def test_floats_are_read_to_the_last_bit(tmp_path: Path) -> None:
    """The text's nearest double, as a JSON parser reads it; pandas' default is off by one in the last place."""
    values = np.random.default_rng(0).lognormal(0, 20, 2000)
    text = "a,b\n" + "".join(f"{value!r},1\n" for value in values.tolist())
    np.testing.assert_array_equal(written(tmp_path, text).columns["a"].values, values)


def test_gzip_and_a_byte_order_mark(tmp_path: Path) -> None:
    """By content, whatever the file is called."""
    path = tmp_path / "table.data"
    path.write_bytes(gzip.compress("\ufeffa,b\n1,2\n".encode()))
    assert list(read_table(path).columns) == ["a", "b"]


def test_parquet_types(tmp_path: Path) -> None:
    """Typed by the file's schema; NaN is missing like null; dictionaries are what they hold."""
    path = tmp_path / "table"
    columns = {
        "whole": pyarrow.array([1, 2], pyarrow.int32()),
        "gaps": pyarrow.array([2**53 + 1, None], pyarrow.int64()),
        "real": pyarrow.array([1.5, float("nan")], pyarrow.float32()),
        "flags": pyarrow.array([True, None]),
        "word": pyarrow.array(["x", None]),
        "coded": pyarrow.array(["x", "y"]).dictionary_encode(),
        "coded_gaps": pyarrow.array(["x", None]).dictionary_encode(),
        "coded_numbers": pyarrow.array([3, 4]).dictionary_encode(),
        "time": pyarrow.array([0, 1], pyarrow.timestamp("us")),
        "list": pyarrow.array([[1], [2]]),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    table = read_table(path)
    assert kinds(table) == {
        "whole": ("integer", False),
        "gaps": ("integer", True),
        "real": ("number", True),
        "flags": ("boolean", True),
        "word": ("category", True),
        "coded": ("category", False),
        "coded_gaps": ("category", True),
        "coded_numbers": ("integer", False),
        "time": (None, False),
        "list": (None, False),
    }
    assert table.columns["gaps"].values[0] == 2**53 + 1


def test_an_index_of_pandas_is_a_column_like_any_other(tmp_path: Path) -> None:
    """What `to_parquet` calls an index is data to us."""
    path = tmp_path / "table.parquet"
    pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index([10, 20], name="day")).to_parquet(path)
    assert sorted(read_table(path).columns) == ["a", "day"]
