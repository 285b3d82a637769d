"""One at a time: a lock file that the kernel frees however its holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.files import make_dirs

_POLL_SECONDS = 0.2


class Busy(Exception):
    """Somebody else holds the lock."""


@contextmanager
def locked(
    path: Path, what: str, *, wait_seconds: float = 0.0, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock file `path` for the block.

    Args:
        what: is under way while somebody holds it, in words.
        wait_seconds: for its holder to end; `waiting` is called once if that is necessary.

    Raises:
        Busy: it is still held; the text says that `what` is under way.
        OSError: the file cannot be made or opened.
    """
    make_dirs(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _is_taken(fd):
            waiting_until = time.monotonic() + wait_seconds
            if wait_seconds > 0:
                waiting()
            while not _is_taken(fd):
                if time.monotonic() >= waiting_until:
                    raise Busy(f"{what} is under way")
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(fd)


def _is_taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
