"""Opening a report so that no path can leave `reports/`: fixed names, no links, checked where it is opened."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from gateway.registry.card import NAME_PATTERN, VERSION_PATTERN

RUN_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HTML = "text/html; charset=utf-8"
#: The files of a run that are served, with their content types.
SERVED = {"report.html": _HTML, "result.json": "application/json"}
#: The files of a model version beside its runs.
MODEL_SERVED = {"model_report.html": _HTML, "model_report.json": "application/json"}
#: The files of a replay of logged traffic.
REPLAY_SERVED = {"replay.html": _HTML, "replay.json": "application/json", "changes.csv": "text/csv; charset=utf-8"}


def open_report(reports: Path, name: str, version: str, run_id: str, file: str) -> BinaryIO | None:
    """The file of one run, open for reading, or None if there is no such regular file."""
    if file not in SERVED or not RUN_PATTERN.fullmatch(run_id):
        return None
    return _open_below(reports, name, version, (run_id,), file)


def open_model_report(reports: Path, name: str, version: str, file: str) -> BinaryIO | None:
    """What a candidate was fitted on and how it compares, open for reading, or None if there is no such file."""
    return _open_below(reports, name, version, (), file) if file in MODEL_SERVED else None


def open_replay(reports: Path, name: str, version: str, replay_id: str, file: str) -> BinaryIO | None:
    """Where a version answers otherwise than was logged, open for reading, or None if there is no such file."""
    if file not in REPLAY_SERVED or not RUN_PATTERN.fullmatch(replay_id):
        return None
    return _open_below(reports, name, version, ("replays", replay_id), file)


def _open_below(reports: Path, name: str, version: str, folders: tuple[str, ...], file: str) -> BinaryIO | None:
    """A file of one model version; `folders` and `file` are known to be harmless names.

    Each part must match its pattern, so it cannot be `..`, absolute or hidden. Each step is opened relative
    to the one before and refuses symbolic links, so no link inside `reports` leads out of it, not even one
    that appears between a check and the opening.
    """
    if not NAME_PATTERN.fullmatch(name) or not VERSION_PATTERN.fullmatch(version):
        return None
    try:
        folder = os.open(reports, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        for part in (name, version, *folders):
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
