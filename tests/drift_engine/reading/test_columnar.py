"""Columnar copies of sealed segments: equal to the log to the bit, and never trusted more than it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_engine.labels import gathered
from drift_engine.reading import columnar
from drift_engine.reading.collector import time_order
from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.live_log import LiveRows, read_live
from drift_engine.reading.parsing import MOMENT
from drift_engine.table import NumberColumn, Table
from gateway.clock import parse_utc, utc_text
from gateway.log import labels, predictions
from gateway.log.line import id_checksum, seal_line
from gateway.log.manifest import read_chain
from gateway.log.retention import Expiry, expire
from gateway.log.seal import seal
from gateway.log.segment import parse_name, suspect_path
from gateway.log.settings import LogSettings
from tests.drift_engine.scenario import NOW, Scenario, rows

AWKWARD = ["", "de", 'a "b", c', "two\nlines", "back\\slash", "\N{SNOWMAN}\u2028", None]
EXTREMES = [5e-324, -0.0, 1.7976931348623157e308, 0.1, -2.0, 1e16, 12345.678901234567]


def awkward(count: int, seed: int) -> dict[str, list[Any]]:
    """Rows whose texts and numbers are hard to write."""
    return rows(count, seed, country=(AWKWARD * count)[:count], amount=(EXTREMES * count)[:count])


@pytest.fixture
def made(tmp_path: Path) -> Scenario:
    """Three prediction segments that interleave in time, two label segments, nothing sealed."""
    made = Scenario(tmp_path)
    for seed in (2, 3, 4):
        found = awkward(120, seed)
        ids = made.log(found, start=NOW - 3600 + seed)
        if seed > 2:
            made.label(ids, found["label"], received=NOW - 10 + seed)
    return made


def read(made: Scenario, *, start: float = NOW - 86400, end: float = NOW) -> LiveRows:
    """The rows of a window, with the copies in the scenario's state folder."""
    moments = {"span_start": utc_text(start), "window_start": utc_text(start), "end": utc_text(end)}
    return read_live(made.paths.live, made.card, cache=ColumnCache(copies(made)), **moments)


def copies(made: Scenario) -> Path:
    """Where the copies are."""
    return made.paths.state / "columns"


def seal_all(made: Scenario) -> None:
    """Seal what can be sealed, as the scheduler's job does."""
    assert not seal(made.paths.live, lambda: NOW).failures


def bits(table: Table) -> dict[str, object]:
    """Every value of a table, floats as their bits."""
    return {
        name: column.values.view(np.int64).tolist() if isinstance(column, NumberColumn) else column.texts().tolist()
        for name, column in table.columns.items()
    }


def assert_equal(found: LiveRows, expected: LiveRows) -> None:
    """Everything that a run gets is the same."""
    assert bits(found.table) == bits(expected.table)
    assert list(found.table.columns) == list(expected.table.columns)
    assert found.times.tolist() == expected.times.tolist()
    assert found.in_window.tolist() == expected.in_window.tolist()
    assert (found.dropped, found.corrupt, found.inputs) == (expected.dropped, expected.corrupt, expected.inputs)


def scribble(made: Scenario) -> None:
    """Overwrite every segment with as many bytes of nothing: whoever reads one now, notices."""
    for path in made.paths.live.glob("*/*/*.csv"):
        path.chmod(0o644)
        path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize(("start", "end"), [(-86400, 0), (-3000, -2000), (-3600 + 2, -3600 + 3), (-5, 0)])
def test_copies_give_what_the_log_gives_to_the_bit(made: Scenario, start: float, end: float) -> None:
    """Unsealed, sealed and copied, and from the copies alone: values, order, labels, and inputs are equal."""
    window = {"start": NOW + start, "end": NOW + end}
    from_log = read(made, **window)
    seal_all(made)
    making = read(made, **window)
    scribble(made)
    from_copies = read(made, **window)
    outside = {file.path for file in from_log.inputs} - {file.path for file in making.inputs}
    assert all("labels" not in path for path in outside)
    within = tuple(file for file in from_log.inputs if file.path not in outside)
    assert_equal(making, replace(from_log, inputs=within))
    assert_equal(from_copies, making)
    assert from_log.table.rows == (360 if start == -86400 else from_log.table.rows)


def test_a_run_says_the_same_from_the_log_and_from_copies(tmp_path: Path) -> None:
    """Verdicts, figures and inputs; only the run's id and times differ."""
    made = Scenario(tmp_path).reference(rows(1000, 1))
    found = rows(300, 2)
    made.label(made.log(found), found["label"])
    first = made.run().result
    seal_all(made)
    second, third = made.run().result, made.run().result
    assert len(list(copies(made).glob("*.parquet"))) == 2
    changing = {"run_id": "", "supersedes": None, "duration_seconds": 0.0, "finished_at": ""}
    assert replace(first, **changing) == replace(second, **changing) == replace(third, **changing)


def test_a_sealed_segment_outside_the_window_is_not_opened(made: Scenario) -> None:
    """Its manifest says enough; its damage is for verification, and for runs that need its rows."""
    old = made.log(rows(50, 9), start=NOW - 90_000, seconds=100)
    seal_all(made)
    expected = read(made)
    scribble_path = next(
        path for path in predictions.segments(made.paths.live, "loans", "1") if old[0] in path.read_text()
    )
    scribble_path.chmod(0o644)
    scribble_path.write_bytes(b"garbage\n")
    assert_equal(read(made), expected)
    assert len([file for file in expected.inputs if file.log == "predictions"]) == 3
    assert read(made, start=NOW - 100_000).corrupt > 0


def test_damage_that_was_sealed_is_listed_from_the_copy_too(made: Scenario) -> None:
    """Offsets and reasons are part of the result, whichever way the rows came."""
    path = predictions.segments(made.paths.live, "loans", "1")[0]
    with open(path, "ab") as stream:
        stream.write(b"garbage\ntorn")
    from_log = read(made)
    seal_all(made)
    read(made)
    scribble(made)
    assert_equal(read(made), from_log)
    assert from_log.corrupt == 2


def test_a_damaged_line_counts_in_the_windows_that_may_have_had_it(made: Scenario) -> None:
    """From the segment and from its copy alike; a window before it, or behind it, has nothing of it."""
    path = predictions.segments(made.paths.live, "loans", "1")[0]
    lines = path.read_bytes().split(b"\n")
    around = [parse_utc(lines[number].split(b",")[2].decode()) for number in (49, 51)]
    lines[50] = b"?" + lines[50][1:]
    path.write_bytes(b"\n".join(lines))
    windows = [
        ((NOW - 86400, around[0]), 0),
        ((NOW - 86400, NOW), 1),
        ((around[0], around[1]), 1),
        ((around[0], NOW), 1),
        ((around[1] + 1e-6, NOW), 0),
    ]
    for _ in ("streamed", "copied", "from copies"):
        for (start, end), corrupt in windows:
            assert read(made, start=start, end=end).corrupt == corrupt, (start, end)
        seal_all(made)


def test_damage_before_the_window_is_of_the_runs_before_though_the_span_is_longer(made: Scenario) -> None:
    """A short window reads further back for labelled rows; their damage is not the window's."""
    path = predictions.segments(made.paths.live, "loans", "1")[0]
    lines = path.read_bytes().split(b"\n")
    lines[2] = b"?" + lines[2][1:]
    path.write_bytes(b"\n".join(lines))
    span, window, end = (utc_text(NOW - before) for before in (86400, 60, 0))
    found = read_live(
        made.paths.live, made.card, cache=ColumnCache(copies(made)), span_start=span, window_start=window, end=end
    )
    assert found.corrupt == 0
    assert sum(file.corrupt_lines for file in found.inputs) == 1


def truncated(copy: Path) -> None:
    """Cut a copy in half."""
    copy.write_bytes(copy.read_bytes()[: copy.stat().st_size // 2])


def emptied(copy: Path) -> None:
    """As after a power cut."""
    copy.write_bytes(b"")


def exchanged(copy: Path) -> None:
    """Put the copy of another segment in its place, with its checksum."""
    other = next(path for path in sorted(copy.parent.glob("*.parquet")) if path != copy)
    for suffix in (".parquet", ".crc32"):
        shutil.copy(other.with_suffix(suffix), copy.with_suffix(suffix))


def without_checksum(copy: Path) -> None:
    """As after a crash between the two files of a copy."""
    copy.with_suffix(".crc32").unlink()


@pytest.mark.parametrize("harm", [Path.unlink, truncated, emptied, exchanged, without_checksum])
def test_a_copy_that_is_absent_or_wrong_is_made_anew(made: Scenario, harm: Callable[[Path], None]) -> None:
    """Deleting or damaging the cache costs time and nothing else."""
    seal_all(made)
    expected = read(made)
    for copy in sorted(copies(made).glob("*.parquet")):
        before = copy.read_bytes()
        harm(copy)
        assert_equal(read(made), expected)
        assert copy.stat().st_size == len(before)


def test_a_flipped_byte_in_a_copy_never_changes_what_is_read(tmp_path: Path) -> None:
    """In its data, its headers, its footer or its checksum: a copy is right or is made anew."""
    made = Scenario(tmp_path)
    made.log(awkward(40, 2))
    seal_all(made)
    expected = bits(read(made).table)
    rng = np.random.default_rng(7)
    for kind, flips in (("parquet", 300), ("crc32", 8)):
        (copy,) = copies(made).glob(f"*.{kind}")
        good = copy.read_bytes()
        for offset in rng.choice(len(good), flips, replace=False):
            copy.write_bytes(good[:offset] + bytes([good[offset] ^ (1 << int(rng.integers(8)))]) + good[offset + 1 :])
            assert bits(read(made).table) == expected, offset


def test_a_segment_that_was_edited_after_sealing_gets_no_copy_and_is_named(made: Scenario) -> None:
    """Even when each line's checksum was made right again."""
    seal_all(made)
    path = predictions.segments(made.paths.live, "loans", "1")[0]
    lines = path.read_bytes().split(b"\n")
    lines[1], lines[2] = lines[2], lines[1]
    path.chmod(0o644)
    path.write_bytes(b"\n".join(lines))
    found = read(made)
    (named,) = [file for file in found.inputs if file.corrupt_lines]
    assert named.corrupt[0].reason == "the file is not as it was sealed"
    assert found.table.rows == 360
    assert not (copies(made) / f"{named.segment}.parquet").exists()


def test_a_segment_with_a_value_that_does_not_parse_is_read_from_the_log(made: Scenario) -> None:
    """Its rows are dropped and counted by the window they fall in, sealed or not."""
    path = predictions.segments(made.paths.live, "loans", "1")[0]
    lines = path.read_bytes().split(b"\n")
    fields = lines[3].split(b",")
    fields[5] = b"much"
    lines[3] = seal_line(int(fields[0]), b",".join(fields[1:-1]), id_checksum(parse_name(path).segment_id))[:-1]
    path.write_bytes(b"\n".join(lines))
    from_log = read(made)
    seal_all(made)
    assert_equal(read(made), from_log)
    assert from_log.dropped == {"unreadable value": 1}
    assert len(list(copies(made).glob("*.parquet"))) == 4


def test_where_no_copy_can_be_written_the_log_is_read(made: Scenario, caplog: pytest.LogCaptureFixture) -> None:
    """A cache is a convenience: a run does not depend on it."""
    from_log = read(made)
    seal_all(made)
    copies(made).parent.mkdir(parents=True)
    copies(made).write_text("in the way")
    assert_equal(read(made), from_log)
    assert "no columnar copy" in caplog.text


def fifo_as_copy(copy: Path) -> None:
    """The copy itself."""
    copy.unlink()
    os.mkfifo(copy)


def fifo_as_checksum(copy: Path) -> None:
    """The file beside it."""
    copy.with_suffix(".crc32").unlink()
    os.mkfifo(copy.with_suffix(".crc32"))


@pytest.mark.parametrize("harm", [fifo_as_copy, fifo_as_checksum])
def test_a_copy_that_is_no_file_is_made_anew_and_not_waited_for(made: Scenario, harm: Callable[[Path], None]) -> None:
    """A FIFO in a cache is a copy that cannot be used."""
    seal_all(made)
    expected = read(made)
    copy = sorted(copies(made).glob("*.parquet"))[0]
    harm(copy)
    assert_equal(read(made), expected)
    assert copy.is_file()
    assert copy.with_suffix(".crc32").is_file()


@pytest.mark.parametrize("is_copied", [False, True])
def test_what_stands_in_the_place_of_a_sealed_segment_is_not_read(made: Scenario, is_copied: bool) -> None:
    """A FIFO, or a link to the very file: named as unreadable, with or without a copy of what was there."""
    seal_all(made)
    if is_copied:
        read(made)
    fifo, link, _ = predictions.segments(made.paths.live, "loans", "1")
    fifo.unlink()
    os.mkfifo(fifo)
    link.rename(made.paths.data / "moved")
    link.symlink_to(made.paths.data / "moved")
    found = read(made)
    reasons = {file.path.rpartition("/")[2]: file.corrupt[0].reason for file in found.inputs if file.corrupt_lines}
    assert reasons == dict.fromkeys((fifo.name, link.name), "is no regular file")
    assert found.table.rows == 120


def when_listed(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let something happen between a run's listing of the prediction log and its first look at a file."""
    listed = predictions.segments

    def list_then_act(*arguments: Any) -> list[Path]:
        found = listed(*arguments)
        act()
        return found

    monkeypatch.setattr(predictions, "segments", list_then_act)


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_segment_that_expires_while_a_run_begins_is_no_damage(
    made: Scenario, monkeypatch: pytest.MonkeyPatch, is_copied: bool
) -> None:
    """Retention deleted it after the folder was listed: its rows are counted as expired, and nothing as corrupt."""
    made.log(awkward(50, 9), start=NOW - 80_000)
    seal_all(made)
    if is_copied:
        read(made)
    limit = LogSettings(retention_days=1)
    when_listed(monkeypatch, lambda: assert_expired(1, expire(made.paths.live, limit, NOW + 10_000)))
    found = read(made)
    assert (found.table.rows, found.corrupt, found.dropped) == (360, 0, {"expired meanwhile": 50})
    assert not any(file.corrupt for file in found.inputs)


def assert_expired(count: int, done: Expiry) -> None:
    """That an expiry deleted so many segments."""
    assert (len(done.expired), done.failures) == (count, ())


def test_a_segment_that_somebody_deletes_while_a_run_begins_is_missing(
    made: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the chain lets it go: it is named, sealed or not."""
    for sealing in (lambda: None, lambda: seal_all(made)):
        sealing()
        lost = predictions.segments(made.paths.live, "loans", "1")[0]
        with monkeypatch.context() as patch:
            when_listed(patch, lost.unlink)
            found = read(made)
        (named,) = [file for file in found.inputs if file.corrupt]
        assert (named.path, named.corrupt[0].reason) == (lost.relative_to(made.paths.live).as_posix(), "is missing")
        assert (found.corrupt, found.dropped) == (1, {})


def give_up(path: Path) -> None:
    """As a writer does after a failed sync."""
    path.rename(suspect_path(path))


def test_a_segment_that_turns_suspect_while_a_run_begins_is_read_under_its_new_name(
    made: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows were answered: giving a segment up must not hide them from the run."""
    expected = read(made)
    path = predictions.segments(made.paths.live, "loans", "1")[0]
    with monkeypatch.context() as patch:
        when_listed(patch, lambda: give_up(path))
        found = read(made)
    assert (found.table.rows, found.corrupt, found.dropped) == (360, 0, {})
    assert bits(found.table) == bits(expected.table)
    assert suspect_path(path).relative_to(made.paths.live).as_posix() in [file.path for file in found.inputs]


def test_copies_of_expired_segments_and_unused_ones_are_deleted(made: Scenario) -> None:
    """What retention deleted must not live on in a cache, and a cache must not grow for ever."""
    seal_all(made)
    read(made)
    cache = ColumnCache(copies(made))
    one, two, *others = sorted(copies(made).glob("*.parquet"))
    stray, fresh = copies(made) / ".tmp-1-x.parquet", copies(made) / ".tmp-2-x.parquet"
    for path in (stray, fresh):
        path.touch()
    extra = [path.with_suffix(".crc32") for path in others]
    long_ago = time.time() - columnar.UNUSED_SECONDS_MAX - 1
    for path in (two, two.with_suffix(".crc32"), stray):
        os.utime(path, (long_ago, long_ago))
    cache.prune(set(read_chain(made.paths.live).present) - {one.stem})
    assert sorted(copies(made).iterdir()) == sorted([*others, *extra, fresh])
    read(made)
    assert one.exists()


def test_labels_of_other_predictions_are_let_go_without_effect(made: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """The label log may be far larger than the window: the same labels are found."""
    window = {"start": NOW - 2500, "end": NOW - 2000}
    expected = read(made, **window)
    monkeypatch.setattr(gathered, "LABELS_HELD", 50)
    assert_equal(read(made, **window), expected)
    labelled = [text for text in bits(expected.table)["label"] if text is not None]  # type: ignore[attr-defined]
    assert len(labelled) > 20
    assert len(labels.segments(made.paths.live, "loans")) == 2


def test_memory_for_labels_is_that_of_the_windows_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many labels there are for others, and although most of both have no client_id."""
    monkeypatch.setattr(gathered, "LABELS_HELD", 50)
    keys = pa.table({"request_id": ["a", "b"], "client_id": pa.array([None, "c"], pa.string()), "instance": [0.0, 0.0]})
    times = pa.array([0] * 60, MOMENT)
    texts = {"request_id": ["a", *["x"] * 57, None, None], "client_id": [*[None] * 58, "c", "y"]}
    table = pa.table({**texts, "instance": [0.0] * 60, "label": ["yes"] * 60, "received_at": times})
    known = gathered.Gathered(keys, np.zeros(2, dtype=np.int64), table.slice(0, 0), window=(0, 1))
    for _ in range(3):
        known.add(table)
    assert known.held == 3 * 2
    matched = known.matched()
    assert matched.newest(np.array([1, 0]), is_number=False).codes.tolist() == [0, 0]  # type: ignore[union-attr]
    assert (matched.joined.repeated, matched.elsewhere) == (4, 3 * 58)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.integers(0, 2)), max_size=40),
)
def test_order_is_by_time_then_request_then_instance(found: list[tuple[int, str, int]]) -> None:
    """As sorting the tuples does, whatever the order they came in; equal ones keep theirs."""
    times = np.array([row[0] for row in found], dtype=np.int64)
    keys = pa.table(
        {
            "request_id": pa.array([row[1] for row in found], pa.string()),
            "client_id": pa.array([None] * len(found), pa.string()),
            "instance": pa.array([float(row[2]) for row in found], pa.float64()),
        }
    )
    assert time_order(times, keys).tolist() == sorted(range(len(found)), key=lambda at: found[at])
