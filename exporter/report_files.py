"""Opening a report so that no path can leave `reports/`: fixed names, no links, checked where it is opened."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from gateway.registry.card import NAME_PATTERN, VERSION_PATTERN

RUN_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: The files of a run that are served, with their content types.
SERVED = {"report.html": "text/html; charset=utf-8", "result.json": "application/json"}


def open_report(reports: Path, name: str, version: str, run_id: str, file: str) -> BinaryIO | None:
    """The file of one run, open for reading, or None if there is no such regular file.

    Each part must match its pattern, so it cannot be `..`, absolute or hidden. Each step is opened relative
    to the one before and refuses symbolic links, so no link inside `reports` leads out of it, not even one
    that appears between a check and the opening.
    """
    patterns = ((NAME_PATTERN, name), (VERSION_PATTERN, version), (RUN_PATTERN, run_id))
    if file not in SERVED or not all(pattern.fullmatch(part) for pattern, part in patterns):
        return None
    try:
        folder = os.open(reports, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        for part in (name, version, run_id):
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        # Non-blocking: opening a FIFO that somebody put there must not hang the thread.
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    return os.fdopen(fd, "rb")
