"""CSV for spreadsheets: formulas are texts, numbers are numbers."""

from __future__ import annotations

import csv
import io

import pytest

from drift_engine.results.spreadsheets import csv_document, field_of


def test_formulas_are_neutralised_and_numbers_stay_numbers() -> None:
    """Whatever a field begins with, headers too; a negative number is no formula."""
    header = ["=cmd", "number"]
    rows = [["=1+1", -1.5], ["+a", 0.1 + 0.2], ["@x", 7], ["\tx", None], ["-x", float("nan")], ['a"b,\nc', True]]
    document = csv_document(header, rows).decode()
    assert list(csv.reader(io.StringIO(document, newline=""))) == [
        ["'=cmd", "number"],
        ["'=1+1", "-1.5"],
        ["'+a", "0.30000000000000004"],
        ["'@x", "7"],
        ["'\tx", ""],
        ["'-x", ""],
        ['a"b,\nc', "true"],
    ]


@pytest.mark.parametrize("value", ["plain", "1e5", "-2.5E-3", "+4", "-0.1"])
def test_what_is_no_formula_stays(value: str) -> None:
    """Numbers above all, also as texts: a column of them must still add up."""
    assert field_of(value) == value


def test_a_field_stays_one_where_semicolons_separate() -> None:
    """As they do for spreadsheets in much of Europe: all of it is in quotes."""
    assert csv_document(["name"], [["x;=HYPERLINK(1)"]]).decode() == '"name"\r\n"x;=HYPERLINK(1)"\r\n'
