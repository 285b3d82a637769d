"""Durable file operations: the one seam through which contract files are created and replaced.

`FileSystem` is the system calls that records depend on. Tests hand in one that fails the Nth call, or that
forgets what was not synced; production always takes `REAL`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path


class NotRegular(OSError):
    """What was to be opened is no regular file but a FIFO, a device, a socket, a folder, or a link."""

    reason = "is no regular file"

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, self.reason, str(path))


class FileSystem:
    """The system calls through which records reach the disk, as `os` has them. All raise OSError."""

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        """open(2); every descriptor is closed on exec."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def write(self, fd: int, data: bytes) -> int:
        """write(2): the number of bytes that were taken."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """fsync(2), of a file or of a directory's entries."""
        os.fsync(fd)

    def fdatasync(self, fd: int) -> None:
        """fdatasync(2)."""
        os.fdatasync(fd)

    def close(self, fd: int) -> None:
        """close(2). The descriptor is gone afterwards, also when this raises."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """rename(2): replaces `target`."""
        os.rename(source, target)  # noqa: PTH104 - the seam is about system calls

    def unlink(self, path: Path) -> None:
        """unlink(2)."""
        os.unlink(path)  # noqa: PTH108

    def mkdir(self, path: Path) -> None:
        """mkdir(2)."""
        os.mkdir(path)  # noqa: PTH102


REAL = FileSystem()


def open_regular(path: Path) -> int:
    """Open a regular file for reading; never waits. The caller closes the descriptor.

    Raises:
        NotRegular: it is something else; a symbolic link too, whatever it points to.
        OSError: as open(2).
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits until somebody writes into it.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        # ELOOP: a link; ENXIO: a socket, or a device without a driver.
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotRegular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotRegular(path)
    return fd


def read_regular(path: Path) -> bytes:
    """The content of a regular file. Errors as `open_regular`."""
    with open(open_regular(path), "rb") as stream:
        return stream.read()


def fsync_dir(directory: Path, files: FileSystem = REAL) -> None:
    """Make the entries of `directory` (creations, renames) survive a power cut."""
    fd = files.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        files.fsync(fd)
    finally:
        files.close(fd)


def make_dirs(directory: Path, files: FileSystem = REAL) -> None:
    """Create `directory` with its parents, each entry durable before anything is made inside it."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    # Whoever made the deepest one may have died, or failed, before its entry was synced. One that we may not
    # open was there before us.
    with contextlib.suppress(PermissionError):
        fsync_dir(directory.parent, files)
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            files.mkdir(path)
        fsync_dir(path.parent, files)


def write_all(fd: int, data: bytes, files: FileSystem = REAL) -> None:
    """Write every byte of `data`; raise OSError when the kernel takes only a part.

    A short write means that the disk is full or a limit was hit. Writing the rest would usually fail with
    the proper error, but not always (space may have come back), and then a caller that promised
    all-or-nothing could not tell. So a short write is an error in itself.
    """
    written = files.write(fd, data)
    if written != len(data):
        raise OSError(f"short write: {written} of {len(data)} bytes")


@contextlib.contextmanager
def replaced_atomically(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on a clean exit it is synced and becomes `target`.

    A reader sees the old file or the new one, never a part. After a crash at any point a stray
    `.tmp-*` file may remain; nothing reads those.
    """
    temporary = target.with_name(f".tmp-{secrets.token_hex(6)}-{target.name}")
    try:
        yield temporary
        fd = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # fsync the directory too: otherwise a power cut can undo the rename.
    fsync_dir(target.parent)


def write_atomically(target: Path, data: bytes) -> None:
    """Replace `target` by `data` so that readers see all of the old or all of the new content."""
    with replaced_atomically(target) as temporary:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
