"""Intact log lines to arrays. The fast way trusts the types; the slow way finds the rows that break them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from gateway.log.line import LogColumn, unescape

#: Moments to the microsecond, as `gateway.clock` writes them.
MOMENT = pa.timestamp("us", tz="UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLOCK_BYTES_MIN = 1 << 20


@dataclass(frozen=True)
class Parsed:
    """Rows by column, and what could not be used.

    Attributes:
        table: numbers and integers are float64, booleans bool, times microseconds in UTC, all else text with its
            escapes undone.
        rejected: rows that hold a value which is not of its column's type, all columns as text.
        unreadable_lines: lines that are no rows at all.
    """

    table: pa.Table
    rejected: pa.Table
    unreadable_lines: int


def parse(data: bytes, columns: Sequence[LogColumn], names: Sequence[str]) -> Parsed:
    """Parse CSV of the log with its header, keeping the columns `names`, in that order.

    A value that is not of its column's type rejects its row and is never an error: the line's checksum is
    right, so it is what some writer meant, but nothing that can be compared.
    """
    types = {column.name: arrow_type(column) for column in columns if column.name in names}
    try:
        table = _finish(_read(data, columns, types), names)
        return Parsed(table, _no_texts(names), 0)
    except pa.ArrowInvalid:
        return _parse_slowly(data, columns, types, names)


def no_rows(columns: Sequence[LogColumn], names: Sequence[str]) -> pa.Table:
    """A table of the columns `names` without rows."""
    types = {column.name: arrow_type(column) for column in columns}
    return pa.table([pa.array([], types[name]) for name in names], names=list(names))


def moment(text: str) -> int:
    """Microseconds since the epoch of an RFC 3339 text with its offset, exactly. Raises ValueError.

    >>> moment("1970-01-01T00:00:01.000002Z")
    1000002
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return (found - _EPOCH) // timedelta(microseconds=1)


def arrow_type(column: LogColumn) -> pa.DataType:
    """How a parsed column is held."""
    # An integer is read as a float: the canonical form has one kind of number, and 2**53 is the gateway's limit.
    kinds = {"number": pa.float64(), "integer": pa.float64(), "boolean": pa.bool_(), "time": MOMENT}
    return kinds.get(column.type, pa.string())


def _read(
    data: bytes, columns: Sequence[LogColumn], types: dict[str, pa.DataType], bad_lines: list[int] | None = None
) -> pa.Table:
    def skip(row: csv.InvalidRow) -> str:
        assert bad_lines is not None
        bad_lines.append(row.actual_columns)
        return "skip"

    return csv.read_csv(
        io.BytesIO(data),
        # One block holds at least the longest line; pyarrow refuses a line longer than its block.
        read_options=csv.ReadOptions(
            skip_rows=1,
            column_names=[column.name for column in columns],
            block_size=max(_BLOCK_BYTES_MIN, _longest_line(data) + 1),
            use_threads=bad_lines is None,
        ),
        parse_options=csv.ParseOptions(
            newlines_in_values=False, invalid_row_handler=None if bad_lines is None else skip
        ),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            true_values=["true"],
            false_values=["false"],
        ),
    )


def _longest_line(data: bytes) -> int:
    if len(data) <= _BLOCK_BYTES_MIN:
        return len(data)
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n"))
    return int(np.diff(ends, prepend=-1).max(initial=0))


def _finish(table: pa.Table, names: Sequence[str]) -> pa.Table:
    arrays = []
    for name in names:
        array = table[name].combine_chunks()
        arrays.append(_unescaped(array) if pa.types.is_string(array.type) else array)
    return pa.table(arrays, names=list(names))


def _unescaped(array: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring(array, "\\")).as_py():
        return array
    encoded = pc.dictionary_encode(array)
    texts = pa.array([unescape(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return pc.take(texts, encoded.indices)


def _parse_slowly(
    data: bytes, columns: Sequence[LogColumn], types: dict[str, pa.DataType], names: Sequence[str]
) -> Parsed:
    """Read every field as text and convert it on its own."""
    bad_lines: list[int] = []
    try:
        texts = _read(data, columns, dict.fromkeys(types, pa.string()), bad_lines)
    except pa.ArrowInvalid:
        # Not even text: bytes that are no UTF-8. Nothing of this segment can be trusted to be where it seems.
        return Parsed(no_rows(columns, names), _no_texts(names), data.count(b"\n") - 1)
    good = np.ones(texts.num_rows, dtype=np.bool_)
    converted = {}
    for name in names:
        converted[name], fits = _convert(texts[name].combine_chunks(), types[name])
        good &= fits
    table = pa.table([converted[name] for name in names], names=list(names)).filter(pa.array(good))
    rejected = texts.select(list(names)).filter(pa.array(~good))
    return Parsed(_finish(table, names), rejected, len(bad_lines))


def _no_texts(names: Sequence[str]) -> pa.Table:
    return pa.table([pa.array([], pa.string()) for _ in names], names=list(names))


def _convert(texts: pa.Array, target: pa.DataType) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Convert texts; a mask says which rows hold a value of the type (or none at all)."""
    if pa.types.is_string(target):
        return texts, np.ones(len(texts), dtype=np.bool_)
    values: list[float | int | bool | None] = []
    fits = np.ones(len(texts), dtype=np.bool_)
    for position, text in enumerate(texts.to_pylist()):
        value, ok = _value(text, target)
        values.append(value)
        fits[position] = ok
    return pa.array(values, target), fits


def _value(text: str | None, target: pa.DataType) -> tuple[float | int | bool | None, bool]:
    if text is None:
        return None, True
    if target == MOMENT:
        try:
            return moment(text), True
        except ValueError:
            return None, False
    if pa.types.is_boolean(target):
        return (text == "true", True) if text in ("true", "false") else (None, False)
    try:
        return float(text), True
    except ValueError:
        return None, False
