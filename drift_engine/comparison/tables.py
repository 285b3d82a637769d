"""Two files to canonical tables: types are inferred from the reference, by the rules of registration."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drift_engine.comparison.schema import SchemaFinding, TableFile
from drift_engine.errors import DriftError
from drift_engine.sentences import percent
from drift_engine.table import Column, NumberColumn, Table, TextColumn, number_column, text_column
from gateway.registry import RegistryError
from gateway.registry import table as registered
from gateway.registry.columns import class_text

_NUMBERS = ("number", "integer")
_EXAMPLES_MAX = 3
_EXAMPLE_LENGTH_MAX = 30


class UnusableTable(DriftError):
    """A file cannot be read as a table, or does not have a column that was asked for."""


@dataclass(frozen=True)
class ReferenceTable:
    """The side that says what is compared.

    Attributes:
        types: by column to compare, in the file's order: "number", "integer", "category" or "boolean".
        unknown: columns of `types` without any value, whose type nobody can tell.
        not_compared: a sentence for each column that cannot be compared.
    """

    file: TableFile
    table: Table
    types: dict[str, str]
    unknown: frozenset[str]
    names: frozenset[str]
    not_compared: tuple[str, ...]


@dataclass(frozen=True)
class CurrentTable:
    """The other side, its columns converted to the reference's types, and what did not fit."""

    file: TableFile
    table: Table
    schema: tuple[SchemaFinding, ...]


def read_reference(path: Path, columns: Sequence[str], exclude: Collection[str]) -> ReferenceTable:
    """Read the reference; `columns` are the ones to compare, all if there are none. Raises UnusableTable."""
    found = _read(path)
    absent = [name for name in (*columns, *exclude) if name not in found.columns]
    if absent:
        raise UnusableTable(f"{path}: has no column {', '.join(map(repr, absent))}; it has {', '.join(found.columns)}")
    wanted = [name for name in (columns or found.columns) if name not in exclude]
    typed = {name: kind for name in wanted if (kind := found.columns[name].type) is not None}
    if not typed:
        raise UnusableTable(f"{path}: has no column that can be compared")
    return ReferenceTable(
        file=_file(path, found.rows),
        table=Table({name: _canonical(found.columns[name]) for name in typed}, found.rows),
        types=dict(typed),
        unknown=frozenset(name for name in typed if found.columns[name].missing.all()),
        names=frozenset(found.columns),
        not_compared=tuple(
            f"{name} holds {found.columns[name].kind}, which are not compared" for name in wanted if name not in typed
        ),
    )


def read_current(path: Path, reference: ReferenceTable, exclude: Collection[str]) -> CurrentTable:
    """Read a file and convert it to the reference's types. Raises UnusableTable."""
    found = _read(path)
    # A category whose values all look like numbers in one file: only its texts tell 007 from 7.
    as_numbers = [
        name
        for name, kind in reference.types.items()
        if kind == "category" and name in found.columns and found.columns[name].type in (*_NUMBERS, "boolean")
    ]
    texts = _read(path, as_numbers).columns if as_numbers else {}
    columns: dict[str, Column] = {}
    findings = []
    for name, kind in reference.types.items():
        column = texts[name] if name in as_numbers else found.columns.get(name)
        if column is None:
            findings.append(_absent(name, found.rows))
            continue
        columns[name], wrong = _converted(column, kind, is_open=name in reference.unknown)
        if wrong is not None:
            findings.append(_wrong_type(column, kind, wrong))
    new = [name for name in found.columns if name not in reference.names and name not in exclude]
    findings += [SchemaFinding(name, "new column", "notice", False, "the reference has no such column") for name in new]
    return CurrentTable(_file(path, found.rows), Table(columns, found.rows), tuple(findings))


def _read(path: Path, as_texts: Collection[str] = ()) -> registered.Table:
    try:
        return registered.read_table(path, as_texts=as_texts)
    except RegistryError as error:
        raise UnusableTable(" ".join(str(error).split())) from None


def _file(path: Path, rows: int) -> TableFile:
    with open(path, "rb") as stream:
        return TableFile(str(path), rows, hashlib.file_digest(stream, "sha256").hexdigest())


def _canonical(column: registered.Column) -> Column:
    if column.type in _NUMBERS:
        return number_column(pa.array(column.values.astype(np.float64), mask=column.missing))
    if column.type == "boolean":
        return text_column(pa.array(column.values.astype(np.bool_), mask=column.missing))
    return text_column(pa.array(_texts(column), pa.string()))


def _texts(column: registered.Column) -> list[str | None]:
    return [
        None if missing else class_text(value)
        for value, missing in zip(column.values.tolist(), column.missing.tolist(), strict=True)
    ]


def _converted(column: registered.Column, kind: str, *, is_open: bool) -> tuple[Column, NDArray[np.bool_] | None]:
    """The column as a `kind`, and which rows hold values that are none; they count as missing.

    `is_open`: the reference has no value that would bind the type.
    """
    if column.type == kind or (column.type in _NUMBERS and kind in _NUMBERS):
        return _canonical(column), None
    if kind == "category" and column.type is not None:
        return text_column(pa.array(_texts(column), pa.string())), None
    missing = column.missing
    if column.type == "category" and kind in _NUMBERS:
        values = np.array([_number(text) for text in _texts(column)])
        wrong = np.isnan(values) & ~missing
        return NumberColumn(values), None if is_open or not wrong.any() else wrong
    # Writers differ in how they spell a flag, but numbers and truth values are not the same column.
    return _nothing(kind, len(missing)), ~missing if not is_open and not missing.all() else None


def _nothing(kind: str, rows: int) -> Column:
    if kind in _NUMBERS:
        return NumberColumn(np.full(rows, np.nan))
    return TextColumn(np.full(rows, -1, dtype=np.int32), ())


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan


def _absent(name: str, rows: int) -> SchemaFinding:
    return SchemaFinding(name, "missing column", "high", True, f"none of the {rows} rows has this column")


def _wrong_type(column: registered.Column, kind: str, wrong: NDArray[np.bool_]) -> SchemaFinding:
    count = int(np.count_nonzero(wrong))
    found = dict.fromkeys(str(value)[:_EXAMPLE_LENGTH_MAX] for value in column.values[wrong][:1000].tolist())
    examples = ", ".join(map(repr, list(found)[:_EXAMPLES_MAX]))
    what = {"boolean": "true or false", "category": "a text"}.get(kind, "a number")
    share = percent(count / len(wrong))
    sentence = f"{count} of {len(wrong)} values ({share}) are not {what}, as in the reference: {examples}"
    return SchemaFinding(column.name, "wrong type", "high", True, sentence, count)
