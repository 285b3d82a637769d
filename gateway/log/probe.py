"""Whether a log's folder takes a write at this moment, found out by one; never a row, never a segment."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gateway.files import REAL, FileSystem, fsync_dir, make_dirs, write_all

#: Asking more often than this gives the last answer again: readiness must not load the disk.
KEPT_SECONDS = 1.0
#: A block of most file systems. Less might fit into an inode and succeed on a full disk.
_PROBE_BYTES = 4096


class WriteProbe:
    """Creates, writes, syncs and removes a small file; shared by the threads of a process.

    Args:
        folder: where; made when it is absent.
        timeout_seconds: how long to wait for another thread that is probing, perhaps on a stuck disk.
        monotonic: seconds, for the age of the last answer.
        files: the system calls.
    """

    def __init__(
        self,
        folder: Path,
        *,
        timeout_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        files: FileSystem = REAL,
    ) -> None:
        self._folder = folder
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._files = files
        self._probing = threading.Lock()
        self._asked_at: float | None = None
        self._fault: str | None = None

    def fault(self) -> str | None:
        """Why the folder took no write when it was last tried, at most a second ago; None when it did."""
        if not self._probing.acquire(timeout=self._timeout_seconds):
            return f"cannot record in {self._folder}: no answer from the disk for {self._timeout_seconds:g} s"
        try:
            now = self._monotonic()
            if self._asked_at is None or now - self._asked_at >= KEPT_SECONDS:
                self._fault = self._try()
                self._asked_at = now
            return self._fault
        finally:
            self._probing.release()

    def forget(self) -> None:
        """Try anew at the next question: a row has just failed."""
        self._asked_at = None

    def _try(self) -> str | None:
        path = self._folder / f".tmp-probe-{secrets.token_hex(6)}"
        try:
            make_dirs(self._folder, self._files)
            fd = self._files.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                write_all(fd, bytes(_PROBE_BYTES), self._files)
                self._files.fsync(fd)
            finally:
                # Removed on every way out: what is left over would fill the disk.
                with contextlib.suppress(OSError):
                    self._files.unlink(path)
                self._files.close(fd)
            fsync_dir(self._folder, self._files)
        except OSError as error:
            return f"cannot record in {self._folder}: {error.strerror or error}"
        return None
