"""Retention of reports: old pages go, figures stay, and the newest run keeps its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from drift_engine.results import ResultStore
from drift_engine.results.__main__ import main
from drift_engine.results.retention import expire_reports
from tests import results
from tests.results import NOON, later

DAY = 86400


def pages(store: ResultStore) -> list[bool]:
    """Whether each run, newest first, still has its page."""
    return [(place.folder / "report.html").exists() for place in store.runs()]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Three runs, one a day: the first with a verdict, the later ones without."""
    for run in (results.result(), later(results.insufficient(), DAY), later(results.insufficient(), 2 * DAY)):
        results.commit(tmp_path, run)
    return ResultStore(tmp_path)


def test_old_pages_go_and_figures_stay(store: ResultStore) -> None:
    """Of three old runs the middle one loses its page: the newest and the last with a verdict are still shown."""
    assert pages(store) == [True, True, True]
    done = expire_reports(store, 7, NOON + 100 * DAY)
    assert pages(store) == [True, False, True]
    assert [place.run_id for place in done.runs] == [store.runs()[1].run_id]
    assert done.freed_bytes > 0
    assert store.result("fraud", "1", done.runs[0].run_id).outcome == "insufficient_data"
    assert expire_reports(store, 7, NOON + 100 * DAY).runs == ()


def test_young_pages_stay(store: ResultStore) -> None:
    """The limit counts from the start of the run."""
    assert expire_reports(store, 7, NOON + 8 * DAY - 60).runs == ()


def test_without_a_readable_pointer_every_page_stays(store: ResultStore) -> None:
    """Nobody knows then which run is the newest."""
    (store.folder("fraud", "1") / "latest.json").write_text("{")
    assert expire_reports(store, 7, NOON + 100 * DAY).runs == ()


def test_the_command_is_off_by_default(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No setting, no deletion; with one, a line says what went."""
    monkeypatch.setenv("SENTINEL_PATHS_REPORTS", str(store.reports))
    assert main(["expire"]) == 0
    assert "reports are kept" in capsys.readouterr().out
    monkeypatch.setenv("SENTINEL_LOG_REPORTS_DAYS", "1")
    assert main(["expire"]) == 0
    monkeypatch.setenv("SENTINEL_LOG_REPORTS_DAYS", "0")
    assert main(["expire"]) == 2
