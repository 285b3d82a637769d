"""The spool of run requests."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from drift_engine.run_requests import PENDING_MAX, SpoolFull, take, write
from tests.results import NOON


def test_requests_come_out_once_and_in_order(tmp_path: Path) -> None:
    """What was written is taken, oldest first, and then it is gone."""
    written = [write(tmp_path, name, NOON + i) for i, name in enumerate(["b", None, "a"])]
    assert take(tmp_path) == tuple(written)
    assert written[0].requested_at == "2026-11-20T12:00:00.000000Z"
    assert take(tmp_path) == ()


def test_asking_twice_is_asking_once(tmp_path: Path) -> None:
    """An impatient click does not make a second run, until the first request was taken."""
    first = write(tmp_path, "fraud", NOON)
    assert write(tmp_path, "fraud", NOON + 1) == first
    assert take(tmp_path) == (first,)
    assert write(tmp_path, "fraud", NOON + 2) != first


def test_the_spool_is_bounded(tmp_path: Path) -> None:
    """Without a scheduler requests do not pile up for ever."""
    for number in range(PENDING_MAX):
        write(tmp_path, f"model{number}", NOON)
    with pytest.raises(SpoolFull, match="is the scheduler running"):
        write(tmp_path, "one-more", NOON)
    assert write(tmp_path, "model3", NOON).model_name == "model3"


def test_damage_is_removed_and_never_runs_anything(tmp_path: Path) -> None:
    """A half-written, foreign or hidden file neither blocks the others nor comes back."""
    request = write(tmp_path, "fraud", NOON)
    spool = tmp_path / "run_requests"
    (spool / "0.json").write_bytes(b"")
    (spool / "1.json").write_bytes(b'{"model_name": 5, "requested_at": "x"}')
    (spool / ".tmp-abc.json").write_bytes(b'{"model_name": "half", "requested_at": "x"}')
    assert take(tmp_path) == (request,)
    assert [path.name for path in spool.iterdir()] == [".tmp-abc.json"]


def test_an_absent_spool_is_empty(tmp_path: Path) -> None:
    """Nobody has asked for anything yet."""
    assert take(tmp_path) == ()


def ask(folder: Path, worker: int) -> None:
    """Ask for three runs, from another process."""
    for number in range(3):
        write(folder, f"model-{worker}-{number}", NOON + number)


def test_requests_of_several_processes_all_arrive(tmp_path: Path) -> None:
    """Writers need no lock among themselves."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=ask, args=(tmp_path, worker)) for worker in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    names = {request.model_name for request in take(tmp_path)}
    assert names == {f"model-{worker}-{number}" for worker in range(4) for number in range(3)}
