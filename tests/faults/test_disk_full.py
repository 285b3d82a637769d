"""A real disk that is full, and has space again: refusals in between, no restart, nothing acknowledged lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.oracle import Clients, judge
from gateway.log import predictions
from gateway.log.reader import scan
from gateway.log.writer import SegmentWriter
from tests.faults.script import Life, check_promise, folder, is_ready
from tests.gateway.log.rows import COLUMNS, HEADER
from tests.models import register_numbers
from tests.running import Place, gateway, request
from tests.tools import wait_until

_BYTES = 4 * 1024**2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB in memory, mounted for one test."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a tmpfs needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    options = f"size={_BYTES}"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"mounting a tmpfs: {made.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def fill(disk: Path) -> Path:
    """Take all the space there is; returns the file that has it."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as stream:
        for size in (65536, 4096, 1):
            try:
                while stream.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


def test_the_writer_refuses_on_a_full_disk_and_goes_on_when_there_is_space(small_disk: Path) -> None:
    """Three times full and back: every refusal is one, readiness says so, the segments in between are suspect."""
    writer = SegmentWriter(folder(small_disk), predictions.PREFIX, HEADER)
    life = Life()
    for _ in range(3):
        assert life.append(writer)
        ballast = fill(small_disk)
        # A page of the segment may have room for some more rows.
        while life.append(writer, 5):
            pass
        assert not life.append(writer)
        writer._probe.forget()
        assert not is_ready(writer)
        ballast.unlink()
        assert life.append(writer)
        writer._probe.forget()
        assert is_ready(writer)
    writer.close()
    check_promise(life, small_disk)
    damaged = [path for path in folder(small_disk).glob("*.csv") if scan(path, COLUMNS).damage]
    assert all(".suspect." in path.name for path in damaged)
    assert not list(folder(small_disk).glob(".tmp-*"))


def test_a_disk_that_turns_read_only_refuses_until_it_is_writable_again(small_disk: Path) -> None:
    """As the kernel does with a file system that it found damaged; the log goes on in a new segment."""
    writer = SegmentWriter(folder(small_disk), predictions.PREFIX, HEADER)
    life = Life()
    assert life.append(writer)
    # No file system is made read-only under a file that is open for writing.
    writer.close()
    writer = SegmentWriter(folder(small_disk), predictions.PREFIX, HEADER)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert not life.append(writer)
    assert not is_ready(writer)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert life.append(writer)
    writer._probe.forget()
    assert is_ready(writer)
    writer.close()
    check_promise(life, small_disk)
    assert sorted(life.acknowledged) == [0, 2]


def test_the_gateway_survives_a_full_disk_without_a_restart(small_disk: Path, tmp_path: Path) -> None:
    """503 and not ready while it is full, 200 and ready after, under load all the time; the oracle holds."""
    place = Place(tmp_path, settings={"SENTINEL_PATHS_DATA": str(small_disk / "data")})
    card = register_numbers(place.registry, tmp_path / "in", rows=300)
    live = small_disk / "data" / "live"
    port = place.gateway_port
    with gateway(place), Clients(port, card, 4, seed=2) as clients:
        wait_until(lambda: clients.answered() > 50, 60, "answers")
        ballast = fill(small_disk)
        wait_until(lambda: sum(client.refused for client in clients.all) > 50, 60, "refusals")
        wait_until(lambda: request(port, "GET", "/ready").status == 503, 20, "readiness to turn red")
        ballast.unlink()
        before = clients.answered()
        wait_until(lambda: clients.answered() > before + 50, 60, "answers again")
        wait_until(lambda: request(port, "GET", "/ready").status == 200, 20, "readiness to come back")
    found = judge(clients.all, live, card)
    assert found.holds, found
