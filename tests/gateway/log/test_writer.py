"""Group commit: acknowledged means written, refused means suspect, and nobody waits for ever."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from gateway.log import predictions
from gateway.log.reader import scan
from gateway.log.writer import LogUnavailable, SegmentWriter
from tests.gateway.log.rows import COLUMNS, HEADER, parse, payload


def writer_of(folder: Path, **options: float | bool) -> SegmentWriter:
    """A writer of predictions in `folder`."""
    return SegmentWriter(folder, predictions.PREFIX, HEADER, **options)  # type: ignore[arg-type]


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


def test_a_failed_sync_is_never_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After EIO the segment is suspect by name and gets no further row; the next append opens another."""
    writer = writer_of(tmp_path)
    writer.append([payload(0)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _fail)
        with pytest.raises(LogUnavailable, match="Input/output error"):
            writer.append([payload(1)])
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
    with pytest.raises(LogUnavailable, match="deleted"):
        writer.append([payload(1)])
    writer.append([payload(2)])
    writer.close()
    (path,) = folder.glob("*.csv")
    assert scan(path, COLUMNS).rows == 1


def test_a_stuck_sync_refuses_the_waiting_rows_after_their_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that only queued is refused and never written; the row under way is settled when the disk comes back."""
    writer = writer_of(tmp_path, timeout_seconds=0.2)
    writer.append([payload(0)])
    stuck, release = threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        stuck.set()
        release.wait(10)

    monkeypatch.setattr(os, "fdatasync", slow)
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


def test_probing_opens_a_segment_and_writes_no_row(tmp_path: Path) -> None:
    """Readiness goes the whole way to the disk without leaving a record."""
    writer = writer_of(tmp_path)
    writer.probe()
    writer.close()
    (path,) = tmp_path.glob("*.csv")
    assert path.read_bytes() == HEADER


def test_an_unwritable_place_is_a_refusal(tmp_path: Path) -> None:
    """A folder that cannot be made is reported with the system's own words."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LogUnavailable, match=r"Not a directory|File exists"):
        writer_of(tmp_path / "file" / "log").append([payload()])


def _fail(fd: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
