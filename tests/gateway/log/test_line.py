"""The bytes of a line: what goes in comes out, and one LF is one record."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.files import write_all
from gateway.log.line import id_checksum, is_intact, seal_line, text_field, unescape
from gateway.log.reader import scan
from gateway.log.segment import create
from tests.gateway.log.rows import COLUMNS, HEADER, parse, payload

TEXT = st.text(st.characters(exclude_categories=("Cs",)))


@given(TEXT)
def test_a_text_field_never_holds_a_line_break(text: str) -> None:
    """CR, LF and NUL are escaped; other separators of str.splitlines are harmless, since readers split on LF alone."""
    assert not set("\n\r\0") & set(text_field(text))


@given(job=TEXT, client_id=TEXT, amount=st.floats(allow_nan=False, allow_infinity=False))
def test_texts_and_floats_come_back_exactly(job: str, client_id: str, amount: float) -> None:
    """Through writer, scan and CSV parser, every text and every double is what it was, "" is not missing."""
    with tempfile.TemporaryDirectory() as folder:
        segment = create(Path(folder), "live_predictions", HEADER, 0.0)
        line = seal_line(0, payload(job=job, client_id=client_id, amount=amount), id_checksum(segment.segment_id))
        write_all(segment.fd, line)
        os.close(segment.fd)
        (row,) = parse(scan(segment.path, COLUMNS))
    assert (row["job"], row["client_id"], row["count"]) == (job, client_id, None)
    assert row["amount"] == amount
    assert math.copysign(1, row["amount"]) == math.copysign(1, amount)


@given(TEXT)
def test_unescape_undoes_the_escapes(text: str) -> None:
    """After CSV quoting is removed, unescape restores the text."""
    field = text_field(text)
    inside = field[1:-1].replace('""', '"') if field.startswith('"') else field
    assert unescape(inside) == text


def test_a_line_is_intact_only_in_its_own_segment() -> None:
    """The checksum covers the segment's id, so a line copied elsewhere is not a record there."""
    line = seal_line(7, payload(), id_checksum("v1-a"))[:-1]
    assert is_intact(line, id_checksum("v1-a"))
    assert not is_intact(line, id_checksum("v1-b"))
