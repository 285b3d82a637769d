"""Real files: separators and types are found out, unusable columns left out by name, rows parted without overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demo.errors import DemoError
from demo.table import Shares, is_quantity, read_table, split, thinned, usable
from tests.demo.tables import mixed_table


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_csv_is_read_whatever_its_separator(tmp_path: Path, separator: str, suffix: str) -> None:
    """Values with commas and spaces inside, plain or compressed: the table comes back."""
    table = pd.DataFrame({"name": ["a, b", "c; d", "e"] * 10, "x": np.arange(30) / 7, "n": range(30)})
    path = tmp_path / f"t.{suffix}"
    table.to_csv(path, sep=separator, index=False)
    pd.testing.assert_frame_equal(read_table(path), table)


def test_parquet_is_read(tmp_path: Path) -> None:
    """Types come from the file."""
    table = mixed_table(50)
    table.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["visits"].tolist() == table["visits"].tolist()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"", "empty"), (b"\xff\xfe\x00\x01", "cannot be read")]
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, content: bytes | None, said: str) -> None:
    """An absent, an empty and a binary file: one sentence that names the file."""
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DemoError, match=f"t.csv.*{said}"):
        read_table(path)


def test_columns_no_model_can_take_are_left_out_with_a_reason() -> None:
    """Dates, identifiers and empty columns go; numbers, texts and truth values stay."""
    found = usable(mixed_table(), "bought", exclude=["spent"])
    assert found.features == ("age", "job", "member", "visits")
    assert found.left_out["spent"] == "as asked"
    assert "date" in found.left_out["day"]
    assert "1,200 different values" in found.left_out["customer"]
    assert "no values" in found.left_out["nothing"]
    assert list(found.table.columns) == ["age", "job", "member", "visits", "bought"]


def test_wrong_columns_are_refused_with_those_that_exist() -> None:
    """A label or an excluded column that is not there, a label that never varies, nothing left to learn from."""
    table = mixed_table(200)
    with pytest.raises(DemoError, match="no column 'buys'; there are age, job"):
        usable(table, "buys", [])
    with pytest.raises(DemoError, match="no column 'sex'"):
        usable(table, "bought", ["sex"])
    with pytest.raises(DemoError, match="fewer than two"):
        usable(table.assign(bought="no"), "bought", [])
    with pytest.raises(DemoError, match="no column is left"):
        usable(table[["day", "bought"]], "bought", [])


def test_labels_are_classes_or_quantities() -> None:
    """Few whole numbers are classes, also where gaps made floats of them; fractions and many values are quantities."""
    assert not is_quantity(pd.Series([0, 1, 1]))
    assert not is_quantity(pd.Series(["a", "b"]))
    assert not is_quantity(pd.Series([True, False]))
    assert is_quantity(pd.Series([0.5, 1.0]))
    assert is_quantity(pd.Series(range(30)))
    with_gap = usable(pd.DataFrame({"x": [1.0, 2, 3], "y": [0, np.nan, 1]}), "y", []).table["y"]
    assert with_gap.tolist() == [0, pd.NA, 1]


def test_parts_do_not_overlap_and_keep_time_where_they_should() -> None:
    """Fit, reference and unchanged traffic are random rows of the first share; the rest comes later, in order."""
    table = pd.DataFrame({"row": range(2_000)})
    parts = split(table, Shares(first=0.4), seed=1)
    assert [len(part) for part in (parts.fit, parts.reference, parts.alike, parts.later)] == [480, 200, 120, 1_200]
    first = sorted([*parts.fit["row"], *parts.reference["row"], *parts.alike["row"]])
    assert first == list(range(800))
    assert parts.reference["row"].is_monotonic_increasing
    assert not parts.alike["row"].is_monotonic_increasing
    assert parts.later["row"].tolist() == list(range(800, 2_000))
    with pytest.raises(DemoError, match="too few"):
        split(table.head(500), Shares(), seed=1)


def test_thinning_keeps_order_and_both_ends() -> None:
    """Evenly spaced rows of the whole; 0 keeps all."""
    table = pd.DataFrame({"row": range(1_000)})
    rows = thinned(table, 10)["row"]
    assert rows.is_monotonic_increasing
    assert (rows.iloc[0], rows.iloc[-1], len(rows)) == (0, 999, 10)
    assert len(thinned(table, 0)) == len(thinned(table, 5_000)) == 1_000
