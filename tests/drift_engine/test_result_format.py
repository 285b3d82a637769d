"""Contract 3 on disk: `result.json` and `latest.json` of version 1 stay readable and stay as they are."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drift_engine.results import store
from drift_engine.results.schema import Window
from drift_engine.results.store import (
    Latest,
    ResultError,
    ResultStore,
    encode_latest,
    encode_result,
    read_result,
)
from gateway.clock import parse_utc, utc_text
from gateway.files import write_atomically
from tests.results import later, result

GOLDEN = Path(__file__).parent / "golden"
IN_2020 = parse_utc("2020-06-01T00:00:00Z")
IN_2031 = parse_utc("2031-01-01T00:00:00Z")


def test_a_result_of_version_1_reads_and_writes_back_the_same_values() -> None:
    """The golden file was written by a run over the scenario of these tests and is never regenerated."""
    path = GOLDEN / "result-v1.json"
    golden = msgspec.json.decode(path.read_bytes())
    again = msgspec.json.decode(encode_result(read_result(path)))
    # Fields that the format has gained since are at their defaults.
    assert {name: again[name] for name in golden} == golden


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
    store.commit(newest, b"<html></html>", IN_2031)
    store.commit(older, b"<html></html>", IN_2031 + 10)
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
    store.commit(good, b"", IN_2031)
    store.commit(thin, b"", IN_2031 + 10)
    latest = store.latest(good.model_name, good.model_version)
    assert latest is not None
    assert (latest.run_id, latest.outcome) == (thin.run_id, "insufficient_data")
    assert (latest.last_ok_run_id, latest.last_ok_finished_at) == (good.run_id, IN_2031)


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
            store.commit(run, b"", IN_2031)
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
    written.commit(before, b"<html></html>", IN_2031)
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
        written.commit(after, b"<html></html>", IN_2031 + 10)
    latest = written.latest(before.model_name, before.model_version)
    assert latest is not None
    assert latest.run_id == before.run_id
    # A result that only lacks the pointer is complete, and listed.
    assert len(written.runs()) == (2 if failing == 3 else 1)
    assert all(read_result(run.folder / "result.json") for run in written.runs())


def damaged(field: str, value: str | None) -> bytes:
    """The golden pointer with another value in one field."""
    pointer = msgspec.json.decode((GOLDEN / "latest-v1.json").read_bytes())
    return msgspec.json.encode(pointer | {field: value})


DAMAGED_POINTERS = {
    "empty": b"",
    "garbage": b"\x00\xff garbage",
    "no text": b'{"run_id": "\xff"}',
    "deep": b'{"a":' + b"[" * 200_000,
    "other json": b"[]",
    "window_end": damaged("window_end", "soon"),
    "short": damaged("window_end", "2026-11-20T15:00:00Z"),
    "no such day": damaged("window_start", "2026-02-30T15:00:00.000000Z"),
    "scheduled_from": damaged("scheduled_from", "9" * 27),
    "absent field": damaged("window_end", None),
}


@pytest.mark.parametrize("name", DAMAGED_POINTERS)
def test_a_damaged_pointer_is_said_moved_aside_and_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Readers refuse it; the next run, of any window, keeps it aside and names the newest complete run again."""
    written = ResultStore(tmp_path)
    window = dataclasses.replace(result().window, kind="scheduled")
    first = dataclasses.replace(result(), window=window)
    thin = dataclasses.replace(later(first, 300), outcome="insufficient_data")
    cut = later(first, 600, 3)
    for run in (first, thin, cut):
        folder = written.commit(run, b"", parse_utc(run.finished_at))
    (folder / "result.json").write_bytes(encode_result(cut)[:-200])
    pointer = written.folder(first.model_name, first.model_version) / "latest.json"
    pointer.write_bytes(DAMAGED_POINTERS[name])
    with pytest.raises(ResultError, match=r"latest\.json"):
        written.latest(first.model_name, first.model_version)
    old = dataclasses.replace(first, run_id="old", window=Window(utc_text(IN_2020 - 60), utc_text(IN_2020), "adhoc"))
    with caplog.at_level(logging.WARNING):
        written.commit(old, b"", parse_utc(cut.finished_at) + 10)
    latest = written.latest(first.model_name, first.model_version)
    assert latest is not None
    assert (latest.run_id, latest.outcome, latest.window_end) == (thin.run_id, thin.outcome, thin.window.end)
    assert latest.finished_at == parse_utc(thin.finished_at)
    assert (latest.last_ok_run_id, latest.scheduled_from) == (first.run_id, thin.window.start)
    assert pointer.with_name("latest.json.damaged-old").read_bytes() == DAMAGED_POINTERS[name]
    assert len(caplog.messages) == 1
    assert "latest.json.damaged-old" in caplog.text


def test_a_pointer_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    """Also by a run that is not the newest."""
    written = ResultStore(tmp_path)
    first, second = result(), later(result(), 300)
    written.commit(second, b"", parse_utc(second.finished_at))
    (written.folder(first.model_name, first.model_version) / "latest.json").unlink()
    written.commit(first, b"", parse_utc(second.finished_at))
    latest = written.latest(first.model_name, first.model_version)
    assert latest is not None
    assert latest.run_id == second.run_id


def test_a_pointer_from_the_future_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A clock was ahead once: the run of now becomes the newest, and that is said. Minutes are no future."""
    written = ResultStore(tmp_path)
    window = dataclasses.replace(result().window, kind="scheduled")
    before = dataclasses.replace(result(), window=window)
    ahead, ahead_little = later(before, 86400 * 365), later(before, 900, 3)
    now, little = later(before, 300, 4), parse_utc(ahead_little.window.end) - 290
    written.commit(before, b"", parse_utc(before.finished_at))
    written.commit(ahead, b"", parse_utc(ahead.finished_at))
    with caplog.at_level(logging.WARNING):
        written.commit(dataclasses.replace(now, outcome="failed"), b"", parse_utc(now.finished_at))
    latest = written.latest(before.model_name, before.model_version)
    assert latest is not None
    assert (latest.run_id, latest.last_ok_run_id) == (now.run_id, before.run_id)
    assert latest.scheduled_from == now.window.start
    assert len(caplog.messages) == 1
    assert "speaks of the future" in caplog.text
    written.commit(ahead_little, b"", parse_utc(ahead_little.finished_at))
    written.commit(later(before, 600, 5), b"", little)
    latest = written.latest(before.model_name, before.model_version)
    assert latest is not None
    assert latest.run_id == ahead_little.run_id
    assert len(caplog.messages) == 1
