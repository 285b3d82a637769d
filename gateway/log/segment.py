"""A segment: one file, written by one process, named so that it cannot collide and carries its identity.

`<prefix>-v1-20261120T151139Z-5f3a9c01-9b1d2e3f4a5b.csv`: format version, UTC second of creation (for people),
CRC-32 of the header line in hexadecimal, 48 random bits. The id is all between prefix and `.csv`; a file
that stopped being trusted is renamed to `<prefix>-<id>.suspect.csv`, and keeps its id.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.files import REAL, FileSystem, NotRegular, fsync_dir, make_dirs, write_all

FORMAT_VERSION = 1
_NAME = re.compile(r"(?P<prefix>[a-z_]+)-(?P<id>v(?P<version>\d+)-[^.]+)(?P<suspect>\.suspect)?\.csv")
_V1_ID = re.compile(r"v1-\d{8}T\d{6}Z-(?P<header_crc>[0-9a-f]{8})-[0-9a-f]{12}")


class LogError(Exception):
    """Base of everything that the logs raise."""


class UnreadableSegment(LogError):
    """A file that this program cannot read as a segment: `path` and `reason` say which and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class MissingSegment(UnreadableSegment):
    """There is no such file, perhaps not any more: its writer may have renamed it, retention may have deleted it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "is missing")


@dataclass(frozen=True)
class SegmentName:
    """What a segment's file name says. `header_crc`: CRC-32 of the header line it was created with."""

    prefix: str
    segment_id: str
    header_crc: int
    suspect: bool


@dataclass(frozen=True)
class OpenSegment:
    """A segment that this process writes: the locked descriptor, where the file is, and its id."""

    fd: int
    path: Path
    segment_id: str


def parse_name(path: Path) -> SegmentName:
    """Read a segment's identity from its name. Raises UnreadableSegment: no segment, or of a newer format."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise UnreadableSegment(path, "is not named like a segment")
    if int(match["version"]) > FORMAT_VERSION:
        raise UnreadableSegment(
            path, f"format version {match['version']} is newer than this program's {FORMAT_VERSION}"
        )
    parts = _V1_ID.fullmatch(match["id"])
    if parts is None:
        raise UnreadableSegment(path, "is not named like a segment")
    return SegmentName(match["prefix"], match["id"], int(parts["header_crc"], 16), match["suspect"] is not None)


def segment_id_of(path: Path) -> str | None:
    """The id in a segment's name; None for a path that is not named like a segment, or like a newer one."""
    try:
        return parse_name(path).segment_id
    except UnreadableSegment:
        return None


def unreadable(path: Path, error: OSError) -> UnreadableSegment:
    """What an error of the system says about a segment."""
    if isinstance(error, FileNotFoundError):
        return MissingSegment(path)
    if isinstance(error, NotRegular):
        return UnreadableSegment(path, NotRegular.reason)
    return UnreadableSegment(path, f"cannot be read ({error.strerror})")


def create(folder: Path, prefix: str, header: bytes, now: float, files: FileSystem = REAL) -> OpenSegment:
    """Create a segment that holds its header, locked and durable, and return it open for appending.

    It is made under a temporary name and renamed when the header is on disk: nobody sees a segment without
    a header. Raises OSError; then nothing is left, or what could not be removed: a `.tmp-` file or a segment
    without rows.
    """
    make_dirs(folder, files)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    segment_id = f"v{FORMAT_VERSION}-{stamp}-{zlib.crc32(header):08x}-{secrets.token_hex(6)}"
    path = folder / f"{prefix}-{segment_id}.csv"
    temporary = made = folder / f".tmp-{path.name}"
    fd = files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
    try:
        # The lock says "somebody writes here". A kill frees it at once, however the process died.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A rename would replace a segment of the same id. There can be none that this does not see: whoever
        # makes it holds the temporary name, which was free just now, until its own name stands there.
        if path.exists() or suspect_path(path).exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        write_all(fd, header, files)
        files.fsync(fd)
        files.rename(temporary, path)
        made = path
        fsync_dir(folder, files)
    except BaseException:
        # Removed while it is locked: nobody can have sealed it.
        with contextlib.suppress(OSError):
            files.unlink(made)
        with contextlib.suppress(OSError):
            files.close(fd)
        raise
    return OpenSegment(fd, path, segment_id)


def suspect_path(path: Path) -> Path:
    """How a segment is called once it is not trusted any more. The id stays."""
    return path.with_suffix(".suspect.csv")


def is_being_written(fd: int) -> bool:
    """Whether another process holds the segment open for writing; `fd` is any descriptor of the file."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def segments(folder: Path, prefix: str) -> list[Path]:
    """The segments of one log in `folder`, suspect ones included, in the order of their names."""
    return sorted(folder.glob(f"{prefix}-v*.csv"))
