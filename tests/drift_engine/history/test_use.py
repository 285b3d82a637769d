"""What the history is for: the trend of a run, the command, and records that stay readable."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from drift_engine import exit_codes
from drift_engine.results.days import DayError, DayRecord, DayStore, Review
from drift_engine.results.schema import Window
from gateway.clock import utc_text
from gateway.locks import locked
from gateway.log import seal
from tests.drift_engine.history.place import DAY, TODAY, day_text, history, records, scenario
from tests.drift_engine.scenario import NOW, Scenario, rows
from tests.drift_engine.test_reproduce import environment, registered
from tests.drift_engine.test_result_format import GOLDEN, kept


def test_the_run_takes_the_trend_from_the_history_and_reproduce_takes_it_from_the_result(tmp_path: Path) -> None:
    """Quality falls by day: concept drift, though the window's own labels are too few; and the run can be repeated."""
    from drift_engine.reproduce import reproduce

    made = registered(Scenario(tmp_path).reference(rows(1000, 1)))
    for back in range(16, 0, -1):
        found = rows(400, back)
        wrong = rows(400, back, score=[0.99 if label == "no" else 0.01 for label in found["label"]])
        right = rows(400, back, score=[0.01 if label == "no" else 0.99 for label in found["label"]])
        share = 40 if back > 6 else 40 + 30 * (7 - back)
        mixed = {name: [*wrong[name][:share], *right[name][share:]] for name in right}
        made.label(made.log(mixed, start=TODAY - back * DAY, seconds=DAY - 60), mixed["label"], received=NOW - 3600)
    seal.seal(made.paths.live, lambda: NOW)
    window = Window(utc_text(NOW - 3600), utc_text(NOW), "adhoc")
    assert made.run(window, performance_days=0.0).result.concept_drift.trend is None
    history(made)
    committed = made.run(window, performance_days=0.0)
    concept = committed.result.concept_drift
    assert (concept.detected, concept.severity) == (True, "warning")
    assert concept.trend is not None
    assert concept.trend.declining is True
    assert "declining" in concept.reason
    assert "wrong more often" in committed.result.diagnosis
    page = committed.report.read_text()
    assert "What it means" in page
    assert "Over days: accuracy was" in page
    before = Window(utc_text(TODAY - 7 * DAY), utc_text(TODAY - 6 * DAY), "adhoc")
    earlier = made.run(before, performance_days=0.0).result
    assert earlier.concept_drift.trend is not None
    assert earlier.concept_drift.trend.declining is not True
    found_again = reproduce(made.paths, committed.result.run_id)
    assert found_again.differences == ()
    assert any("trend over days is taken as recorded" in note for note in found_again.notes)


def command(made: Scenario, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as people and the scheduler start it."""
    return subprocess.run(
        [sys.executable, "-m", "drift_engine", "history", *arguments],
        cwd=Path(__file__).resolve().parents[3],
        env=os.environ | environment(made),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command(tmp_path: Path) -> None:
    """Says what it made, then that nothing is new; one at a time; wrong use is told apart."""
    made, told = scenario(tmp_path, (2, 1))
    made.label(*told[2], received=NOW - 50)
    first = command(made, "--days", "3660")
    assert first.returncode == exit_codes.OK, first.stderr
    assert first.stdout.startswith("loans: 2 days made, 0 of them scored again\n")
    assert f"  1 {day_text(2)}: 300 predictions, 300 labelled, accuracy 0." in first.stdout
    assert command(made, "--quiet").stdout == "loans: up to date\n"
    with locked(made.paths.state / "locks" / "history-loans.lock", "this"):
        assert command(made, "--quiet").returncode == exit_codes.BUSY
    assert command(made, "--name", "nobody").returncode == exit_codes.USAGE
    assert command(made, "--days", "3").returncode == exit_codes.USAGE
    assert command(made, "--version", "1").returncode == exit_codes.USAGE
    folder = DayStore(made.paths.reports).folder("loans", "1")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    failed = command(made, "--quiet", "--days", "3660")
    assert failed.returncode == exit_codes.FAILED
    assert "Traceback" not in failed.stderr


def test_records_of_version_1_stay_readable() -> None:
    """The golden files were written by a job over the logs of these tests and are never regenerated."""
    for name, kind in (("day-v1.json", DayRecord), ("review-v1.json", Review)):
        data = (GOLDEN / name).read_bytes()
        before, after = msgspec.json.decode(data), msgspec.json.encode(msgspec.json.decode(data, type=kind))
        assert kept(before, msgspec.json.decode(after)) == before


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """By version, and not by luck; and no job replaces it by less."""
    made, _ = scenario(tmp_path, (1,))
    history(made)
    store = DayStore(made.paths.reports)
    record = records(made)[day_text(1)]
    store.write(dataclasses.replace(record, format_version=2), None)
    for _ in range(2):
        with pytest.raises(DayError, match="newer"):
            store.read("loans", "1", day_text(1))
        assert history(made) == []
