"""incidents.json follows the committed runs, whatever died or was damaged in between."""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from drift_engine.actions.act import Actor
from drift_engine.actions.settings import RetrainingSettings
from drift_engine.console import print_summary
from drift_engine.incidents.fold import fold
from drift_engine.incidents.keeper import IncidentKeeper
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.results import Result, ResultStore
from drift_engine.results.incidents import IncidentError, Incidents, IncidentStore
from drift_engine.results.schema import Window
from gateway.clock import parse_utc, utc_text
from tests.drift_engine.scenario import NOW, Scenario, rows
from tests.incidents import column, folded, quality, run, sequence
from tests.results import commit

GOLDEN = Path(__file__).parents[1] / "golden" / "incidents-v1.json"
WARNED = [column()]


def keeper(reports: Path) -> IncidentKeeper:
    """A keeper of the incidents in `reports`, with the default rules."""
    return IncidentKeeper(ResultStore(reports), IncidentSettings())


def current(reports: Path, after: Result) -> Incidents:
    """The incidents just after a run has ended."""
    found = keeper(reports).current("fraud", "1", parse_utc(after.finished_at) + 1)
    assert found is not None
    return found


def committed(reports: Path, runs: Sequence[Result], *, kept: int) -> Incidents:
    """Commit runs; incidents.json is written after the first `kept` of them."""
    for number, item in enumerate(runs, 1):
        commit(reports, item)
        if number == kept:
            keeper(reports).write(folded(runs[:kept]))
    return folded(runs)


@pytest.mark.parametrize("kept", [0, 1, 3, 4])
def test_runs_that_died_before_they_wrote_the_file_are_caught_up_with(tmp_path: Path, kept: int) -> None:
    """From nothing, or from where it was left: the same as if each had written it."""
    runs = sequence([WARNED, [], WARNED, WARNED])
    expected = committed(tmp_path, runs, kept=kept)
    assert current(tmp_path, runs[-1]) == expected


def test_a_damaged_file_is_kept_aside_and_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From the results, and the log says so; one of a newer format is no different."""
    runs = sequence([WARNED] * 4)
    expected = committed(tmp_path, runs, kept=4)
    path = IncidentStore(tmp_path).path("fraud", "1")
    newer = msgspec.json.encode(dataclasses.replace(expected, format_version=2))
    for content in (b'{"model_name": "fraud"', b"", b"\xff\x00", newer):
        path.write_bytes(content)
        with pytest.raises(IncidentError):
            IncidentStore(tmp_path).read("fraud", "1")
        with caplog.at_level(logging.WARNING):
            assert current(tmp_path, runs[-1]) == expected
        assert "made anew" in caplog.text
        (aside,) = path.parent.glob("incidents.json.damaged-*")
        assert aside.read_bytes() == content
        aside.unlink()


def test_what_a_clock_that_was_ahead_has_written_is_made_anew(tmp_path: Path) -> None:
    """Otherwise no window would count until that time comes. The run of the future is left out, not deleted."""
    runs = sequence([WARNED, WARNED])
    ahead = run(12 * 24 * 365, quality("critical"))
    committed(tmp_path, [*runs, ahead], kept=3)
    found = keeper(tmp_path).current("fraud", "1", parse_utc(runs[-1].finished_at))
    assert found == folded(runs)
    assert fold(found, run(2, *WARNED)).open


def test_a_clock_set_back_a_little_loses_no_window(tmp_path: Path) -> None:
    """Windows that end no later than the newest one are the same time again; the next one counts."""
    state = folded(sequence([WARNED, WARNED]))
    again = dataclasses.replace(run(1, *WARNED), run_id=run(0).run_id)
    assert fold(state, again).sightings == state.sightings
    assert fold(state, run(2, *WARNED)).open


def test_results_that_cannot_be_read_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They stop nothing."""
    runs = sequence([WARNED, WARNED, WARNED, WARNED])
    committed(tmp_path, runs, kept=0)
    (tmp_path / "fraud" / "1" / runs[1].run_id / "result.json").write_bytes(b"{")
    with caplog.at_level(logging.WARNING):
        found = current(tmp_path, runs[-1])
    assert found == folded([runs[0], *runs[2:]])
    assert runs[1].run_id in caplog.text


def test_results_of_more_than_ninety_days_ago_are_not_read(tmp_path: Path) -> None:
    """A file that is made anew begins then."""
    old, new = sequence([WARNED] * 3), sequence([WARNED], first=100 * 288)
    committed(tmp_path, [*old, *new], kept=0)
    assert current(tmp_path, new[0]) == folded(new)


def test_a_folder_that_cannot_be_used_stops_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The incidents are unknown then, and nothing is written over them."""
    path = IncidentStore(tmp_path).path("fraud", "1")
    path.mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        # A folder in the file's place can be moved aside; a file in the folder's place cannot be looked into.
        assert current(tmp_path, run(0)) == Incidents("fraud", "1", "", "", ())
        (tmp_path / "loans").write_text("no folder")
        keeper(tmp_path).write(Incidents("loans", "1", "", "", ()))
    assert "cannot be written" in caplog.text


def test_the_format_of_version_1_reads_and_writes_back_every_field(tmp_path: Path) -> None:
    """The golden file is never regenerated; fields that come later are added with their defaults."""
    before = msgspec.json.decode(GOLDEN.read_bytes())
    path = IncidentStore(tmp_path).path("fraud", "1")
    path.parent.mkdir(parents=True)
    path.write_bytes(GOLDEN.read_bytes())
    found = IncidentStore(tmp_path).read("fraud", "1")
    assert found is not None
    after = msgspec.json.decode(msgspec.json.encode(found))
    assert {name: after[name] for name in before} == before
    assert [item.state for item in found.incidents] == ["resolved", "open"]


def window(number: int) -> Window:
    """A scheduled window of ten minutes that ends before NOW."""
    return Window(utc_text(NOW - 600 * (6 - number)), utc_text(NOW - 600 * (5 - number)), "scheduled")


def test_an_engine_folds_its_runs_into_incidents_and_tells_the_next_ones(tmp_path: Path) -> None:
    """Accuracy fell far: critical, an incident at once, and a reason to retrain for the runs of the next 24 hours."""
    place = Scenario(tmp_path).reference(rows(2000))
    wrong = rows(400, seed=1)
    ids = place.log(wrong, start=NOW - 3600, seconds=600)
    place.label(ids, ["no" if score > 0.5 else "yes" for score in wrong["score"]], received=NOW - 3000)
    first = place.run(window(0))
    assert first.result.alerts[0].severity == "critical"
    assert first.incidents is not None
    (incident,) = [item for item in first.incidents.open if item.alert == "performance"]
    assert IncidentStore(place.paths.reports).read("loans", "1") == first.incidents
    assert all(any(character.isdigit() for character in alert.cause) for alert in first.result.alerts)
    page = first.report.read_text()
    assert "Open incidents" in page
    assert incident.id in page
    said = io.StringIO()
    print_summary(first, said)
    assert "incident, critical: performance, first seen 2026-11-20T14:10:00Z" in said.getvalue()
    acting = Actor(place.paths.reports, RetrainingSettings(command=("true",)), lambda: NOW)
    assert [due.incident for due in acting.due("loans", "1")] == [incident]
    # Nothing is known of the next window, no rows, and of labels too few; the recommendation stands.
    later = place.run(window(1), labelled_rows_min=1_000_000)
    assert later.result.concept_drift.detected is None
    assert later.result.retraining.decision == "recommended"
    assert "within the last 24 hours" in later.result.retraining.reasons[0]
    assert later.result.retraining.recent is not None
    assert later.result.retraining.recent.run_id == first.result.run_id
    assert later.incidents is not None
    assert [item.id for item in later.incidents.open if item.alert == "performance"] == [incident.id]
    asked = place.run(dataclasses.replace(window(1), kind="adhoc"), labelled_rows_min=1_000_000)
    assert asked.result.retraining.decision == "unknown"
