"""Power cuts: simulated at any system call, and real ones of an ext4 in an image file.

The real one is the kernel's own: FS_IOC_SHUTDOWN without a flush of the journal stops the file system where it
stands, as the power does; everything that is only in memory is gone with the next mount. It needs root. Power takes
the processes too, so they are killed first: a sync that is under way while the file system stops may return success
for data that is gone (`benchmarks/bare_sync.py` shows it), and a process that lived on would answer for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.disks import ForgetfulDisk
from benchmarks.load import wait_for
from gateway.clock import utc_text
from gateway.log.line import LogColumn, header_line
from gateway.log.reader import scan
from gateway.log.segment import segments
from gateway.log.writer import LogUnavailable, SegmentWriter

COLUMNS = (
    LogColumn("seq", "integer"),
    LogColumn("request_id", "text"),
    LogColumn("timestamp", "time"),
    LogColumn("crc32", "integer"),
)
PREFIX = "live_predictions"
_THREADS = 6
_CALLS_MAX = 400
_IMAGE_BYTES = 64 * 1024**2
_UMOUNT_SECONDS = 20
# linux/fs.h: _IOR('X', 125, __u32) and its flag "do not flush the journal".
_FS_IOC_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2


@dataclass(frozen=True)
class Survivors:
    """What a simulated cut left: ids that were acknowledged, ids in the log, ids that were tried at all."""

    acknowledged: set[str]
    logged: list[str]
    tried: set[str]

    @property
    def lost(self) -> int:
        """Acknowledged rows that are gone."""
        return len(self.acknowledged - set(self.logged))

    @property
    def wrong(self) -> int:
        """Rows that stand there twice, or that nobody wrote."""
        return len(self.logged) - len(set(self.logged) & self.tried)


def simulate(folder: Path, seed: int, *, durable: bool) -> Survivors:
    """Several threads append to small segments until the power goes at a random call; what is there afterwards?"""
    rng = random.Random(seed)
    root = folder / "disk"
    root.mkdir(parents=True)
    disk = ForgetfulDisk(root, cut_at=rng.randint(1, _CALLS_MAX))
    writer = writer_on(disk, root / "live" / "model" / "1", durable=durable, bytes_max=2_000)
    told: list[list[str]] = [[] for _ in range(_THREADS)]
    tried: list[list[str]] = [[] for _ in range(_THREADS)]

    def append(thread: int) -> None:
        while not disk.is_cut:
            rows = [str(uuid.uuid4()) for _ in range(1 + len(tried[thread]) % 3)]
            tried[thread] += rows
            with contextlib.suppress(LogUnavailable):
                writer.append([payload(row) for row in rows])
                told[thread] += rows

    threads = [threading.Thread(target=append, args=(number,)) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    after = folder / "after"
    disk.after_the_cut(after, seed if seed % 2 else None)
    return Survivors({row for rows in told for row in rows}, logged_ids(after), {row for rows in tried for row in rows})


def writer_on(disk: ForgetfulDisk, folder: Path, *, durable: bool, bytes_max: int) -> SegmentWriter:
    """A writer of rows that are an id and a time."""
    return SegmentWriter(folder, PREFIX, header_line(COLUMNS), durable=durable, bytes_max=bytes_max, files=disk)


def payload(request_id: str) -> bytes:
    """One row's fields between `seq` and `crc32`."""
    return f"{request_id},{utc_text(0)}".encode()


def logged_ids(root: Path) -> list[str]:
    """The ids of every intact row under `root`/live/model/1."""
    return [
        line.split(b",")[1].decode()
        for path in segments(root / "live" / "model" / "1", PREFIX)
        for line in scan(path, COLUMNS).data.split(b"\n")[1:-1]
    ]


@dataclass(frozen=True)
class Ext4:
    """A mounted ext4 whose power can be cut."""

    image: Path
    mount: Path

    def cut(self, group: int | None) -> None:
        """Kill a process group, and stop the file system at once, flushing nothing; later calls on it fail with EIO.

        Args:
            group: what loses its power with the disk. kill(2) marks every thread before it returns, and a thread so
                marked never comes back from a system call: nobody answers for a sync that the cut meets. None leaves
                the processes alive, which no power cut does.
        """
        fd = os.open(self.mount, os.O_RDONLY)
        try:
            if group is not None:
                os.killpg(group, signal.SIGKILL)
            fcntl.ioctl(fd, _FS_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def start_again(self) -> None:
        """Mount what is on the disk; the kernel replays the journal, as after any power cut."""
        # Whoever was killed in a system call holds the mount until that call ends.
        wait_for(lambda: _succeeds("umount", str(self.mount)), _UMOUNT_SECONDS, f"umount {self.mount}")
        _run("mount", "-o", "loop", str(self.image), str(self.mount))


@contextlib.contextmanager
def ext4(folder: Path) -> Iterator[Ext4]:
    """A new ext4 of 64 MiB in an image file in `folder`, with the defaults of mkfs and mount."""
    image, mount = folder / "disk.img", folder / "mount"
    mount.mkdir()
    with image.open("wb") as stream:
        stream.truncate(_IMAGE_BYTES)
    _run("mkfs.ext4", "-q", str(image))
    _run("mount", "-o", "loop", str(image), str(mount))
    try:
        yield Ext4(image, mount)
    finally:
        _run("umount", "--lazy", str(mount))
        image.unlink()
        mount.rmdir()


def why_no_ext4() -> str | None:
    """Why no real power cut can be made here; None when it can."""
    if os.geteuid() != 0:
        return "mounting an image needs root"
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
    return f"{', '.join(missing)}: not installed" if missing else None


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0
