"""Group commit: acknowledged means written, refused means suspect, and nobody waits for ever."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.disks import FaultyDisk
from gateway.files import FileSystem
from gateway.log import predictions
from gateway.log.reader import scan
from gateway.log.segment import is_being_written, suspect_path
from gateway.log.writer import LogUnavailable, SegmentWriter
from tests.gateway.log.rows import COLUMNS, HEADER, parse, payload


def writer_of(folder: Path, **options: Any) -> SegmentWriter:
    """A writer of predictions in `folder`."""
    return SegmentWriter(folder, predictions.PREFIX, HEADER, **options)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: float = 1_770_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class SyncsAs(FileSystem):
    """The real file system, but for what `fdatasync` does."""

    def __init__(self, fdatasync: Callable[[int], None]) -> None:
        self.fdatasync = fdatasync  # type: ignore[method-assign]


def test_many_threads_lose_nothing_and_number_without_gaps(tmp_path: Path) -> None:
    """Eight threads with 200 rows each: 1,600 rows, seq 0 to 1,599 in file order, each row once."""
    writer = writer_of(tmp_path)

    def append(thread: int) -> None:
        for index in range(200):
            writer.append([payload(thread * 1000 + index)])

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    (path,) = tmp_path.glob("*.csv")
    rows = parse(scan(path, COLUMNS))
    assert [row["seq"] for row in rows] == list(range(1600))
    assert len({row["request_id"] for row in rows}) == 1600


def test_the_rows_of_one_append_stay_together(tmp_path: Path) -> None:
    """A batch request is one block of lines, whatever the other threads do."""
    writer = writer_of(tmp_path, durable=False)
    blocks = [[payload(block * 100 + index) for index in range(20)] for block in range(8)]
    threads = [threading.Thread(target=writer.append, args=(block,)) for block in blocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    (path,) = tmp_path.glob("*.csv")
    ids = [row["request_id"] for row in parse(scan(path, COLUMNS))]
    for begin in range(0, 160, 20):
        assert ids[begin : begin + 20] == sorted(ids[begin : begin + 20])
        assert int(ids[begin][-12:], 16) % 100 == 0


def test_a_full_disk_refuses_the_row_and_the_next_one_goes_to_a_new_segment(tmp_path: Path) -> None:
    """RLIMIT_FSIZE gives a real short write: the row is refused, the segment suspect, earlier rows stay."""
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from gateway.log.writer import LogUnavailable
        from tests.gateway.log.rows import HEADER, payload
        from tests.gateway.log.test_writer import writer_of

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = writer_of(Path(sys.argv[1]))
        writer.append([payload(0)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(HEADER) + len(payload(0)) * 3 // 2, resource.RLIM_INFINITY))
        try:
            writer.append([payload(1)])
        except LogUnavailable as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        writer.append([payload(2)])
        writer.close()
        """
    )
    # -B: on a small disk Python would leave broken byte code behind.
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "short write" in done.stdout
    suspect, good = sorted(tmp_path.glob("*.csv"), key=lambda path: "suspect" not in path.name)
    assert [row["timestamp"][17:19] for row in parse(scan(suspect, COLUMNS))] == ["00"]
    assert [damage.reason for damage in scan(suspect, COLUMNS).damage] == ["line is cut off"]
    assert [row["timestamp"][17:19] for row in parse(scan(good, COLUMNS))] == ["02"]


def test_a_failed_sync_is_never_retried(tmp_path: Path) -> None:
    """After EIO the segment is suspect by name and gets no further row; the next append opens another."""
    disk = SyncsAs(os.fdatasync)
    writer = writer_of(tmp_path, files=disk)
    writer.append([payload(0)])
    disk.fdatasync = _fail  # type: ignore[method-assign]
    with pytest.raises(LogUnavailable, match="Input/output error"):
        writer.append([payload(1)])
    disk.fdatasync = os.fdatasync  # type: ignore[method-assign]
    writer.append([payload(2)])
    writer.close()
    names = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert sum(name.endswith(".suspect.csv") for name in names) == 1
    assert len(names) == 2


def test_rows_in_a_deleted_folder_are_not_acknowledged(tmp_path: Path) -> None:
    """Writing to an unlinked file succeeds and records nothing; that is noticed, and the folder made again."""
    folder = tmp_path / "log"
    writer = writer_of(folder)
    writer.append([payload(0)])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(LogUnavailable, match="No such file"):
        writer.append([payload(1)])
    writer.append([payload(2)])
    writer.close()
    (path,) = folder.glob("*.csv")
    assert scan(path, COLUMNS).rows == 1


def test_rows_in_a_folder_that_was_moved_away_are_not_acknowledged(tmp_path: Path) -> None:
    """The file is still there, but not where the log is read."""
    folder = tmp_path / "log"
    writer = writer_of(folder)
    writer.append([payload(0)])
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(LogUnavailable, match="No such file"):
        writer.append([payload(1)])
    writer.append([payload(2)])
    writer.close()
    (path,) = folder.glob("*.csv")
    assert [row["timestamp"][17:19] for row in parse(scan(path, COLUMNS))] == ["02"]


def test_a_stuck_sync_refuses_the_waiting_rows_after_their_deadline(tmp_path: Path) -> None:
    """A row that only queued is refused and never written; the row under way is settled when the disk comes back."""
    disk = SyncsAs(os.fdatasync)
    writer = writer_of(tmp_path, timeout_seconds=0.2, files=disk)
    writer.append([payload(0)])
    stuck, release = threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        stuck.set()
        release.wait(10)

    disk.fdatasync = slow  # type: ignore[method-assign]
    leader = threading.Thread(target=writer.append, args=([payload(1)],))
    leader.start()
    assert stuck.wait(10)
    with pytest.raises(LogUnavailable, match="did not confirm"):
        writer.append([payload(2)])
    release.set()
    leader.join()
    writer.append([payload(3)])
    writer.close()
    (path,) = tmp_path.glob("*.csv")
    assert [row["timestamp"][17:19] for row in parse(scan(path, COLUMNS))] == ["00", "01", "03"]


def test_a_closed_writer_refuses(tmp_path: Path) -> None:
    """After close nothing is recorded, so nothing is acknowledged; closing an unused one leaves no file."""
    writer = writer_of(tmp_path / "log")
    writer.close()
    with pytest.raises(LogUnavailable, match="closed"):
        writer.append([payload()])
    assert not (tmp_path / "log").exists()


def test_a_full_segment_is_closed_and_the_rows_go_on_in_another(tmp_path: Path) -> None:
    """No segment is larger than asked for, none is still locked but the last, and every row is there once."""
    line = len(payload(0)) + 14
    writer = writer_of(tmp_path, bytes_max=len(HEADER) + 3 * line)
    for index in range(10):
        writer.append([payload(index)])
    paths = [scan(path, COLUMNS) for path in tmp_path.glob("*.csv")]
    assert sorted(found.rows for found in paths) == [1, 3, 3, 3]
    assert all(found.bytes_read <= len(HEADER) + 3 * line and not found.damage for found in paths)
    assert [_is_locked(found.path) for found in paths].count(True) == 1
    writer.close()
    rows = [row for found in paths for row in parse(found)]
    assert sorted(int(row["request_id"][-2:], 16) for row in rows) == list(range(10))


def test_the_rows_of_one_append_stay_together_also_when_they_are_too_many(tmp_path: Path) -> None:
    """A batch larger than a segment may be gets a segment of its own."""
    writer = writer_of(tmp_path, bytes_max=4096)
    writer.append([payload(0)])
    writer.append([payload(index) for index in range(1, 101)])
    writer.append([payload(101)])
    writer.close()
    assert sorted(scan(path, COLUMNS).rows for path in tmp_path.glob("*.csv")) == [1, 1, 100]


def test_an_old_segment_is_closed_by_the_next_row(tmp_path: Path) -> None:
    """The row that comes when the segment's time is over begins another."""
    clock = Clock()
    writer = writer_of(tmp_path, age_seconds_max=60, monotonic=clock)
    writer.append([payload(0)])
    clock.now += 59
    writer.append([payload(1)])
    clock.now += 1
    writer.append([payload(2)])
    writer.close()
    assert sorted(scan(path, COLUMNS).rows for path in tmp_path.glob("*.csv")) == [1, 2]


def test_an_idle_writer_gives_its_old_segment_away(tmp_path: Path) -> None:
    """A tick closes what is old, so that it can be sealed, and opens nothing; earlier it does nothing."""
    clock = Clock()
    writer = writer_of(tmp_path, age_seconds_max=60, monotonic=clock)
    writer.tick()
    assert not list(tmp_path.iterdir())
    writer.append([payload(0)])
    (path,) = tmp_path.iterdir()
    clock.now += 59
    writer.tick()
    assert _is_locked(path)
    clock.now += 1
    writer.tick()
    assert not _is_locked(path)
    assert list(tmp_path.iterdir()) == [path]
    writer.append([payload(1)])
    writer.close()
    writer.tick()
    assert len(list(tmp_path.iterdir())) == 2


def test_ticks_and_rotation_under_load_lose_nothing(tmp_path: Path) -> None:
    """Eight threads write while a ninth ticks a writer whose segments are always old or full."""
    writer = writer_of(tmp_path, durable=False, bytes_max=4096, age_seconds_max=0.002)
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            writer.tick()

    def append(thread: int) -> None:
        for index in range(100):
            writer.append([payload(thread * 1000 + index)])

    ticker = threading.Thread(target=tick)
    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in [ticker, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    ticker.join()
    writer.close()
    found = [scan(path, COLUMNS) for path in tmp_path.glob("*.csv")]
    ids = [row["request_id"] for segment in found for row in parse(segment)]
    assert (len(ids), len(set(ids))) == (800, 800)
    assert all([row["seq"] for row in parse(segment)] == list(range(segment.rows)) for segment in found)
    assert not any(segment.damage for segment in found)


def test_two_writers_with_the_same_clock_do_not_meet(tmp_path: Path) -> None:
    """Two hosts on one folder, or a clock that was set back: the names differ."""
    clock = Clock()
    writers = [writer_of(tmp_path, clock=clock) for _ in range(2)]
    for _ in range(5):
        for index, writer in enumerate(writers):
            writer.append([payload(index)])
            writer.close()
        writers = [writer_of(tmp_path, clock=clock) for _ in range(2)]
    assert [scan(path, COLUMNS).rows for path in tmp_path.glob("*.csv")] == [1] * 10


@pytest.mark.parametrize("suspect", [False, True])
def test_a_segment_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suspect: bool) -> None:
    """Should the same second and the same random bits ever come again, the row is refused and the file stays."""
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    first, second = (writer_of(tmp_path, clock=Clock()) for _ in range(2))
    first.append([payload(0)])
    (path,) = tmp_path.iterdir()
    if suspect:
        path = path.rename(suspect_path(path))
    before = path.read_bytes()
    with pytest.raises(LogUnavailable, match="File exists"):
        second.append([payload(1)])
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_probing_leaves_nothing_and_opens_no_segment(tmp_path: Path) -> None:
    """Readiness goes the whole way to the disk without leaving a record or a file."""
    disk = FaultyDisk()
    writer = writer_of(tmp_path / "log", files=disk)
    writer.probe()
    assert disk.calls.count("write") == 1
    assert disk.calls.index("write") < disk.calls.index("fsync", disk.calls.index("write")) < disk.calls.index("unlink")
    assert list((tmp_path / "log").iterdir()) == []


def test_probing_writes_at_most_once_a_second(tmp_path: Path) -> None:
    """However often readiness is asked for; but a row that failed makes the last answer worthless."""
    clock = Clock()
    disk = FaultyDisk()
    writer = writer_of(tmp_path, files=disk, monotonic=clock)
    for _ in range(5):
        writer.probe()
    assert disk.calls.count("unlink") == 1
    clock.now += 1
    writer.probe()
    assert disk.calls.count("unlink") == 2
    (tmp_path / "gone").mkdir()
    writer = writer_of(tmp_path / "gone", files=disk, monotonic=clock)
    writer.probe()
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").write_text("in the way")
    with pytest.raises(LogUnavailable):
        writer.append([payload()])
    with pytest.raises(LogUnavailable, match=r"Not a directory|File exists"):
        writer.probe()


def test_a_stuck_probe_makes_the_others_say_so(tmp_path: Path) -> None:
    """Readiness has an answer within its deadline also while the disk has none."""
    stuck, release = threading.Event(), threading.Event()

    class Stuck(FileSystem):
        def fsync(self, fd: int) -> None:
            stuck.set()
            release.wait(10)

    writer = writer_of(tmp_path, timeout_seconds=0.2, files=Stuck())
    first = threading.Thread(target=writer.probe)
    first.start()
    assert stuck.wait(10)
    with pytest.raises(LogUnavailable, match="no answer from the disk"):
        writer.probe()
    release.set()
    first.join()
    writer.probe()


def test_an_unwritable_place_is_a_refusal(tmp_path: Path) -> None:
    """A folder that cannot be made is reported with the system's own words."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LogUnavailable, match=r"Not a directory|File exists"):
        writer_of(tmp_path / "file" / "log").append([payload()])


def _is_locked(path: Path) -> bool:
    with open(path, "rb") as stream:
        return is_being_written(stream.fileno())


def _fail(fd: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
