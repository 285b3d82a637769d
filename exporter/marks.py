"""The state of a file, by which an unchanged one is known without reading it."""

from __future__ import annotations

from pathlib import Path

#: Identifies one state of a file: replaced files differ in inode, rewritten ones in time or size.
Mark = tuple[int, int, int]


def mark(path: Path) -> Mark:
    """The state at this moment. Raises OSError where there is no file."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
