"""What is a cause to act, and what is none; how actions are remembered."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

from drift_engine.actions.act import Actor
from drift_engine.actions.settings import RetrainingSettings
from drift_engine.incidents.fold import fold
from drift_engine.results import ResultStore
from drift_engine.results.actions import Action, ActionLog, Begun, Ended
from drift_engine.results.incidents import Incidents, IncidentStore
from drift_engine.results.schema import Alert, Window
from drift_engine.results.store import run_time
from gateway.clock import utc_text
from tests.drift_engine.actions.place import NAME, Place, python
from tests.incidents import blind


def test_nothing_is_done_without_cause(place: Place) -> None:
    """Not without a setting, not for another matter, not on another decision, not for what was seen long ago."""
    assert "nothing is set" in place.act().stdout
    for state in (
        Incidents(NAME, "1", "", "", ()),
        dataclasses.replace(place.bad(), incidents=()),
    ):
        IncidentStore(place.reports).write(state)
        assert place.act(command=python("1/0")).returncode == 0
    drift = Alert("column_drift", "critical", "x0: far", "x0")
    place.bad(drift, seconds_ago=30)
    assert place.act(command=python("1/0")).returncode == 0
    place.bad(seconds_ago=20, decision="watch")
    assert place.act(command=python("1/0")).returncode == 0
    assert place.actions == ()


def test_an_incident_that_was_not_seen_for_a_day_is_no_cause(registered: Path, tmp_path: Path) -> None:
    """It stays open while nothing can be told; that is no reason to act now."""
    shutil.copytree(registered, tmp_path / "root")
    old = Place(tmp_path / "root")
    assert old.bad(seconds_ago=25 * 3600).open
    assert old.act(command=python("1/0")).returncode == 0
    assert old.actions == ()


def actor(place: Place, now: float, **settings: object) -> Actor:
    """An actor whose clock stands at `now`."""
    return Actor(place.reports, RetrainingSettings(**settings), lambda: now)  # type: ignore[arg-type]


def test_between_two_actions_of_a_model_lies_the_cool_down(place: Place) -> None:
    """Whatever its version. The next incident is not forgotten: it has its turn afterwards."""
    now = time.time()
    acting = actor(place, now, command=("true",), webhook="http://127.0.0.1:9/")
    log = ActionLog(place.reports)
    before = Begun(utc_text(now - 23 * 3600), "command", "performance-of-version-0", "true", "run", ())
    log.append(NAME, "0", before)
    assert [due.kind for due in acting.due(NAME, "1")] == ["webhook"]
    later = actor(place, now + 3601, command=("true",))
    assert [due.kind for due in later.due(NAME, "1")] == ["command"]
    hasty = actor(place, now, command=("true",), cooldown_hours=1.0)
    assert [due.kind for due in hasty.due(NAME, "1")] == ["command"]


def test_an_action_of_the_future_was_begun_by_a_wrong_clock(place: Place) -> None:
    """It does not hold up the next incident's; its own is done once all the same."""
    now = time.time()
    log = ActionLog(place.reports)
    log.append(NAME, "1", Begun(utc_text(now + 10**7), "command", "another", "true", "run", ()))
    acting = actor(place, now, command=("true",))
    (due,) = acting.due(NAME, "1")
    log.append(NAME, "1", Begun(utc_text(now + 10**7), "command", due.incident.id, "true", "run", ()))
    assert acting.due(NAME, "1") == ()


def test_what_cannot_be_read_is_no_licence_to_act(place: Place) -> None:
    """A damaged line may have been the one that says it was done. A torn last one was never synced."""
    begun = place.act(command=python("pass"))
    assert begun.returncode == 0
    path = ActionLog(place.reports).path(NAME, "1")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"begun", b"b\x00gun"))
    refused = place.act(command=python("pass"))
    assert refused.returncode == 1
    assert "actions.jsonl" in refused.stderr
    path.write_bytes(whole.replace(b'"format_version":1', b'"format_version":2'))
    assert "newer" in place.act(command=python("pass")).stderr
    assert path.read_bytes().count(b"\n") == 2


def test_a_torn_last_line_is_cut_off_by_the_next_writer(place: Place) -> None:
    """Cut at every byte: what was synced before it stays, and what was not says nothing."""
    log = ActionLog(place.reports)
    first = Begun(utc_text(0), "command", "one", "true", "run", ("why",))
    second = Ended(utc_text(1), "command", "one", "ok", 0, "", "said")
    log.append(NAME, "1", first)
    whole = log.path(NAME, "1").read_bytes()
    log.append(NAME, "1", second)
    both = log.path(NAME, "1").read_bytes()
    for size in range(len(both) + 1):
        log.path(NAME, "1").write_bytes(both[:size])
        expected = () if size < len(whole) else (Action(first, second if size == len(both) else None),)
        assert log.read(NAME, "1") == expected
        log.append(NAME, "1", dataclasses.replace(first, incident="two"))
        assert log.read(NAME, "1")[:-1] == expected
        assert log.read(NAME, "1")[-1].begun.incident == "two"


def test_the_format_of_version_1_reads_and_writes_back_the_same_bytes(tmp_path: Path) -> None:
    """The golden file is never regenerated: one action that failed, and one that was cut short."""
    golden = (Path(__file__).parents[1] / "golden" / "actions-v1.jsonl").read_bytes()
    log = ActionLog(tmp_path)
    log.path(NAME, "1").parent.mkdir(parents=True)
    log.path(NAME, "1").write_bytes(golden)
    failed, cut_short = log.read(NAME, "1")
    assert failed.ended is not None
    assert (failed.ended.code, cut_short.ended) == (2, None)
    for line in (failed.begun, failed.ended, cut_short.begun):
        log.append(NAME, "2", line)
    assert log.path(NAME, "2").read_bytes() == golden


def test_one_that_cannot_be_recorded_is_not_done(place: Place) -> None:
    """A folder stands where the record should be."""
    place.act(command=python("pass"))
    path = ActionLog(place.reports).path(NAME, "1")
    path.unlink()
    path.mkdir()
    done = place.act(command=python("raise SystemExit(0)"))
    assert done.returncode == 1
    assert list(path.iterdir()) == []


def test_the_newest_window_without_a_verdict_changes_nothing(place: Place) -> None:
    """The incident's own newest run decides, which is the one whose report shows it."""
    end = time.time() - 10
    later = dataclasses.replace(
        blind(0),
        run_id=f"{run_time(end)}-000002",
        model_name=NAME,
        window=Window(utc_text(end - 30), utc_text(end), "scheduled"),
    )
    ResultStore(place.reports).commit(later, b"<html>", end + 1)
    state = IncidentStore(place.reports).read(NAME, "1")
    IncidentStore(place.reports).write(fold(state, later))
    assert place.act(command=python("pass")).returncode == 0
    assert len(place.actions) == 1
