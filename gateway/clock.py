"""One way to write a moment: RFC 3339 in UTC with microseconds, 27 characters, so that text order is time order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: Length of a moment as text, e.g. 2026-11-20T15:11:39.123456Z.
TEXT_LENGTH = 27
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(seconds: float) -> str:
    """Seconds since the epoch as text. Raises ValueError outside of the years 1 to 9999.

    >>> utc_text(0.5)
    '1970-01-01T00:00:00.500000Z'
    """
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{seconds!r} seconds since 1970 are no moment of the years 1 to 9999") from None
    # isoformat pads the year to four digits, which strftime does not.
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_utc(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 text with any offset. Raises ValueError.

    A text without an offset is refused rather than guessed.

    >>> parse_utc("1970-01-01T01:00:00+01:00")
    0.0
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; end it with 'Z' if it is in UTC")
    return (moment - _EPOCH) / timedelta(seconds=1)
