"""Temporary files under `data/live` that a killed process left behind, and their removal by the sealing job.

A temporary file becomes a segment or the chain by a rename, or a probe removes it; between the two a kill leaves
it. Removed is what is called as our own temporary files are, is an hour old, is locked by nobody and holds no row.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.files import open_regular
from gateway.log import manifest
from gateway.log.segment import segment_id_of

#: A segment's creation, a probe and the replacement of the chain take seconds, on a slow disk too.
ABANDONED_SECONDS = 3600.0
_PREFIX = ".tmp-"
_PROBE = re.compile(r"\.tmp-probe-[0-9a-f]{12}")
_CHAIN = re.compile(r"\.tmp-[0-9a-f]{12}-" + re.escape(manifest.FILE))


def remove_leftovers(live: Path, now: float) -> int:
    """Remove what killed processes left under `live`; returns the number of files. `now`: seconds since the epoch.

    Call it under the chain's lock: so no temporary file of the chain is in use. Never raises OSError: what cannot
    be removed now is a note of `verify`, and is tried again by the next seal.
    """
    return sum(_removed(path, now) for path in _temporary_files(live))


def _temporary_files(live: Path) -> Iterator[Path]:
    yield from (path for path in live.glob(f"{_PREFIX}*") if _CHAIN.fullmatch(path.name))
    for path in live.glob(f"*/*/{_PREFIX}*"):
        if _PROBE.fullmatch(path.name) or segment_id_of(path.with_name(path.name.removeprefix(_PREFIX))):
            yield path


def _removed(path: Path, now: float) -> bool:
    with contextlib.suppress(OSError):
        fd = open_regular(path)
        try:
            # The age first: a lock taken here would refuse a creation that has not come to its own lock yet.
            if os.fstat(fd).st_mtime > now - ABANDONED_SECONDS:
                return False
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _may_hold_rows(path, fd):
                path.unlink()
                return True
        finally:
            os.close(fd)
    return False


def _may_hold_rows(path: Path, fd: int) -> bool:
    """Whether there is anything behind the header of what was to become a segment.

    No row is written before the rename is on disk; a disk that forgets a rename that it confirmed may show one.
    """
    if _PROBE.fullmatch(path.name) or _CHAIN.fullmatch(path.name):
        return False
    with open(fd, "rb", closefd=False) as stream:
        stream.readline()
        return bool(stream.read(1))
