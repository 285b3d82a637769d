"""Which rows a run compares."""

from __future__ import annotations

import pytest

from drift_engine.results.store import Latest
from drift_engine.settings import DriftSettings
from drift_engine.window import InvalidWindow, adhoc_window, duration_seconds, scheduled_window
from gateway.clock import parse_utc, utc_text
from gateway.settings import GatewaySettings

NOW = 1_795_186_800.0


def latest(scheduled_from: float | None, window_end: float = NOW - 1e6) -> Latest:
    """A pointer that says where the next scheduled window starts."""
    start, end = utc_text(NOW - 2e6), utc_text(window_end)
    return Latest(
        "run", "ok", start, end, NOW, None, None, None if scheduled_from is None else utc_text(scheduled_from)
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("90m", 5400), ("7d", 604800), ("1h30m", 5400), ("0.5h", 1800), ("45s", 45)]
)
def test_durations(text: str, seconds: float) -> None:
    """Numbers with units, one after the other."""
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1y", "0s", "24 h", "1e3s"])
def test_other_durations_are_refused(text: str) -> None:
    """With the text and how to write it."""
    with pytest.raises(InvalidWindow):
        duration_seconds(text)


def test_the_default_window_is_the_last_day() -> None:
    """Up to this very moment."""
    window = adhoc_window(NOW, length=None, since=None, until=None)
    assert (parse_utc(window.start), parse_utc(window.end), window.kind) == (NOW - 86400, NOW, "adhoc")


def test_since_and_until_may_have_any_offset() -> None:
    """They are written in UTC."""
    window = adhoc_window(NOW, length=None, since="2026-11-20T10:00:00+01:00", until="2026-11-20T10:00:00Z")
    assert (window.start, window.end) == ("2026-11-20T09:00:00.000000Z", "2026-11-20T10:00:00.000000Z")


def test_a_window_never_ends_in_the_future() -> None:
    """Or no scheduled run would end later, and none would be published, until then."""
    assert adhoc_window(NOW, length=None, since=utc_text(NOW - 60), until=utc_text(NOW + 9e5)).end == utc_text(NOW)


@pytest.mark.parametrize(
    ("length", "since"),
    [
        ("9999999w", None),
        ("9" * 400 + "w", None),
        (None, "0001-01-01T00:00:00+23:00"),
        (None, "0500-01-01T00:00:00Z"),
        (None, "1969-12-31T23:59:59Z"),
    ],
)
def test_a_window_never_starts_before_1970(length: str | None, since: str | None) -> None:
    """Whoever asks for everything gets everything."""
    assert adhoc_window(NOW, length=length, since=since, until=None).start == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("length", "since", "until"),
    [
        ("1h", "2026-11-20T10:00:00Z", None),
        (None, "2026-11-20T10:00:00", None),
        (None, "yesterday", None),
        (None, "2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
        (None, "2030-01-01T00:00:00Z", None),
        (None, "9999-12-31T23:59:59-23:00", None),
        (None, None, "0001-01-01T00:00:00+23:00"),
    ],
)
def test_senseless_windows_are_refused(length: str | None, since: str | None, until: str | None) -> None:
    """Two starts, no offset, no time, an end before the start."""
    with pytest.raises(InvalidWindow):
        adhoc_window(NOW, length=length, since=since, until=until)


def test_scheduled_windows_join_one_another() -> None:
    """The next starts to the microsecond where the last one ended, so no row falls between or counts twice."""
    first = scheduled_window(NOW, 5, None)
    assert first is not None
    assert parse_utc(first.end) == NOW - 5
    second = scheduled_window(NOW + 300, 5, latest(parse_utc(first.end)))
    assert second is not None
    assert second.start == first.end
    assert second.kind == "scheduled"


def test_a_scheduled_window_reaches_back_a_day_at_most() -> None:
    """After a week without runs it does not compare the week; nor does the first one ever, or one after ad hoc runs."""
    for pointer in (latest(NOW - 8e5), latest(None), None):
        window = scheduled_window(NOW, 5, pointer)
        assert window is not None
        assert parse_utc(window.start) == NOW - 5 - 86400


@pytest.mark.parametrize("pointer", [latest(NOW + 301), latest(NOW - 300, window_end=NOW + 301)])
def test_a_pointer_that_a_clock_ahead_wrote_is_not_followed(pointer: Latest) -> None:
    """Or no run would come before that moment does."""
    window = scheduled_window(NOW, 11, pointer)
    assert window is not None
    assert (parse_utc(window.start), parse_utc(window.end)) == (NOW - 11 - 86400, NOW - 11)


def test_nothing_to_do_while_the_last_window_covers_now() -> None:
    """After the clock went back a little."""
    assert scheduled_window(NOW, 5, latest(NOW)) is None
    assert scheduled_window(NOW, 5, latest(NOW + 299)) is None


def test_the_default_grace_outlasts_an_append() -> None:
    """A row has its time before it is written, and the gateway gives up writing after 10 s."""
    assert DriftSettings().grace_seconds > GatewaySettings().append_timeout_seconds


def test_the_monthly_budget_is_divided_by_the_runs_of_a_month() -> None:
    """One false alarm a month at 8,640 runs is 1 in 8,640 each; rare runs never get more than an ad hoc one."""
    assert DriftSettings().run_budget(scheduled=True) == pytest.approx(1 / 8640)
    assert DriftSettings().run_budget(scheduled=False) == 0.01
    assert DriftSettings(interval_seconds=30 * 86400).run_budget(scheduled=True) == 0.01
