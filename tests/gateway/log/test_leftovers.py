"""What killed processes leave behind is cleared away; what somebody still needs, and every row, stays."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.log import probe
from gateway.log.__main__ import main
from gateway.log.leftovers import ABANDONED_SECONDS
from gateway.log.manifest import FILE
from gateway.log.segment import create
from tests.gateway.log.rows import HEADER
from tests.gateway.log.sealed import seal_all, sealed_entries, verified, write_segment
from tests.running import ROOT

#: Dies at a moment of the three operations that make temporary files.
KILLED = """
import os, signal, sys, time
from pathlib import Path
from gateway import files
from gateway.log import probe, segment
live = Path(sys.argv[1])
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "creation":
    files.REAL.rename = die
    segment.create(live / "loans" / "1", "live_predictions", b"seq,crc32\\n", time.time())
if sys.argv[2] == "probe":
    files.REAL.unlink = die
    probe.WriteProbe(live / "loans" / "1").fault()
if sys.argv[2] == "chain":
    files.fsync_dir = die
    Path.replace = die
    files.write_atomically(live / "manifests.jsonl", b"")
"""


def later() -> float:
    """Late enough for every file that a test has just made."""
    return time.time() + ABANDONED_SECONDS + 60


def temporary_files(live: Path) -> list[Path]:
    """Every temporary file below `live`."""
    return sorted(live.rglob(".tmp-*"))


def temporary_segment(live: Path, content: bytes = HEADER) -> Path:
    """What a creation that was killed before its rename leaves."""
    path = write_segment(live, 0)
    temporary = path.rename(path.with_name(f".tmp-{path.name}"))
    temporary.write_bytes(content)
    return temporary


@pytest.mark.parametrize("where", ["creation", "probe", "chain"])
def test_what_a_killed_process_left_is_removed_after_an_hour(tmp_path: Path, where: str) -> None:
    """A real process is killed between the making of its temporary file and the end of that file's use."""
    live = tmp_path / "live"
    live.mkdir()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(live), where], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(temporary_files(live)) == 1
    assert seal_all(live, time.time()).leftovers_removed == 0, "it might be in use"
    assert seal_all(live, later()).leftovers_removed == 1
    assert temporary_files(live) == []


def test_a_live_writers_temporary_file_survives_however_old_it_is(tmp_path: Path) -> None:
    """It is locked while its segment is made; a machine may have slept in between."""
    temporary = temporary_segment(tmp_path)
    with open(temporary) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert seal_all(tmp_path, later()).leftovers_removed == 0
        assert temporary.exists()
    assert seal_all(tmp_path, later()).leftovers_removed == 1


def test_a_creation_under_way_ends_well_beside_a_seal_that_takes_it_for_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sealing job runs right before the rename, its clock an hour ahead: the segment is made all the same."""
    rename = os.rename

    def seal_first(source: Path, target: Path) -> None:
        assert seal_all(tmp_path, later()).leftovers_removed == 0
        rename(source, target)

    monkeypatch.setattr(os, "rename", seal_first)
    segment = create(tmp_path / "loans" / "1", "live_predictions", HEADER, 0)
    assert segment.path.read_bytes() == HEADER
    os.close(segment.fd)


def test_no_row_is_ever_removed(tmp_path: Path) -> None:
    """Neither a segment, nor a temporary file in which anything stands behind the header, nor a stranger's file."""
    segment = write_segment(tmp_path, 3)
    with_row = temporary_segment(tmp_path, segment.read_bytes())
    folder = segment.parent
    kept = [with_row, folder / ".tmp-notes.txt", folder / ".tmp-probe-x", tmp_path / f".tmp-mine-{FILE}"]
    for path in kept[1:]:
        path.write_bytes(b"mine\n")
    fifo = temporary_segment(tmp_path)
    fifo.unlink()
    os.mkfifo(fifo)
    assert seal_all(tmp_path, later()).leftovers_removed == 0
    assert temporary_files(tmp_path) == sorted([*kept, fifo])
    assert [entry.rows for entry in sealed_entries(tmp_path)] == [3]
    assert verified(tmp_path).notes() == ["stray file"] * 5


def test_a_removal_that_fails_keeps_no_segment_from_being_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays a note of `verify`, and the next seal tries again."""
    write_segment(tmp_path, 3)
    temporary_segment(tmp_path, b"")

    def refuse(_: Path) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        done = seal_all(tmp_path, later())
    assert (len(done.sealed), done.failures, done.leftovers_removed) == (1, (), 0)
    assert verified(tmp_path).notes() == ["stray file"]
    assert seal_all(tmp_path, later()).leftovers_removed == 1


def test_the_job_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also in the scheduler's log, where a seal is quiet."""
    live = tmp_path / "live"
    long_ago = time.time() - ABANDONED_SECONDS - 60
    for _ in range(2):
        os.utime(temporary_segment(live), (long_ago, long_ago))
    monkeypatch.setenv("SENTINEL_PATHS_DATA", str(tmp_path))
    assert main(["seal", "--quiet"]) == 0
    assert "removed 2 temporary files that killed processes left\n" in capsys.readouterr().out
    assert main(["seal", "--quiet"]) == 0
    assert "temporary" not in capsys.readouterr().out


def test_a_probe_whose_file_was_removed_says_what_it_would_have_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe's file is not locked: a sealing job whose clock jumped ahead may take it. Readiness stays right."""
    folder = tmp_path / "loans" / "1"
    write_all = probe.write_all

    def remove_then_write(*arguments: object) -> None:
        assert seal_all(tmp_path, later()).leftovers_removed == 1
        write_all(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(probe, "write_all", remove_then_write)
    assert probe.WriteProbe(folder).fault() is None
