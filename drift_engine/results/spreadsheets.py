"""CSV for people's spreadsheets: no field of it is taken for a formula, and numbers stay numbers."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence

Value = str | bool | int | float | None
#: What makes a spreadsheet evaluate a field, or hides such a character behind blank ones.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def csv_document(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> bytes:
    """The rows under their header, in UTF-8, lines ended by CRLF as RFC 4180 says."""
    stream = io.StringIO(newline="")
    # Each in quotes: where a spreadsheet separates by semicolons, what follows one would be a cell of its own.
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerow([field_of(name) for name in header])
    writer.writerows([field_of(value) for value in row] for row in rows)
    return stream.getvalue().encode()


def field_of(value: Value) -> str:
    """One field. A text that a spreadsheet would evaluate gets a leading apostrophe, which it hides.

    >>> field_of("=1+1"), field_of(-1.5), field_of("-1.5"), field_of("-1+1"), field_of(None), field_of(True)
    ("'=1+1", '-1.5', '-1.5', "'-1+1", '', 'true')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # A damaged file may hold anything.
    text = str(value)
    is_formula = text.startswith(_FORMULA_STARTS) and not _PLAIN_NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text
