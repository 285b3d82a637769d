"""Disks that fail: system calls that go wrong when they are told to, and a power cut that forgets what was not synced.

Both stand behind `gateway.files.FileSystem`, on real files in a real folder.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gateway.files import FileSystem

Fault = Literal["ENOSPC", "EIO", "EIO afterwards", "short write"]
#: "EIO afterwards": the call did its work and reports an error all the same.
FAULTS: tuple[Fault, ...] = ("ENOSPC", "EIO", "EIO afterwards", "short write")


class ObservedDisk(FileSystem):
    """Hands each call to `_around`, which may do it, fail, or both."""

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        """open(2)."""
        return int(self._around("open", super().open, path, flags, mode))

    def write(self, fd: int, data: bytes) -> int:
        """write(2)."""
        return int(self._around("write", super().write, fd, data))

    def fsync(self, fd: int) -> None:
        """fsync(2)."""
        self._around("fsync", super().fsync, fd)

    def fdatasync(self, fd: int) -> None:
        """fdatasync(2)."""
        self._around("fdatasync", super().fdatasync, fd)

    def close(self, fd: int) -> None:
        """close(2)."""
        self._around("close", super().close, fd)

    def rename(self, source: Path, target: Path) -> None:
        """rename(2)."""
        self._around("rename", super().rename, source, target)

    def unlink(self, path: Path) -> None:
        """unlink(2)."""
        self._around("unlink", super().unlink, path)

    def mkdir(self, path: Path) -> None:
        """mkdir(2)."""
        self._around("mkdir", super().mkdir, path)

    def _around(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        raise NotImplementedError


class FaultyDisk(ObservedDisk):
    """Fails `lasts` calls from number `first` on (counting from 1); never with the default."""

    def __init__(self, first: int = 0, fault: Fault = "EIO", lasts: int = 1) -> None:
        self.calls: list[str] = []
        self._failing = range(0)
        self._fault = fault
        if first:
            self.fail(first, fault, lasts)

    def fail(self, first: int, fault: Fault, lasts: int = 1) -> None:
        """Fail these calls, and no others that were to fail."""
        self._failing = range(first, first + lasts)
        self._fault = fault

    def heal(self) -> None:
        """Fail no more."""
        self._failing = range(0)

    def _around(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        self.calls.append(name)
        if len(self.calls) not in self._failing:
            return call(*arguments)
        if self._fault == "short write" and name == "write":
            fd, data = arguments
            return call(fd, data[: len(data) // 2])
        # close(2) frees the descriptor whatever it returns.
        if self._fault == "EIO afterwards" or name == "close":
            done = call(*arguments)
            if name == "open":
                os.close(done)
        code = errno.ENOSPC if self._fault == "ENOSPC" else errno.EIO
        raise OSError(code, os.strerror(code))


@dataclass
class _Disk:
    """What would be there after a power cut: synced contents by inode, synced entries by directory inode."""

    contents: dict[int, bytes] = field(default_factory=dict)
    entries: dict[int, dict[str, int]] = field(default_factory=dict)


class ForgetfulDisk(ObservedDisk):
    """A disk of which a power cut leaves only what was synced, and of the rest whatever chance decides.

    An fsync of a file keeps its content, one of a directory its entries; nothing else does. Real file systems
    keep more, so what survives here survives there.

    Args:
        root: the folder that is on this disk; it exists and is durable itself.
        cut_at: the number of the call (from 1) before which the power goes; every later one fails.
    """

    def __init__(self, root: Path, cut_at: int | None = None) -> None:
        self.calls = 0
        self._root = root
        self._cut_at = cut_at
        self._disk = _Disk()
        self._mutex = threading.Lock()

    @property
    def is_cut(self) -> bool:
        """Whether the power is gone."""
        return self._cut_at is not None and self.calls >= self._cut_at

    def _around(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        # One at a time: what a sync keeps is then exactly what was written before it.
        with self._mutex:
            self.calls += 1
            if self.is_cut:
                if name == "close":
                    call(*arguments)
                raise OSError(errno.EIO, "the power is gone")
            done = call(*arguments)
            if name in ("fsync", "fdatasync"):
                self._keep(arguments[0])
            elif name == "open" and arguments[1] & os.O_CREAT:
                # A new file may have the number of one that is gone.
                self._disk.contents.pop(os.fstat(done).st_ino, None)
            elif name == "mkdir":
                self._disk.entries.pop(arguments[0].stat().st_ino, None)
            return done

    def _keep(self, fd: int) -> None:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            self._disk.entries[status.st_ino] = {entry.name: entry.inode() for entry in os.scandir(fd)}
        else:
            self._disk.contents[status.st_ino] = Path(f"/proc/self/fd/{fd}").read_bytes()

    def after_the_cut(self, target: Path, seed: int | None = None) -> None:
        """Write what the next start finds into the new folder `target`.

        With a seed, each unsynced tail and each unsynced entry survives or not at random: a prefix of the bytes
        that were written, or zeros in their place, which is what a file system may give.
        """
        rng = None if seed is None else random.Random(seed)
        self._restore(self._root, target, rng)

    def _restore(self, source: Path, target: Path, rng: random.Random | None) -> None:
        target.mkdir()
        kept = self._disk.entries.get(source.stat().st_ino, {})
        now = {entry.name: entry.inode() for entry in os.scandir(source)}
        places = {inode: source / name for name, inode in now.items()}
        names = dict(kept)
        for name, inode in now.items() if rng else ():
            if name not in kept and rng is not None and rng.random() < 0.5:
                # A rename that happened after all takes the old name away.
                names = {old: number for old, number in names.items() if number != inode} | {name: inode}
        for name, inode in names.items():
            place = places.get(inode)
            if place is not None and place.is_dir():
                self._restore(place, target / name, rng)
            else:
                (target / name).write_bytes(self._content(inode, place, rng))

    def _content(self, inode: int, place: Path | None, rng: random.Random | None) -> bytes:
        synced = self._disk.contents.get(inode, b"")
        if rng is None or place is None:
            return synced
        tail = place.read_bytes()[len(synced) :]
        tail = tail[: rng.randint(0, len(tail))]
        return synced + (bytes(len(tail)) if rng.random() < 0.3 else tail)
