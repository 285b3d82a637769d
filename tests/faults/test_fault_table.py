"""Every system call of a log writer fails once, with every fault: nothing acknowledged is lost, nothing is invented."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.disks import FAULTS, Fault, FaultyDisk
from gateway.log import predictions
from gateway.log.reader import scan
from tests.faults.script import check_promise, folder, is_ready, live_on, open_descriptors
from tests.gateway.log.rows import CARD, COLUMNS


def calls_without_a_fault(root: Path) -> list[str]:
    """The names of the calls that the script makes when all goes well."""
    root.mkdir(exist_ok=True)
    disk = FaultyDisk()
    life, writer = live_on(disk, root)
    writer.close()
    assert life.refused == 0
    check_promise(life, root)
    return disk.calls


def test_the_script_makes_every_call_that_the_writer_knows(tmp_path: Path) -> None:
    """Otherwise the table below would have holes."""
    calls = Counter(calls_without_a_fault(tmp_path))
    assert set(calls) == {"open", "write", "fsync", "fdatasync", "close", "rename", "unlink", "mkdir"}
    assert len(predictions.segments(tmp_path / "live", CARD.name, CARD.version)) >= 4


@pytest.mark.parametrize("lasts", [1, 4], ids=["once", "four calls long"])
@pytest.mark.parametrize("fault", FAULTS)
def test_whichever_call_fails_the_promise_holds_and_the_writer_goes_on(
    tmp_path: Path, fault: Fault, lasts: int
) -> None:
    """For every N: what is acknowledged is in the log with its content, once; the next row finds a working writer."""
    calls = calls_without_a_fault(tmp_path / "calls")
    refusals = 0
    for first, name in enumerate(calls, 1):
        if fault == "short write" and name != "write":
            continue
        root = tmp_path / str(first)
        root.mkdir()
        disk = FaultyDisk(first, fault, lasts)
        life, writer = live_on(disk, root)
        reached = disk.calls[first - 1 : first]
        assert reached in ([name], []), "the script takes its course up to the fault"
        refusals += life.refused
        disk.heal()
        assert life.append(writer), f"call {first} ({name})"
        writer.close()
        check_promise(life, root)
        if lasts == 1:
            assert life.refused <= 1, f"call {first} ({name})"
        assert not open_descriptors(lambda target, root=root: target.startswith(str(root)))  # type: ignore[misc]
    assert refusals


@pytest.mark.parametrize("fault", FAULTS)
def test_a_segment_is_not_written_any_more_once_a_call_on_it_failed(tmp_path: Path, fault: Fault) -> None:
    """A failed write or sync ends its segment, under another name; what was acknowledged there before stays."""
    calls = calls_without_a_fault(tmp_path / "calls")
    last = max(number for number, name in enumerate(calls, 1) if name == "write" and calls[number] == "fdatasync")
    for first in (last,) if fault == "short write" else (last, last + 1):
        root = tmp_path / str(first)
        root.mkdir()
        disk = FaultyDisk(first, fault)
        life, writer = live_on(disk, root)
        assert life.refused == 1
        (suspect,) = folder(root).glob("*.suspect.csv")
        before = suspect.read_bytes()
        assert life.append(writer)
        writer.close()
        assert suspect.read_bytes() == before
        assert all(scan(path, COLUMNS).rows for path in folder(root).glob("*.csv") if path != suspect)


def test_readiness_is_red_while_the_disk_fails_and_green_after(tmp_path: Path) -> None:
    """Whichever call of the probe fails, the answer is no; the one after it tries again."""
    disk = FaultyDisk()
    _, writer = live_on(disk, tmp_path)
    done = len(disk.calls)
    writer.close()
    for offset in range(1, 20):
        root = tmp_path / str(offset)
        root.mkdir()
        disk = FaultyDisk(done + offset, "EIO")
        _, writer = live_on(disk, root)
        answers = []
        for _ in range(2):
            writer._probe.forget()
            answers.append(is_ready(writer))
        writer.close()
        # An unlink that fails costs a left-over, not a row.
        expected = disk.calls[done + offset - 1] == "unlink" or done + offset > len(disk.calls)
        assert False in answers or expected, disk.calls[done + offset - 1]
        assert not list(folder(root).glob(".tmp-*")) or disk.calls[done + offset - 1] == "unlink"
