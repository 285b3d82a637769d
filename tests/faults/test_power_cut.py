"""A power cut at any moment: in durability `power` nothing acknowledged is lost, in `process` it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bare_sync import cut_under
from benchmarks.disks import ForgetfulDisk
from benchmarks.oracle import Clients, judge
from benchmarks.power_cut import ext4, simulate, why_no_ext4
from tests.faults.script import check_promise, folder, live_on, logged_rows
from tests.gateway.log.rows import HEADER
from tests.models import register_numbers
from tests.running import Place, gateway
from tests.tools import wait_until


def calls_of_a_life(root: Path) -> int:
    """How many calls the script makes on a disk that keeps its power."""
    root.mkdir()
    disk = ForgetfulDisk(root)
    _, writer = live_on(disk, root)
    writer.close()
    return disk.calls


@pytest.mark.parametrize("seed", [None, 1, 2, 3], ids=["only what was synced", "more 1", "more 2", "more 3"])
def test_cut_before_every_call_no_acknowledged_row_is_lost(tmp_path: Path, seed: int | None) -> None:
    """For every N, with the least that may survive and with tails and renames that survive by chance."""
    kept = 0
    for cut_at in range(1, calls_of_a_life(tmp_path / "calls") + 2):
        root, after = tmp_path / f"{cut_at}", tmp_path / f"{cut_at}-after"
        root.mkdir()
        disk = ForgetfulDisk(root, cut_at)
        life, writer = live_on(disk, root)
        writer.close()
        disk.after_the_cut(after, seed)
        check_promise(life, after)
        assert all(path.read_bytes().startswith(HEADER) for path in folder(after).glob("live_predictions-*"))
        kept += len(life.acknowledged)
    assert kept > 100


class FailsOnce(ForgetfulDisk):
    """Forgets, and fails one call before that."""

    def __init__(self, root: Path, fails_at: int) -> None:
        super().__init__(root)
        self._fails_at = fails_at

    def _around(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        if self.calls + 1 != self._fails_at:
            return super()._around(name, call, *arguments)
        self.calls += 1
        if name == "close":
            call(*arguments)
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_power_cut_after_a_fault_loses_nothing_either(tmp_path: Path) -> None:
    """For every call that fails once: what was acknowledged before it and after it survives the cut at the end."""
    for fails_at in range(1, calls_of_a_life(tmp_path / "calls") + 1):
        root, after = tmp_path / f"{fails_at}", tmp_path / f"{fails_at}-after"
        root.mkdir()
        disk = FailsOnce(root, fails_at)
        life, writer = live_on(disk, root)
        disk.after_the_cut(after)
        writer.close()
        assert life.acknowledged
        check_promise(life, after)


def test_the_disk_forgets_what_was_not_synced(tmp_path: Path) -> None:
    """In `process` the same cuts lose rows: the test above would see it."""
    root, after = tmp_path / "disk", tmp_path / "after"
    root.mkdir()
    disk = ForgetfulDisk(root)
    life, writer = live_on(disk, root, durable=False)
    disk.after_the_cut(after)
    writer.close()
    assert life.refused == 0
    assert set(logged_rows(root)) == set(life.tried)
    assert logged_rows(after) == []


def test_cut_at_a_random_call_of_many_threads(tmp_path: Path) -> None:
    """Thirty cuts while six threads write; the seed is the number in the folder's name."""
    lost_in_process = 0
    for seed in range(30):
        left = simulate(tmp_path / f"power-{seed}", seed, durable=True)
        assert (left.lost, left.wrong) == (0, 0), f"seed {seed}"
        lost_in_process += simulate(tmp_path / f"process-{seed}", seed, durable=False).lost
    assert lost_in_process > 0


@pytest.mark.parametrize("durability", ["power", "process"])
def test_the_power_of_a_real_file_system_is_cut_under_load(tmp_path: Path, durability: str) -> None:
    """The gateway dies and its ext4 stops where it stands: after the restart every row ever answered is there."""
    if (why_not := why_no_ext4()) is not None:
        pytest.skip(why_not)
    with ext4(tmp_path) as disk:
        place = Place(disk.mount, settings={"SENTINEL_GATEWAY_DURABILITY": durability})
        card = register_numbers(place.registry, tmp_path / "in")
        with gateway(place) as running, Clients(place.gateway_port, card, 4, seed=1) as clients:
            wait_until(lambda: clients.answered() > 200, 60, "answers")
            disk.cut(running.process.pid)
        disk.start_again()
        found = judge(clients.all, place.paths.live, card)
    assert found.acknowledged > 200
    if durability == "power":
        assert found.holds, found
    else:
        assert found.lost > 0
        assert (found.different, found.duplicates, found.invented) == (0, 0, 0)


def test_the_cut_itself_takes_nothing_that_was_synced(tmp_path: Path) -> None:
    """The control: threads that write and sync, nothing else, on the same file system under the same cut."""
    if (why_not := why_no_ext4()) is not None:
        pytest.skip(why_not)
    for _ in range(5):
        synced = cut_under(tmp_path, 0.05, killed=True)
        assert synced
        assert all(sync.kept for sync in synced)
