"""What a window is compared with: the registered file, or another time of the live log."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from drift_engine.references import InvalidReference, parse_choice, spans_of, table_sha256
from drift_engine.results.schema import ReferenceUsed, Result, Window
from drift_engine.table import NumberColumn, Table
from gateway.clock import utc_text
from tests.drift_engine.scenario import NOW, Scenario, rows

HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0


def window(start: float, end: float) -> Window:
    """From and to so many seconds before NOW."""
    return Window(utc_text(NOW - start), utc_text(NOW - end), "adhoc")


def used(result: Result) -> ReferenceUsed:
    """What the result says of its reference."""
    assert result.reference is not None
    return result.reference


@pytest.fixture
def changed_world(tmp_path: Path) -> Scenario:
    """The live log has differed from the registered reference for weeks, and is as it was last week."""
    made = Scenario(tmp_path).reference(rows(2000, 1))
    for week in range(1, 5):
        found = rows(1000, 10 + week)
        found["age"] = [value + 30 for value in found["age"]]
        made.log(found, start=NOW - week * WEEK - HOUR, seconds=HOUR - 1)
    now = rows(1000, 2)
    now["age"] = [value + 30 for value in now["age"]]
    made.log(now, start=NOW - HOUR, seconds=HOUR - 1)
    return made


def test_a_season_compares_with_the_same_hour_of_weeks_before(changed_world: Scenario) -> None:
    """The registered file says drift, the last four weeks' same hour does not; both are recorded."""
    last_hour = window(HOUR, 0)
    by_file = changed_world.run(last_hour).result
    season = changed_world.run(last_hour, reference="season:4w").result
    assert (by_file.data_drift.detected, season.data_drift.detected) == (True, False)
    assert (used(by_file).kind, used(by_file).spans, used(by_file).rows) == ("file", (), 2000)
    assert used(by_file).sha256 == by_file.reference_sha256
    assert used(season).kind == "season"
    assert used(season).rows == season.rows.reference == 4000
    assert len(used(season).spans) == 4
    assert used(season).spans[0] == (utc_text(NOW - WEEK - HOUR), utc_text(NOW - WEEK))
    assert len(used(season).inputs) == 5
    assert season.config["reference"] == "season:4w"


def test_a_range_and_a_rolling_reference_read_that_time_alone(changed_world: Scenario) -> None:
    """Rows and hash are those of the time, whichever way it was named."""
    since, until = utc_text(NOW - WEEK - HOUR), utc_text(NOW - WEEK)
    by_range = changed_world.run(window(HOUR, 0), reference=f"{since}/{until}").result
    rolling = changed_world.run(window(HOUR, 0), reference="rolling:8d").result
    assert by_range.data_drift.detected is False
    assert (used(by_range).kind, used(by_range).rows) == ("range", 1000)
    assert (used(rolling).kind, used(rolling).rows) == ("rolling", 1000)
    assert used(rolling).sha256 == used(by_range).sha256
    assert used(rolling).spans == ((utc_text(NOW - HOUR - 8 * DAY), utc_text(NOW - HOUR)),)


def test_quality_is_measured_against_the_registered_rows_whatever_the_reference(tmp_path: Path) -> None:
    """The baseline is the registration's."""
    made = Scenario(tmp_path).reference(rows(2000, 1))
    made.log(rows(1000, 3), start=NOW - DAY, seconds=HOUR)
    found = rows(1000, 2)
    made.label(made.log(found, start=NOW - HOUR, seconds=HOUR - 1), found["label"])
    by_file = made.run(window(HOUR, 0)).result
    rolling = made.run(window(HOUR, 0), reference="rolling:2d").result
    assert rolling.performance.outcome == "ok"
    assert (rolling.performance, rolling.concept_drift) == (by_file.performance, by_file.concept_drift)


def test_a_reference_that_is_too_small_says_how_many_rows_would_do(changed_world: Scenario) -> None:
    """As a field, in the page; and with so many rows it says nothing."""
    committed = changed_world.run(window(HOUR, 0), reference="rolling:8d")
    need = used(committed.result).rows_needed
    warning = used(committed.result).warning
    assert warning is not None
    assert f"the reference has 1,000 rows; with {need:,}" in warning
    assert warning.split(" (")[0] in committed.report.read_text()
    assert 1000 < need < 5000
    # A little more: the share of missing values is drawn by chance on every side.
    enough = Scenario(changed_world.root / "enough").reference(rows(need * 11 // 10, 1))
    enough.log(rows(need * 11 // 10, 2))
    result = enough.run().result
    assert used(result).warning is None
    for finding in result.data_drift.columns:
        shape = finding.check("shape")
        assert shape is not None
        assert shape.threshold == pytest.approx(0.02, rel=0.02)


def test_a_reference_without_rows_is_no_verdict(changed_world: Scenario) -> None:
    """Expired, or before the first prediction: not enough data, with the warning that says so."""
    result = changed_world.run(window(HOUR, 0), reference="rolling:2d").result
    assert (result.outcome, result.data_drift.detected) == ("insufficient_data", None)
    assert used(result).rows == 0
    assert "the reference has 0 rows" in str(used(result).warning)


def test_a_reference_that_overlaps_the_window_is_refused(changed_world: Scenario) -> None:
    """Rows compared with themselves are never drift."""
    asked = f"{utc_text(NOW - DAY)}/{utc_text(NOW - 60)}"
    result = changed_world.run(window(HOUR, 0), reference=asked).result
    assert result.outcome == "failed"
    assert "overlaps the window" in str(result.reason)
    long = changed_world.run(window(10 * DAY, 0), reference="season:2w").result
    assert "more than a week" in str(long.reason)


def test_seasons_are_of_whole_hours() -> None:
    """A window of five minutes is compared with the whole hour of each week before."""
    five_minutes = Window("2026-11-20T15:10:00.000000Z", "2026-11-20T15:15:00.000000Z", "scheduled")
    assert spans_of(parse_choice("season:2w"), five_minutes) == (
        ("2026-11-13T15:00:00.000000Z", "2026-11-13T16:00:00.000000Z"),
        ("2026-11-06T15:00:00.000000Z", "2026-11-06T16:00:00.000000Z"),
    )


@pytest.mark.parametrize(
    "text",
    ["", "files", "rolling", "rolling:x", "season:3d", "season:0w", "a/b", "2026-11-02T00:00:00Z/2026-11-01T00:00:00Z"],
)
def test_a_text_that_chooses_nothing_is_refused(text: str) -> None:
    """With the text, and what would do."""
    with pytest.raises(InvalidReference, match="reference"):
        parse_choice(text)


def test_the_hash_is_of_the_values() -> None:
    """Not of how zero or NaN is spelled; one value that differs shows."""
    import numpy as np

    table = Table({"x": NumberColumn(np.array([0.0, np.nan, 1.5]))}, 3)
    spelled = Table({"x": NumberColumn(np.array([-0.0, -np.nan, 1.5]))}, 3)
    other = dataclasses.replace(table, columns={"x": NumberColumn(np.array([0.0, np.nan, np.nextafter(1.5, 2)]))})
    assert table_sha256(table) == table_sha256(spelled)
    assert table_sha256(table) != table_sha256(other)
