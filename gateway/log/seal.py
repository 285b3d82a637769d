"""Sealing: a segment that nobody writes any more becomes read-only and gets its entry in the manifest chain.

The order, under the chain's lock: see that the writer is gone (its `flock` is free), sync, take the write
permission away, read the whole file once, append the entry and sync that. The entry is the commit point; a crash
before it leaves a segment that the next seal takes up again from the start. Nothing is truncated or repaired.
Under the same lock it clears away the temporary files that killed processes left.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import utc_text
from gateway.files import fsync_dir, open_regular
from gateway.log.check import LineChecker
from gateway.log.leftovers import remove_leftovers
from gateway.log.manifest import BLOCK_BYTES, NO_HEAD, ChainWriter, Sealed, chain_locked, unsealed
from gateway.log.segment import parse_name

READ_ONLY = 0o444
_BATCH = 16


@dataclass(frozen=True)
class Failure:
    """A segment that could not be sealed now; the next seal tries again."""

    path: str
    reason: str


@dataclass(frozen=True)
class Sealing:
    """What one seal did. `being_written`: segments left alone; `entries`, `head`: the chain afterwards.

    `leftovers_removed`: temporary files of killed processes.
    """

    sealed: tuple[Sealed, ...] = ()
    failures: tuple[Failure, ...] = ()
    being_written: int = 0
    entries: int = 0
    head: str = NO_HEAD
    damaged_chain: bool = False
    leftovers_removed: int = 0


def seal(live: Path, clock: Callable[[], float], sealed: Callable[[Sealed], None] = lambda _: None) -> Sealing:
    """Seal every segment under `data/live` whose writer is gone, suspect and empty ones too, and remove leftovers.

    Args:
        clock: seconds since the epoch, for the entries.
        sealed: called with each entry when it is on disk.

    Raises:
        UnreadableChain, OSError: the chain cannot be read or written. What was sealed until then stays so.
    """
    if not live.is_dir():
        return Sealing()
    with chain_locked(live) as writer:
        run = _Run(live, clock, writer, sealed)
        for path in unsealed(live, writer.chain):
            run.take(path)
        run.commit()
        # Last: whatever is wrong with them must not keep a segment from being sealed.
        leftovers_removed = remove_leftovers(live, clock())
        return Sealing(
            sealed=tuple(run.done),
            failures=tuple(run.failures),
            being_written=run.being_written,
            entries=len(writer.chain.entries) + len(run.done),
            head=writer.head,
            damaged_chain=any(fault.is_damage for fault in writer.chain.faults),
            leftovers_removed=leftovers_removed,
        )


class _Run:
    """One seal under way. Segments enter the chain a few at a time: the disk is slow to sync, not to write."""

    def __init__(
        self, live: Path, clock: Callable[[], float], writer: ChainWriter, sealed: Callable[[Sealed], None]
    ) -> None:
        self.done: list[Sealed] = []
        self.failures: list[Failure] = []
        self.being_written = 0
        self._live = live
        self._clock = clock
        self._writer = writer
        self._sealed = sealed
        self._known: set[str] = set()
        self._drafts: list[Sealed] = []

    def take(self, path: Path) -> None:
        """Make a segment ready for the chain, if its writer is gone."""
        relative = path.relative_to(self._live).as_posix()
        try:
            draft = _read_closed(path, relative, self._clock)
        except OSError as error:
            self.failures.append(Failure(relative, error.strerror or str(error)))
            return
        if draft is None:
            self.being_written += 1
        elif draft.segment_id in self._known:
            self.failures.append(Failure(relative, "has the identity of another segment"))
        else:
            self._known.add(draft.segment_id)
            self._drafts.append(draft)
            if len(self._drafts) == _BATCH:
                self.commit()

    def commit(self) -> None:
        """Enter what is ready in the chain. Raises OSError."""
        if not self._drafts:
            return
        # The names too: a power cut must not undo a creation or a renaming to suspect that the chain tells of.
        for folder in sorted({(self._live / draft.path).parent for draft in self._drafts}):
            fsync_dir(folder)
        for entry in self._writer.append(*self._drafts):
            assert isinstance(entry, Sealed)
            self.done.append(entry)
            self._sealed(entry)
        self._drafts = []


def blocks(fd: int, limit: int | None = None) -> Iterator[bytes]:
    """The content of a file from its start in blocks of `BLOCK_BYTES`, the last one shorter; at most `limit` bytes."""
    offset = 0
    while limit is None or offset < limit:
        wanted = BLOCK_BYTES if limit is None else min(BLOCK_BYTES, limit - offset)
        block = _block(fd, offset, wanted)
        if block:
            yield block
        if len(block) < wanted:
            return
        offset += len(block)


def _read_closed(path: Path, relative: str, clock: Callable[[], float]) -> Sealed | None:
    """Make a segment final and describe it; None while it is being written or renamed by its writer."""
    try:
        fd = open_regular(path)
    except FileNotFoundError:
        return None
    try:
        # Shared, as readers lock: they must not take a segment that is being sealed for one being written.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if not _is_still(path, fd):
            return None
        _sync(fd, path)
        os.fchmod(fd, READ_ONLY)
        return _describe(fd, path, relative, clock)
    except BlockingIOError:
        return None
    finally:
        os.close(fd)


def _sync(fd: int, path: Path) -> None:
    """Make the segment durable: in durability `process` its writer did not.

    After a failed sync the kernel may hold rows that the disk does not, and would not fail again. So the
    segment becomes suspect here, as it would have with its writer; the next seal seals it as it then reads.
    """
    try:
        os.fsync(fd)
    except OSError:
        if not parse_name(path).suspect:
            path.rename(path.with_suffix(".suspect.csv"))
        raise


def _describe(fd: int, path: Path, relative: str, clock: Callable[[], float]) -> Sealed:
    name = parse_name(path)
    checker = LineChecker(name)
    digest = hashlib.sha256()
    checksums = []
    size = 0
    for block in blocks(fd):
        digest.update(block)
        checksums.append(zlib.crc32(block))
        checker.feed(block)
        size += len(block)
    checked = checker.finish()
    return Sealed(
        number=0,
        previous=NO_HEAD,
        sealed_at=utc_text(clock()),
        path=relative,
        segment_id=name.segment_id,
        rows=checked.rows,
        corrupt_lines=checked.corrupt_lines,
        sequence_breaks=checked.sequence_breaks,
        bytes=size,
        sha256=digest.hexdigest(),
        first_timestamp=checked.first_timestamp,
        last_timestamp=checked.last_timestamp,
        suspect=name.suspect,
        blocks=tuple(checksums),
    )


def _is_still(path: Path, fd: int) -> bool:
    """Whether `path` names the file that was opened: its writer may have renamed it to suspect just before."""
    opened = os.fstat(fd)
    try:
        named = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)


def _block(fd: int, offset: int, wanted: int) -> bytes:
    """`wanted` bytes at `offset`, fewer only at the end of the file: a read may come up short before it."""
    block = os.pread(fd, wanted, offset)
    while block and len(block) < wanted:
        more = os.pread(fd, wanted - len(block), offset + len(block))
        if not more:
            break
        block += more
    return block
