"""One job of a kind at a time: locks that a killed process cannot leave behind."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.files import make_dirs

#: How long a person's run waits for another one; the scheduler comes again by itself.
LOCK_WAIT_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.2


class AlreadyRunning(Exception):
    """Another run holds the lock."""


@contextmanager
def held(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold a lock, the file at `path`; the kernel frees it however the process ends.

    Raises:
        AlreadyRunning: another run still holds it after `wait_seconds`.
        OSError: the file cannot be made.
    """
    make_dirs(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_seconds
        waiting = False
        while not _is_taken(fd):
            if time.monotonic() >= deadline:
                raise AlreadyRunning(str(path))
            if not waiting:
                print(f"another run is under way; waiting for it, {wait_seconds:g} s at most", file=sys.stderr)
                waiting = True
            time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(fd)


def _is_taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
