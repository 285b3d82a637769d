"""One at a time, and whoever waits is told what for."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

from gateway.locks import Busy, locked


def test_a_held_lock_is_waited_for_so_long_and_then_given_up(tmp_path: Path) -> None:
    """The holder may be another process; the text says what is under way."""
    path, told = tmp_path / "locks" / "job.lock", []
    path.parent.mkdir()
    with open(path, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        began = time.monotonic()
        with (
            pytest.raises(Busy, match="another job is under way"),
            locked(path, "another job", wait_seconds=0.3, waiting=lambda: told.append("waiting")),
        ):
            pass
        assert time.monotonic() - began >= 0.3
    assert told == ["waiting"]


def test_it_is_taken_as_soon_as_it_is_free(tmp_path: Path) -> None:
    """Also after an error inside the block; a free one is not waited for."""
    path = tmp_path / "job.lock"
    with pytest.raises(ZeroDivisionError), locked(path, "a job"):
        _ = 1 / 0
    with open(path, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        free = threading.Timer(0.3, lambda: fcntl.flock(stream, fcntl.LOCK_UN))
        free.start()
        with locked(path, "a job", wait_seconds=20):
            assert free.finished.is_set()
        free.join()
