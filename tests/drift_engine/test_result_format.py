"""Contract 3 on disk: `result.json` and `latest.json` of version 1 stay readable and stay as they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from drift_engine.results import store
from drift_engine.results.store import (
    Latest,
    ResultError,
    ResultStore,
    encode_latest,
    encode_result,
    read_result,
)
from gateway.files import write_atomically
from tests.results import result

GOLDEN = Path(__file__).parent / "golden"


def test_a_result_of_version_1_reads_and_writes_back_the_same_bytes() -> None:
    """The golden file was written by a run over the scenario of these tests and is never regenerated."""
    path = GOLDEN / "result-v1.json"
    assert encode_result(read_result(path)) == path.read_bytes()


def test_a_pointer_of_version_1_reads_and_writes_back_the_same_bytes(tmp_path: Path) -> None:
    """So do the files that name the newest run."""
    data = (GOLDEN / "latest-v1.json").read_bytes()
    home = tmp_path / "loans" / "1"
    home.mkdir(parents=True)
    (home / "latest.json").write_bytes(data)
    latest = ResultStore(tmp_path).latest("loans", "1")
    assert isinstance(latest, Latest)
    assert encode_latest(latest) == data


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """By both readers, by version and not by luck."""
    path = tmp_path / "result.json"
    path.write_bytes(encode_result(dataclasses.replace(result(), format_version=2)))
    with pytest.raises(ResultError, match="newer"):
        read_result(path)
    home = tmp_path / "loans" / "1"
    home.mkdir(parents=True)
    golden = (GOLDEN / "latest-v1.json").read_text()
    (home / "latest.json").write_text(golden.replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(ResultError, match="newer"):
        ResultStore(tmp_path).latest("loans", "1")


def test_an_older_window_does_not_move_the_pointer(tmp_path: Path) -> None:
    """A run over last week is complete and listed, but the newest stays the newest."""
    store = ResultStore(tmp_path)
    newest = result()
    older = dataclasses.replace(
        newest,
        run_id=newest.run_id + "-old",
        window=dataclasses.replace(
            newest.window, start="2020-01-01T00:00:00.000000Z", end="2020-01-02T00:00:00.000000Z"
        ),
    )
    store.commit(newest, b"<html></html>", 10.0)
    store.commit(older, b"<html></html>", 20.0)
    latest = store.latest(newest.model_name, newest.model_version)
    assert latest is not None
    assert latest.run_id == newest.run_id
    assert len(store.runs()) == 2


def test_the_last_good_run_is_remembered_over_later_ones_that_were_not(tmp_path: Path) -> None:
    """So that staleness counts from the last verdict."""
    store = ResultStore(tmp_path)
    good = result()
    thin = dataclasses.replace(
        good,
        run_id=good.run_id + "-thin",
        outcome="insufficient_data",
        window=dataclasses.replace(good.window, end="2030-01-01T00:00:00.000000Z"),
    )
    store.commit(good, b"", 10.0)
    store.commit(thin, b"", 20.0)
    latest = store.latest(good.model_name, good.model_version)
    assert latest is not None
    assert (latest.run_id, latest.outcome) == (thin.run_id, "insufficient_data")
    assert (latest.last_ok_run_id, latest.last_ok_finished_at) == (good.run_id, 10.0)


@pytest.mark.parametrize(
    ("outcome", "next_start"), [("ok", "end"), ("insufficient_data", "start"), ("failed", "start")]
)
def test_a_scheduled_run_says_where_the_next_one_starts_and_an_ad_hoc_run_does_not(
    tmp_path: Path, outcome: Any, next_start: str
) -> None:
    """Rows of a window without a verdict are taken again; looking at some other hour in between loses no row."""
    base = result()
    window = dataclasses.replace(base.window, kind="scheduled")
    scheduled = dataclasses.replace(base, outcome=outcome, window=window)
    adhoc = dataclasses.replace(window, kind="adhoc", end="2030-01-01T00:00:00.000000Z")
    other = dataclasses.replace(base, run_id=base.run_id + "-adhoc", window=adhoc)
    for order in ((scheduled, other), (other, scheduled)):
        store = ResultStore(tmp_path / order[0].run_id)
        for run in order:
            store.commit(run, b"", 10.0)
        latest = store.latest(base.model_name, base.model_version)
        assert latest is not None
        assert latest.run_id == other.run_id
        assert latest.scheduled_from == getattr(window, next_start)


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_write_that_fails_leaves_the_newest_run_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Report, result, pointer: whichever cannot be written, readers see the run before, and nothing by halves."""
    written = ResultStore(tmp_path)
    before = result()
    written.commit(before, b"<html></html>", 10.0)
    after = dataclasses.replace(
        before,
        run_id=before.run_id + "-next",
        window=dataclasses.replace(before.window, end="2030-01-01T00:00:00.000000Z"),
    )
    calls = 0

    def full(target: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(28, "No space left on device")
        write_atomically(target, data)

    monkeypatch.setattr(store, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        written.commit(after, b"<html></html>", 20.0)
    latest = written.latest(before.model_name, before.model_version)
    assert latest is not None
    assert latest.run_id == before.run_id
    # A result that only lacks the pointer is complete, and listed.
    assert len(written.runs()) == (2 if failing == 3 else 1)
    assert all(read_result(run.folder / "result.json") for run in written.runs())
