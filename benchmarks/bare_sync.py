"""The control of the power cuts: threads that write a record and fdatasync it, nothing else. What may a cut take?

FS_IOC_SHUTDOWN stops the file system and not the processes on it, so an fdatasync that was under way comes back; a
machine without power has nobody left to come back to. The control says which of the two loses what.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.power_cut import ext4
from gateway.files import fsync_dir

_THREADS = 6
_RECORD_BYTES = 200
# Thread, number of the record, and when its fdatasync had returned 0, in ns of the monotonic clock.
_NOTE = struct.Struct("<qqq")


@dataclass(frozen=True)
class Sync:
    """An fdatasync that returned 0: seconds since the cut began (negative before it), and what became of its record."""

    at: float
    kept: bool


def cut_under(folder: Path, load_seconds: float, *, killed: bool) -> list[Sync]:
    """Cut the power of an ext4 that threads write to. `killed`: they lose their power with it, or else live on."""
    with ext4(folder) as disk:
        command = [sys.executable, "-m", "benchmarks.bare_sync", str(disk.mount)]
        with subprocess.Popen(
            command, cwd=report.ROOT, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        ) as writers:
            assert writers.stdout is not None
            notes = writers.stdout.read(_NOTE.size)
            time.sleep(load_seconds)
            began = time.monotonic_ns()
            disk.cut(writers.pid if killed else None)
            notes += writers.stdout.read()
        disk.start_again()
        kept = [_records(path) for path in _files(disk.mount)]
    return [Sync((at - began) / 1e9, number < kept[thread]) for thread, number, at in _NOTE.iter_unpack(notes)]


def _records(path: Path) -> int:
    """How many records from the first on are whole."""
    data, number = path.read_bytes(), 0
    while data[number * _RECORD_BYTES : (number + 1) * _RECORD_BYTES] == _record(number):
        number += 1
    return number


def main(folder: Path) -> None:
    """Write and sync in `folder` until its disk is gone; each sync that returned 0 is noted on standard output."""
    fds = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in _files(folder)]
    fsync_dir(folder)
    for thread, fd in enumerate(fds):
        threading.Thread(target=_write, args=(thread, fd)).start()


def _write(thread: int, fd: int) -> None:
    with contextlib.suppress(OSError):
        for number in itertools.count():
            os.write(fd, _record(number))
            os.fdatasync(fd)
            os.write(sys.stdout.fileno(), _NOTE.pack(thread, number, time.monotonic_ns()))


def _record(number: int) -> bytes:
    return f"{number:{_RECORD_BYTES - 1}}\n".encode()


def _files(folder: Path) -> list[Path]:
    return [folder / str(thread) for thread in range(_THREADS)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
