"""Log lines to arrays: exact where they fit their types, counted where they do not."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drift_engine.reading.parsing import parse
from drift_engine.table import number_column, text_column
from gateway.log.line import FIELD_ENCODERS, LogColumn, header_line

COLUMNS = (
    LogColumn("seq", "integer"),
    LogColumn("x", "number"),
    LogColumn("n", "integer"),
    LogColumn("text", "text"),
    LogColumn("flag", "boolean"),
)
NAMES = [column.name for column in COLUMNS]


def lines(*rows: tuple[object, ...]) -> bytes:
    """CSV as the log writes it."""
    encoded = [
        ",".join(FIELD_ENCODERS[column.type](value) for column, value in zip(COLUMNS, row, strict=True)) for row in rows
    ]
    return header_line(COLUMNS) + "".join(line + "\n" for line in encoded).encode()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**31),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.integers(-(2**53), 2**53),
            st.none() | st.text(),
            st.none() | st.booleans(),
        ),
        min_size=1,
    )
)
def test_what_was_logged_comes_back_exactly(rows: list[tuple[object, ...]]) -> None:
    """Every float, integer, text and boolean, and each missing one, apart from the empty text."""
    parsed = parse(lines(*rows), COLUMNS, NAMES)
    assert (parsed.rejected.num_rows, parsed.unreadable_lines) == (0, 0)
    for position, name in enumerate(NAMES):
        assert parsed.table[name].to_pylist() == [row[position] for row in rows]


def test_a_value_of_the_wrong_type_drops_its_row_and_no_other() -> None:
    """The checksum is right, so it is counted as unreadable, not as damage; the rows around it stay."""
    data = lines((0, 1.5, 1, "a", True), (1, 2.5, 2, "b\nc", False)) + b"2,oops,3,c,true\n3,1.0,4,d,maybe\n4,,,,\n"
    parsed = parse(data, COLUMNS, NAMES)
    assert parsed.table["seq"].to_pylist() == [0, 1, 4]
    assert parsed.table["text"].to_pylist() == ["a", "b\nc", None]
    assert parsed.rejected["seq"].to_pylist() == ["2", "3"]
    assert parsed.unreadable_lines == 0


def test_a_line_with_another_number_of_fields_is_dropped() -> None:
    """It cannot be told which of its fields is missing."""
    data = lines((0, 1.5, 1, "a", True)) + b"1,2.0\n"
    parsed = parse(data, COLUMNS, NAMES)
    assert parsed.table["seq"].to_pylist() == [0]
    assert parsed.unreadable_lines == 1


def test_bytes_that_are_no_text_drop_the_segment_and_say_how_many_lines() -> None:
    """Invalid UTF-8 with a right checksum comes from no writer of ours."""
    data = lines((0, 1.5, 1, "a", True)) + b"1,2.0,1,\xff\xfe,true\n"
    parsed = parse(data, COLUMNS, NAMES)
    assert parsed.table.num_rows + parsed.unreadable_lines == 2
    assert parsed.table.num_rows < 2


def test_a_line_longer_than_a_block_is_read() -> None:
    """A text of three megabytes is one field like any other."""
    long = "x" * 3_000_000
    parsed = parse(lines((0, 1.0, 1, long, True), (1, 2.0, 2, "b", None)), COLUMNS, NAMES)
    assert parsed.table["text"].to_pylist() == [long, "b"]


def test_columns_keep_missing_apart_and_do_not_depend_on_order() -> None:
    """NaN and code -1 mean missing; levels are sorted, so the order of files leaves no trace."""
    rows = [(0, None, None, None, None), (1, 2.0, 5, "b", True), (2, 1.0, None, "", False)]
    for order in ([0, 1, 2], [2, 1, 0]):
        table = parse(lines(*[rows[place] for place in order]), COLUMNS, NAMES).table
        numbers, texts = number_column(table["n"]), text_column(table["text"])
        assert [math.isnan(value) for value in numbers.values] == [rows[place][2] is None for place in order]
        assert texts.levels == ("", "b")
        assert texts.texts().tolist() == [rows[place][3] for place in order]
        assert text_column(table["flag"]).levels == ("false", "true")
        assert numbers.values.dtype == np.float64
