"""Moments as text: one length, whatever the year."""

from __future__ import annotations

import doctest
import math

import pytest

from gateway import clock
from gateway.clock import TEXT_LENGTH, parse_utc, utc_text


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00.000000Z",
        "0500-06-01T12:00:00.250000Z",
        "1969-12-31T23:59:59.500000Z",
        "2026-11-20T15:11:39.123456Z",
        "9999-12-31T23:59:59.000000Z",
    ],
)
def test_a_moment_reads_and_writes_back_the_same_text(text: str) -> None:
    """Years below 1000 are padded, so that text order stays time order."""
    assert utc_text(parse_utc(text)) == text
    assert len(text) == TEXT_LENGTH


@pytest.mark.parametrize(
    "seconds", [math.inf, -math.inf, math.nan, 1e300, -1e13, parse_utc("0001-01-01T00:00:00+23:00")]
)
def test_what_no_calendar_has_is_a_value_error(seconds: float) -> None:
    """Never another error, whatever the platform's C library says."""
    with pytest.raises(ValueError, match="no moment"):
        utc_text(seconds)


def test_the_examples_in_the_docstrings_hold() -> None:
    """They are run here."""
    assert doctest.testmod(clock).failed == 0
