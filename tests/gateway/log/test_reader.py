"""Scanning: every intact row survives any damage, and no damage passes for a row."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gateway.clock import utc_text
from gateway.log import predictions
from gateway.log.reader import Damage, SegmentScan, SegmentStream, scan
from gateway.log.segment import UnreadableSegment, create, segments
from gateway.log.writer import SegmentWriter
from tests.gateway.cards import NUMBERS_AND_TEXT, card
from tests.gateway.log.rows import COLUMNS, HEADER, parse, payload, segment_of

ROWS = 4


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """A closed segment of four rows."""
    return segment_of(tmp_path, ROWS)


def test_an_undamaged_segment_reads_with_a_bare_read_csv(segment: Path) -> None:
    """Anyone can look at the log with pandas and no program of ours."""
    frame = pd.read_csv(segment)
    assert list(frame.columns) == [column.name for column in COLUMNS]
    assert list(frame["seq"]) == [0, 1, 2, 3]
    assert list(frame["feature.timestamp"]) == [0.1] * ROWS
    assert frame["known"].dtype == bool


def test_cut_at_every_byte_each_earlier_row_survives_and_none_is_invented(segment: Path) -> None:
    """A torn write leaves exactly the rows whose LF is inside."""
    whole = segment.read_bytes()
    for length in range(len(whole)):
        segment.write_bytes(whole[:length])
        found = scan(segment, COLUMNS)
        assert found.rows == max(0, whole[:length].count(b"\n") - 1)
        assert bool(found.damage) == (length > 0 and whole[length - 1 : length] != b"\n")


def test_every_flipped_byte_is_found_and_costs_at_most_the_rows_it_touches(segment: Path) -> None:
    """No byte can change unnoticed; a lost LF joins two rows, any other flip harms one."""
    whole = segment.read_bytes()
    for offset, byte in enumerate(whole):
        segment.write_bytes(whole[:offset] + bytes([byte ^ 0x01]) + whole[offset + 1 :])
        found = scan(segment, COLUMNS)
        assert found.damage, offset
        in_header = offset < len(HEADER) - 1
        lost = 0 if in_header else 1 if offset == len(HEADER) - 1 else 2 if byte == 0x0A else 1
        assert ROWS - lost <= found.rows <= ROWS - (0 if in_header else 1), offset


def test_swapped_rows_are_still_rows_and_a_foreign_row_is_damage(tmp_path: Path) -> None:
    """Order is no promise to readers; a row of another segment is not ours."""
    ours, other = segment_of(tmp_path / "a", 2), segment_of(tmp_path / "b", 2)
    header, first, second, _ = ours.read_bytes().split(b"\n")
    ours.write_bytes(b"\n".join([header, second, first, other.read_bytes().split(b"\n")[1], b""]))
    found = scan(ours, COLUMNS)
    assert [row["seq"] for row in parse(found)] == [1, 0]
    assert [damage.reason for damage in found.damage] == ["checksum does not match"]


def test_a_window_keeps_its_start_and_leaves_its_end(segment: Path) -> None:
    """Windows are half-open, so that two that join share no row."""
    found = scan(segment, COLUMNS, start=utc_text(1), end=utc_text(3))
    assert [row["timestamp"] for row in parse(found)] == [utc_text(1), utc_text(2)]
    assert (found.rows, found.rows_total) == (2, ROWS)


def test_a_prefix_reads_again_as_it_was_read_before(segment: Path) -> None:
    """What a run read can be read again after the segment grew."""
    before = scan(segment, COLUMNS)
    with open(segment, "ab") as stream:
        stream.write(b"more")
    again = scan(segment, COLUMNS, bytes_limit=before.bytes_read)
    assert (again.sha256, again.data, again.damage) == (before.sha256, before.data, ())


def test_a_line_being_written_is_not_damage_until_its_writer_is_gone(tmp_path: Path) -> None:
    """While the lock is held, a missing LF means "not yet"; afterwards it means a torn row."""
    open_segment = create(tmp_path, predictions.PREFIX, HEADER, 0.0)
    os.write(open_segment.fd, b"0,half a li")
    assert scan(open_segment.path, COLUMNS).damage == ()
    os.close(open_segment.fd)
    assert [damage.reason for damage in scan(open_segment.path, COLUMNS).damage] == ["line is cut off"]


def test_a_segment_of_other_columns_yields_no_rows_and_says_so(segment: Path) -> None:
    """Rows are never read under names they were not written for."""
    found = scan(segment, predictions.columns(card(features=NUMBERS_AND_TEXT[:2])))
    assert found.rows == 0
    assert found.damage[0].reason == "was written for other columns"


def test_a_newer_format_is_refused_by_name(segment: Path) -> None:
    """A reader that does not know a format says so instead of guessing."""
    newer = segment.rename(segment.with_name(segment.name.replace("-v1-", "-v2-")))
    with pytest.raises(UnreadableSegment, match="format version 2 is newer"):
        scan(newer, COLUMNS)


def test_a_suspect_segment_keeps_its_identity_and_its_rows(tmp_path: Path) -> None:
    """Renaming does not break a checksum: rows are still judged one by one."""
    path = segment_of(tmp_path, 2)
    suspect = path.rename(path.with_suffix(".suspect.csv"))
    assert scan(suspect, COLUMNS).rows == 2


def test_rows_are_visible_while_the_writer_goes_on(tmp_path: Path) -> None:
    """Readers and writers share the files without waiting for each other."""
    writer = SegmentWriter(tmp_path, predictions.PREFIX, HEADER)
    for count in range(1, 4):
        writer.append([payload(count)])
        (path,) = segments(tmp_path, predictions.PREFIX)
        assert scan(path, COLUMNS).rows == count
    writer.close()


def streamed(path: Path, block_bytes: int, **bounds: str | int) -> SegmentScan:
    """A stream of small blocks, put together to what `scan` gives."""
    stream = SegmentStream(path, COLUMNS, block_bytes=block_bytes, **bounds)  # type: ignore[arg-type]
    data = b"".join([stream.header, *stream])
    figures = (stream.bytes_read, stream.sha256, data, stream.rows, stream.rows_total, tuple(stream.damage))
    return SegmentScan(path, stream.segment_id, *figures)


def test_blocks_of_any_size_give_what_one_read_gives(segment: Path) -> None:
    """Lines and damage do not depend on where a block ends, nor do bounds, prefixes and hashes."""
    whole = segment.read_bytes()
    rng = np.random.default_rng(1)
    for case in range(60):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for offset in rng.integers(0, len(damaged), case % 4):
            damaged[offset] ^= int(rng.integers(1, 256))
        segment.write_bytes(damaged)
        bounds = {"start": utc_text(1), "end": utc_text(3), "bytes_limit": len(damaged) - 7} if case % 3 == 2 else {}
        expected = scan(segment, COLUMNS, **bounds)  # type: ignore[arg-type]
        for block_bytes in (1, 7, 100, 333):
            assert streamed(segment, block_bytes, **bounds) == expected


def test_a_block_never_ends_inside_a_line(tmp_path: Path) -> None:
    """Each item is CSV by itself, though its lines are longer than a block."""
    path = segment_of(tmp_path, 50)
    items = list(SegmentStream(path, COLUMNS, block_bytes=64))
    assert len(items) == 50
    assert all(item.endswith(b"\n") and item.count(b"\n") == 1 for item in items)


def test_memory_is_that_of_a_block(tmp_path: Path) -> None:
    """A segment of some megabytes is read in a fraction of its size."""
    path = segment_of(tmp_path, 30_000)
    stream = SegmentStream(path, COLUMNS, block_bytes=1 << 16)
    tracemalloc.start()
    rows = sum(item.count(b"\n") for item in stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 30_000
    assert peak < 600_000 < path.stat().st_size / 5


def test_damage_is_counted_beyond_what_is_listed(segment: Path) -> None:
    """A file of garbage does not become a list as long as itself."""
    with open(segment, "ab") as stream:
        stream.write(b"garbage\n" * 1000)
    found = SegmentStream(segment, COLUMNS, damage_listed_max=3)
    assert sum(item.count(b"\n") for item in found) == ROWS
    assert (len(found.damage), found.damaged) == (3, 1000)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO or a folder named like a segment: nobody waits for a writer that never comes."""
    name = segment_of(tmp_path, 1).name
    fifo, folder = tmp_path / "fifo" / name, tmp_path / "folder" / name
    fifo.parent.mkdir()
    os.mkfifo(fifo)
    folder.mkdir(parents=True)
    for path in (fifo, folder):
        with pytest.raises(UnreadableSegment, match="is no regular file"):
            scan(path, COLUMNS)


def flip(path: Path, *numbers: int) -> None:
    """Damage these lines; 0 is the header."""
    lines = path.read_bytes().split(b"\n")
    for number in numbers:
        lines[number] = b"?" + lines[number][1:]
    path.write_bytes(b"\n".join(lines))


@pytest.mark.parametrize("block_bytes", [1, 100, 1000, 1 << 20])
def test_damage_is_dated_by_its_intact_neighbours(tmp_path: Path, block_bytes: int) -> None:
    """Wherever blocks end. Row n is line n + 1 and has the time n."""
    path = segment_of(tmp_path, 10)
    flip(path, 0, 1, 5, 6, 10)
    found = SegmentStream(path, COLUMNS, block_bytes=block_bytes)
    assert sum(item.count(b"\n") for item in found) == 6
    around = [(place.after, place.before) for place in found.damage]
    middle = (utc_text(3), utc_text(6))
    assert around == [(None, utc_text(1)), (None, utc_text(1)), middle, middle, (utc_text(8), None)]


def test_damage_is_dated_by_rows_outside_the_window_too(tmp_path: Path) -> None:
    """A window keeps rows; it must not move the neighbours."""
    path = segment_of(tmp_path, 10)
    flip(path, 5)
    (place,) = scan(path, COLUMNS, start=utc_text(8)).damage
    assert (place.after, place.before) == (utc_text(3), utc_text(5))


@pytest.mark.parametrize(
    ("after", "before", "inside"),
    [
        (3, 6, [3, 4, 5, 6]),
        # The clock was set back in between.
        (6, 3, [3, 4, 5, 6]),
        (None, 3, [0, 1, 2, 3]),
        (6, None, [6, 7, 8, 9]),
        (None, None, list(range(10))),
    ],
)
def test_damage_may_be_inside_the_windows_that_its_neighbours_leave_room_for(
    after: int | None, before: int | None, inside: list[int]
) -> None:
    """Ten windows of one second, one after another: damage counts in one of them at least."""
    place = Damage(0, "", *(None if at is None else utc_text(at) for at in (after, before)))
    windows = [(utc_text(second), utc_text(second + 1)) for second in range(10)]
    assert [second for second, window in enumerate(windows) if place.may_be_inside(*window)] == inside
    assert place.may_be_inside(None, None)


def test_damage_of_a_segment_for_other_columns_has_no_time(segment: Path) -> None:
    """Nobody knows what its lines say."""
    flip(segment, 2)
    found = scan(segment, predictions.columns(card(features=NUMBERS_AND_TEXT[:2])))
    assert [(place.after, place.before) for place in found.damage] == [(None, None)] * 2
