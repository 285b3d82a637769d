"""Sealing: finished segments become immutable and known to the chain, whatever happens in between."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import msgspec
import pytest

from gateway.clock import utc_text
from gateway.log import labels
from gateway.log.line import header_line
from gateway.log.manifest import BLOCK_BYTES, FILE, NO_HEAD, UnreadableChain, read_chain
from gateway.log.segment import create
from gateway.log.writer import SegmentWriter
from tests.gateway.log.faults import Crash, crash_at, fail_at
from tests.gateway.log.rows import CARD, HEADER, payload
from tests.gateway.log.sealed import NOON, seal_all, sealed_entries, verified, write_segment

ROOT = Path(__file__).resolve().parents[3]


def test_an_entry_says_what_the_file_holds(tmp_path: Path) -> None:
    """Rows, bytes, times and hashes are those of the file, which is read-only from then on."""
    path = write_segment(tmp_path, 5, first=100)
    done = seal_all(tmp_path)
    content = path.read_bytes()
    (entry,) = done.sealed
    assert (entry.number, entry.previous, entry.path) == (1, NO_HEAD, path.relative_to(tmp_path).as_posix())
    assert (entry.rows, entry.corrupt_lines, entry.sequence_breaks, entry.suspect) == (5, 0, 0, False)
    assert (entry.bytes, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (entry.first_timestamp, entry.last_timestamp) == (utc_text(100), utc_text(104))
    assert entry.blocks == (zlib.crc32(content),)
    assert path.stat().st_mode & 0o777 == 0o444
    assert read_chain(tmp_path).head == done.head


def test_the_format_of_an_entry_is_fixed(tmp_path: Path) -> None:
    """Canonical JSON on one line; `previous` is the hash of the line before, so sha256sum can check it."""
    for count in (1, 0):
        write_segment(tmp_path, count)
    head = seal_all(tmp_path).head
    first, second = (tmp_path / FILE).read_bytes().splitlines()
    assert list(msgspec.json.decode(first)) == [
        "kind", "format_version", "number", "previous", "sealed_at", "path", "segment_id", "rows", "corrupt_lines",
        "sequence_breaks", "bytes", "sha256", "first_timestamp", "last_timestamp", "suspect", "blocks",
    ]  # fmt: skip
    assert b" " not in first
    assert msgspec.json.decode(second)["previous"] == hashlib.sha256(first).hexdigest()
    assert head == hashlib.sha256(second).hexdigest()


def test_sealing_again_changes_nothing(tmp_path: Path) -> None:
    """A seal with nothing to do leaves the chain byte for byte as it was."""
    write_segment(tmp_path, 3)
    first = seal_all(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    again = seal_all(tmp_path)
    assert (again.sealed, again.head, again.entries) == ((), first.head, 1)
    assert (tmp_path / FILE).read_bytes() == before


def test_an_installation_without_a_log_is_left_alone(tmp_path: Path) -> None:
    """Nothing is made where nothing was logged."""
    assert seal_all(tmp_path / "live").entries == 0
    assert not (tmp_path / "live").exists()


def test_a_segment_that_is_being_written_is_left_alone_until_its_writer_is_gone(tmp_path: Path) -> None:
    """The lock decides, not the age; a writer that was killed frees it."""
    writer = SegmentWriter(tmp_path / "loans" / "1", "live_predictions", HEADER)
    writer.append([payload(0)])
    done = seal_all(tmp_path)
    assert (done.sealed, done.being_written) == ((), 1)
    writer.append([payload(1)])
    writer.close()
    assert [entry.rows for entry in seal_all(tmp_path).sealed] == [2]


def test_suspect_torn_and_empty_segments_are_sealed_as_they_are(tmp_path: Path) -> None:
    """Damage is recorded and not repaired: the bytes stay."""
    suspect = write_segment(tmp_path, 2)
    suspect = suspect.rename(suspect.with_suffix(".suspect.csv"))
    torn = write_segment(tmp_path, 3)
    os.truncate(torn, torn.stat().st_size - 10)
    empty = write_segment(tmp_path, 0)
    contents = [path.read_bytes() for path in (suspect, torn, empty)]
    entries = {Path(entry.path).name: entry for entry in seal_all(tmp_path).sealed}
    assert [(entries[path.name].rows, entries[path.name].corrupt_lines) for path in (suspect, torn, empty)] == [
        (2, 0),
        (2, 1),
        (0, 0),
    ]
    assert entries[suspect.name].suspect
    assert (entries[empty.name].first_timestamp, entries[empty.name].last_timestamp) == (None, None)
    assert [path.read_bytes() for path in (suspect, torn, empty)] == contents


def test_label_segments_are_sealed_by_the_time_of_their_receipt(tmp_path: Path) -> None:
    """The same chain for both logs; a label's time is when it came."""
    writer = SegmentWriter(labels.folder(tmp_path, "loans"), labels.PREFIX, header_line(labels.columns(CARD)))
    encode = labels.LabelEncoder(CARD).encode
    writer.append([encode("id", None, 0, "1", utc_text(5), utc_text(moment)) for moment in (9, 7)])
    writer.close()
    (entry,) = seal_all(tmp_path).sealed
    assert (entry.rows, entry.first_timestamp, entry.last_timestamp) == (2, utc_text(7), utc_text(9))


def test_blocks_and_lines_over_block_boundaries(tmp_path: Path) -> None:
    """A segment of several MiB: a checksum for each of them, and every line whole."""
    path = write_segment(tmp_path, 18_000)
    (entry,) = seal_all(tmp_path).sealed
    content = path.read_bytes()
    assert len(content) > 2 * BLOCK_BYTES
    assert entry.rows == 18_000
    assert entry.blocks == tuple(
        zlib.crc32(content[at : at + BLOCK_BYTES]) for at in range(0, len(content), BLOCK_BYTES)
    )


@pytest.mark.parametrize("torn", [False, True])
def test_a_crash_between_any_two_steps_is_finished_by_the_next_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    """For every N: die at the N-th call; afterwards nothing is lost, sealed twice or called damaged."""
    wanted, calls = 0, 1
    while wanted <= calls:
        wanted += 1
        live = tmp_path / f"{wanted}"
        paths = [write_segment(live, count) for count in (2, 0, 1)]
        contents = {path: path.read_bytes() for path in paths}
        with monkeypatch.context() as patch:
            made = crash_at(patch, wanted, torn)
            try:
                seal_all(live)
            except Crash:
                calls = wanted
            else:
                calls = made()
                assert calls == wanted - 1
        between = verified(live)
        assert between.damages() == [], wanted
        assert between.result.rows == 3
        seal_all(live)
        after = verified(live)
        assert after.damages() == [], wanted
        assert (after.result.sealed, after.result.rows) == (3, 3)
        assert len(sealed_entries(live)) == 3
        assert {path: path.read_bytes() for path in paths} == contents
    assert wanted > 12


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_an_error_of_any_call_is_reported_and_made_good_by_the_next_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """For every N: the N-th call fails, a write after half of its bytes; nothing is lost, invented or sealed twice."""
    wanted, calls = 0, 1
    while wanted <= calls:
        wanted += 1
        live = tmp_path / f"{wanted}"
        for count in (2, 0, 1):
            write_segment(live, count)
        with monkeypatch.context() as patch:
            made = fail_at(patch, wanted, code)
            reported = made_known(live)
            assert reported == (made() >= wanted), wanted
            calls = max(calls, made())
        assert {kind for _, kind, _ in verified(live).damages()} <= {"suspect"}, wanted
        seal_all(live)
        after = verified(live)
        assert {kind for _, kind, _ in after.damages()} <= {"suspect"}, wanted
        assert len(after.damages()) <= 1
        assert (after.result.sealed, after.result.rows, len(sealed_entries(live))) == (3, 3, 3)
    assert wanted > 12


def made_known(live: Path) -> bool:
    """Seal; whether an error was raised or is in the answer."""
    try:
        return bool(seal_all(live).failures)
    except (OSError, UnreadableChain):
        return True


def test_a_chain_whose_sync_failed_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may have lost what it shows; the next seal builds on a copy that is known to be on the disk."""
    write_segment(tmp_path, 1)
    seal_all(tmp_path)
    before = (tmp_path / FILE).stat().st_ino
    write_segment(tmp_path, 2)
    real = os.fsync

    def fail(fd: int) -> None:
        if os.fstat(fd).st_ino == before:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            seal_all(tmp_path)
    assert (tmp_path / FILE).stat().st_ino != before
    assert seal_all(tmp_path).entries == 2
    assert verified(tmp_path).findings == ()


def test_an_entry_that_lacks_only_its_line_break_counts_once_the_next_seal_has_ended_it(tmp_path: Path) -> None:
    """A write cut right before the LF: the entry is whole, so the segment is not sealed a second time."""
    write_segment(tmp_path, 1)
    seal_all(tmp_path)
    os.truncate(tmp_path / FILE, (tmp_path / FILE).stat().st_size - 1)
    assert verified(tmp_path).notes() == ["interrupted seal", "half sealed"]
    assert seal_all(tmp_path).sealed == ()
    assert verified(tmp_path).findings == ()


def test_a_failed_sync_makes_the_segment_suspect_and_is_not_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk refused once may be gone though the kernel still shows it; the others are sealed."""
    first, second = sorted([write_segment(tmp_path, 1), write_segment(tmp_path, 2)])
    real, failed, inode = os.fsync, [], first.stat().st_ino

    def fail_once(fd: int) -> None:
        if os.fstat(fd).st_ino == inode and not failed:
            failed.append(fd)
            raise OSError(5, "Input/output error")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_once)
        done = seal_all(tmp_path)
    assert [failure.reason for failure in done.failures] == ["Input/output error"]
    assert [Path(entry.path).name for entry in done.sealed] == [second.name]
    assert [(Path(entry.path).name, entry.suspect) for entry in seal_all(tmp_path).sealed] == [
        (first.with_suffix(".suspect.csv").name, True)
    ]


def test_two_sealers_at_once_seal_every_segment_once(tmp_path: Path) -> None:
    """The chain's lock makes them take turns, in one process and in several."""
    for count in range(6):
        write_segment(tmp_path, count)
    threads = [threading.Thread(target=seal_all, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.number for entry in sealed_entries(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert verified(tmp_path).findings == ()


def test_sealers_that_are_killed_at_random_leave_a_chain_that_verifies(tmp_path: Path) -> None:
    """kill -9 of the real command over and over: in the end each segment is sealed once and intact."""
    live = tmp_path / "data" / "live"
    for count in range(120):
        write_segment(live, count % 5)
    random.seed(3)
    environment = os.environ | {"SENTINEL_PATHS_DATA": str(tmp_path / "data")}
    script = "import sys; from gateway.log.__main__ import main; print('go', flush=True); sys.exit(main(['seal']))"
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        # Kill it after so many lines of its output, so that it dies in the middle of its work on any machine.
        for _ in range(random.randrange(1, 8)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
    assert 0 < len(sealed_entries(live)) < 121
    seal_all(live)
    result = verified(live)
    assert result.damages() == []
    assert (result.result.sealed, result.result.rows) == (120, 240)
    assert sorted(entry.segment_id for entry in sealed_entries(live)) == sorted(read_chain(live).sealed)


def test_a_copy_of_a_segment_is_not_sealed_beside_it(tmp_path: Path) -> None:
    """One identity, one file; the second is named and left alone."""
    path = write_segment(tmp_path, 1)
    copy = tmp_path / "loans" / "2" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    done = seal_all(tmp_path)
    assert len(done.sealed) == 1
    assert [(failure.path, failure.reason) for failure in done.failures] == [
        (copy.relative_to(tmp_path).as_posix(), "has the identity of another segment")
    ]


def test_a_chain_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A program that does not know an entry's format neither reads nor extends the chain."""
    write_segment(tmp_path, 1)
    (tmp_path / FILE).write_text('{"kind":"sealed","format_version":2}\n')
    with pytest.raises(UnreadableChain, match="format version 2 is newer"):
        seal_all(tmp_path)
    assert [kind for _, kind, _ in verified(tmp_path).damages()] == ["unreadable chain"]


def test_an_entry_that_points_outside_the_logs_is_no_entry(tmp_path: Path) -> None:
    """Files are deleted by these paths, so none may leave data/live."""
    write_segment(tmp_path, 1)
    seal_all(tmp_path)
    chain = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(chain.replace(b'"path":"loans/1/', b'"path":"../../'))
    assert read_chain(tmp_path).entries == ()


def test_the_sealing_time_is_the_clocks(tmp_path: Path) -> None:
    """Injected, so that nothing here depends on when it runs."""
    os.close(create(tmp_path / "loans" / "1", "live_predictions", HEADER, 0.0).fd)
    assert seal_all(tmp_path).sealed[0].sealed_at == utc_text(NOON)
