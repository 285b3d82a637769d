"""Durable file operations: the one seam through which contract files are created and replaced."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def fsync_dir(directory: Path) -> None:
    """Make the entries of `directory` (creations, renames) survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dirs(directory: Path) -> None:
    """Create `directory` with its parents and make each new entry durable. Existing ones are left alone."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir()
        fsync_dir(path.parent)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of `data`; raise OSError when the kernel takes only a part.

    A short write means that the disk is full or a limit was hit. Writing the rest would usually fail with
    the proper error, but not always (space may have come back), and then a caller that promised
    all-or-nothing could not tell. So a short write is an error in itself.
    """
    written = os.write(fd, data)
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
