"""Retention: what the operator allows to be forgotten. Off until a limit is set; sealed segments only.

The chain learns of a deletion before it happens: an entry "expired" is synced, then the file is deleted. After a
crash between the two the next expiry deletes what has expired already. So the chain verifies before and after,
and still says what every deleted segment held.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import utc_text
from gateway.files import fsync_dir, open_regular
from gateway.log.manifest import NO_HEAD, Chain, Expired, Sealed, chain_locked, segment_files
from gateway.log.seal import Failure, blocks
from gateway.log.segment import parse_name
from gateway.log.settings import LogSettings

#: Above this share of the disk, `python -m gateway.log seal` warns.
DISK_WARNING_RATIO = 0.8
_DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class Expiry:
    """What one expiry did. `failures`: segments that should have gone and were kept."""

    expired: tuple[Expired, ...] = ()
    failures: tuple[Failure, ...] = ()
    freed_bytes: int = 0
    head: str = NO_HEAD


def is_on(settings: LogSettings) -> bool:
    """Whether the operator set a limit for the logs."""
    return settings.retention_days is not None or settings.retention_bytes is not None


def expire(live: Path, settings: LogSettings, now: float) -> Expiry:
    """Delete the sealed segments that are beyond the limits, oldest first; `now` is in seconds since the epoch.

    A segment that is not what was sealed is evidence, and is kept.

    Raises:
        UnreadableChain, OSError: the chain cannot be read or written; what it does not name is not deleted.
    """
    if not is_on(settings) or not live.is_dir():
        return Expiry()
    with chain_locked(live) as writer:
        failures = _delete(live, writer.chain.expired.values())
        drafts = []
        freed = 0
        for sealed, reason in _due(live, writer.chain, settings, now):
            fault = _why_kept(live / sealed.path, sealed)
            if fault is not None:
                failures.append(Failure(sealed.path, fault))
                continue
            drafts.append(_draft(sealed, reason, now))
            freed += sealed.bytes
        entries = [entry for entry in (writer.append(*drafts) if drafts else ()) if isinstance(entry, Expired)]
        failures += _delete(live, entries)
        return Expiry(tuple(entries), tuple(failures), freed, writer.head)


def disk_used_ratio(folder: Path) -> float:
    """How full the disk under `folder` is for a user who is not root, from 0 to 1. Raises OSError."""
    status = os.statvfs(folder)
    used = status.f_blocks - status.f_bfree
    return used / max(1, used + status.f_bavail)


def _due(live: Path, chain: Chain, settings: LogSettings, now: float) -> list[tuple[Sealed, str]]:
    """The entries to expire, oldest first, each with the reason."""
    due = []
    total = sum(_size(path) for path in segment_files(live))
    for sealed in sorted(chain.present.values(), key=lambda entry: (_newest(entry), entry.number)):
        if not os.path.lexists(live / sealed.path):
            # Its absence is a finding of `verify`; expiring it now would hide that.
            continue
        if settings.retention_days is not None and _newest(sealed) < _days_before(now, settings.retention_days):
            due.append((sealed, f"older than {settings.retention_days:g} days"))
        elif settings.retention_bytes is not None and total > settings.retention_bytes:
            due.append((sealed, f"the logs were larger than {settings.retention_bytes} bytes"))
        else:
            continue
        total -= sealed.bytes
    return due


def _size(path: Path) -> int:
    """What deleting it would free; 0 for what is no regular file, or was renamed or deleted just now."""
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _newest(sealed: Sealed) -> str:
    """The time of a segment's newest row; of an empty one, when it was sealed."""
    return sealed.last_timestamp or sealed.sealed_at


def _days_before(now: float, days: float) -> str:
    return utc_text(max(0.0, now - days * _DAY_SECONDS))


def _why_kept(path: Path, sealed: Sealed) -> str | None:
    try:
        fd = open_regular(path)
        try:
            digest = hashlib.sha256()
            for block in blocks(fd):
                digest.update(block)
        finally:
            os.close(fd)
    except OSError as error:
        return error.strerror or str(error)
    return None if digest.hexdigest() == sealed.sha256 else "is not what was sealed, so it is kept as evidence"


def _draft(sealed: Sealed, reason: str, now: float) -> Expired:
    return Expired(
        number=0,
        previous=NO_HEAD,
        expired_at=utc_text(now),
        path=sealed.path,
        segment_id=sealed.segment_id,
        sealed_number=sealed.number,
        sha256=sealed.sha256,
        reason=reason,
    )


def _delete(live: Path, entries: Iterable[Expired]) -> list[Failure]:
    """Delete the files of entries that are in the chain; returns what could not be. One that is gone is fine."""
    folders = set()
    failures = []
    for entry in entries:
        path = live / entry.path
        try:
            if parse_name(path).segment_id == entry.segment_id:
                path.unlink()
                folders.add(path.parent)
        except FileNotFoundError:
            continue
        except OSError as error:
            # A folder in its place, say. The others go nevertheless, and the next expiry tries again.
            failures.append(Failure(entry.path, error.strerror or str(error)))
    for folder in sorted(folders):
        fsync_dir(folder)
    return failures
