"""Verifying the logs: every segment, sealed or not, and the manifest chain, with the place of all that is wrong.

A sealed segment is compared by length and SHA-256; only when they differ, its blocks and lines are looked at to
say where. A segment without an entry is checked line by line. No lock is taken: gateway, sealing and retention
go on meanwhile.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.files import NotRegular, open_regular
from gateway.log.check import Checked, LineChecker
from gateway.log.manifest import (
    BLOCK_BYTES,
    FILE,
    LOCK,
    NO_HEAD,
    SEGMENT_DEPTH,
    Chain,
    Sealed,
    UnreadableChain,
    read_chain,
)
from gateway.log.seal import blocks
from gateway.log.segment import SegmentName, UnreadableSegment, parse_name, segment_id_of


@dataclass(frozen=True)
class Finding:
    """Something that verifying found.

    Attributes:
        path: relative to `data/live`, with slashes, printable.
        offset: where in that file; None when it is about the file as a whole.
        kind: a few words, the same for the same thing; docs/formats/prediction_log.md lists them.
        is_damage: False for the harmless traces that a crash leaves behind.
    """

    path: str
    offset: int | None
    kind: str
    detail: str
    is_damage: bool = True


@dataclass(frozen=True)
class Verification:
    """The sum of it. `rows` are intact lines; `bytes` were read; `entries` and `head` are the chain's."""

    segments: int
    sealed: int
    rows: int
    bytes: int
    seconds: float
    entries: int
    head: str
    damages: int
    notes: int

    @property
    def is_intact(self) -> bool:
        """Whether nothing is damaged."""
        return self.damages == 0


def verify(live: Path, found: Callable[[Finding], None], heads: Collection[str] = ()) -> Verification:
    """Check everything under `data/live`.

    Args:
        found: called with each finding as it is made.
        heads: heads that were seen earlier and kept elsewhere; each must be in the chain.
    """
    return _Verifier(live, found).run(heads)


class _Verifier:
    """One verification under way: where, the chain as it was at the start, and the counts."""

    def __init__(self, live: Path, found: Callable[[Finding], None]) -> None:
        self._live = live
        self._found = found
        self._chain = Chain()
        self._by_sha256: dict[str, Sealed] = {}
        self._met: dict[str, str] = {}
        self._segments = self._sealed = self._rows = self._bytes = self._damages = self._notes = 0

    def run(self, heads: Collection[str]) -> Verification:
        started = time.perf_counter()
        self._check_chain(heads)
        for path in _files(self._live):
            self._check_file(path)
        self._check_presence()
        return Verification(
            segments=self._segments,
            sealed=self._sealed,
            rows=self._rows,
            bytes=self._bytes,
            seconds=time.perf_counter() - started,
            entries=len(self._chain.entries),
            head=self._chain.head,
            damages=self._damages,
            notes=self._notes,
        )

    def _check_chain(self, heads: Collection[str]) -> None:
        try:
            self._chain = read_chain(self._live)
        except UnreadableChain as error:
            self._damage(FILE, None, "unreadable chain", str(error))
            return
        chain = self._chain
        for fault in chain.faults:
            self._report(Finding(FILE, fault.offset, fault.kind, fault.reason, fault.is_damage))
        for head in heads:
            if head != NO_HEAD and head not in chain.heads:
                self._damage(FILE, None, "lost head", f"the witnessed head {head} is not in the chain")
        for entry in chain.entries:
            first = chain.sealed.get(entry.segment_id)
            if isinstance(entry, Sealed):
                self._by_sha256.setdefault(entry.sha256, entry)
                if first is not None and (first.sha256, first.path) != (entry.sha256, entry.path):
                    detail = f"entry {entry.number} says otherwise than entry {first.number}"
                    self._damage(entry.path, None, "sealed twice", detail)
            elif first is None or (first.number, first.sha256) != (entry.sealed_number, entry.sha256):
                detail = f"entry {entry.number} lets a segment expire that was not sealed so"
                self._damage(entry.path, None, "false expiry", detail)

    def _check_file(self, path: Path) -> None:
        relative = path.relative_to(self._live)
        shown = _printable(relative.as_posix())
        if relative.as_posix() in (FILE, LOCK):
            return
        if path.name.startswith("."):
            # A writer's own temporary file is gone a moment later.
            if path.exists():
                self._note(shown, None, "stray file", "is not part of the log; nobody reads it")
            return
        try:
            name = parse_name(path)
        except UnreadableSegment as error:
            self._damage(shown, None, "no segment", error.reason)
            return
        if len(relative.parts) != SEGMENT_DEPTH:
            self._damage(shown, None, "no segment", "lies where no segment belongs")
            return
        self._check_segment(path, shown, name)

    def _check_segment(self, path: Path, shown: str, name: SegmentName) -> None:
        sealed = self._chain.sealed.get(name.segment_id)
        other = sealed.path if sealed is not None else self._met.get(name.segment_id, shown)
        if other != shown:
            self._damage(shown, None, "misplaced", f"has the identity of {_printable(other)}")
            return
        self._met[name.segment_id] = shown
        if name.segment_id in self._chain.expired:
            self._note(shown, None, "not yet deleted", "has expired; the next expiry deletes it")
            return
        self._segments += 1
        try:
            fd = open_regular(path)
        except OSError as error:
            self._gone_or_unreadable(path, shown, name, error)
            return
        try:
            if sealed is None:
                self._check_unsealed(fd, shown, name)
            else:
                self._sealed += 1
                self._check_sealed(fd, shown, name, sealed)
        except OSError as error:
            self._damage(shown, None, "unreadable", error.strerror or str(error))
        finally:
            os.close(fd)

    def _check_unsealed(self, fd: int, shown: str, name: SegmentName) -> None:
        live = _is_being_written(fd)
        status = os.fstat(fd)
        if not live and not status.st_mode & stat.S_IWUSR:
            detail = "is read-only but not in the chain: a seal was interrupted, or the chain's end was cut off"
            self._note(shown, None, "half sealed", detail)
        self._check_lines(fd, shown, name, status.st_size, live)

    def _check_lines(self, fd: int, shown: str, name: SegmentName, size: int, live: bool) -> None:
        """Name every line that is not as it was written, in a segment that nobody claims to be unchanged."""
        self._bytes += size
        checked = _lines_of(fd, name, size, live)
        self._rows += checked.rows
        if name.suspect:
            self._damage(shown, None, "suspect", "its writer stopped trusting it after a failed write or sync")
        self._line_faults(shown, checked, "")

    def _check_sealed(self, fd: int, shown: str, name: SegmentName, entry: Sealed) -> None:
        status = os.fstat(fd)
        if status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            self._note(shown, None, "writable", "is sealed but can be written")
        digest = hashlib.sha256()
        for block in blocks(fd):
            digest.update(block)
            self._bytes += len(block)
        if digest.hexdigest() == entry.sha256 and status.st_size == entry.bytes:
            self._rows += entry.rows
            if entry.suspect or entry.corrupt_lines or entry.sequence_breaks:
                self._damaged_before(fd, shown, name, entry)
            return
        self._edited(fd, shown, name, entry, digest.hexdigest(), status.st_size)

    def _damaged_before(self, fd: int, shown: str, name: SegmentName, entry: Sealed) -> None:
        if entry.suspect:
            self._damage(shown, None, "suspect", "its writer stopped trusting it after a failed write or sync")
        if entry.corrupt_lines or entry.sequence_breaks:
            self._line_faults(shown, _lines_of(fd, name, entry.bytes, live=False), "; was so when it was sealed")

    def _edited(self, fd: int, shown: str, name: SegmentName, entry: Sealed, sha256: str, size: int) -> None:
        other = self._by_sha256.get(sha256)
        if other is not None and other.rows:
            self._damage(shown, 0, "swapped", f"has the content of {_printable(other.path)}")
            return
        checked = _lines_of(fd, name, size, live=False)
        self._rows += checked.rows
        self._damage(shown, None, "edited", f"is not what was sealed as entry {entry.number}")
        if size < entry.bytes:
            self._shortened(shown, checked, entry, size)
        if size > entry.bytes:
            self._damage(shown, entry.bytes, "edited", f"{size - entry.bytes} bytes were added")
        sums = [zlib.crc32(block) for block in blocks(fd, min(size, entry.bytes))]
        for begin, end in _differing(sums, entry, size):
            if not self._edited_lines(shown, checked, begin, end):
                all_known = checked.faults_total == len(checked.faults)
                how = "its lines' checksums were made to match" if all_known else "in too many lines to name"
                self._damage(shown, begin, "edited", f"somewhere in the {end - begin} bytes from here; {how}")
        self._more_faults(shown, checked)

    def _shortened(self, shown: str, checked: Checked, entry: Sealed, size: int) -> None:
        # The block in which it now ends has no checksum to compare with: only its lines can tell.
        begin = size - size % BLOCK_BYTES
        early = f"ends {entry.bytes - size} bytes early"
        self._damage(shown, size, "edited", f"{early}; the {size - begin} bytes before may be edited too")
        self._edited_lines(shown, checked, begin, size)

    def _edited_lines(self, shown: str, checked: Checked, begin: int, end: int) -> bool:
        """Name the lines at fault in a stretch of a sealed segment; whether there are any."""
        inside = [fault for fault in checked.faults if begin <= fault.offset < end]
        for fault in inside:
            self._damage(shown, fault.offset, "edited", f"{fault.kind}: {fault.reason}")
        return bool(inside)

    def _line_faults(self, shown: str, checked: Checked, suffix: str) -> None:
        for fault in checked.faults:
            self._damage(shown, fault.offset, fault.kind, fault.reason + suffix)
        self._more_faults(shown, checked)

    def _more_faults(self, shown: str, checked: Checked) -> None:
        left = checked.faults_total - len(checked.faults)
        if left:
            self._damage(shown, None, "more faults", f"{left} more lines of this segment are at fault")

    def _check_presence(self) -> None:
        missing = [entry for entry in self._chain.present.values() if entry.segment_id not in self._met]
        if not missing:
            return
        # Retention may have deleted some since the chain was read.
        expired = _expired_now(self._live)
        for entry in missing:
            if entry.segment_id not in expired:
                detail = f"was sealed as entry {entry.number} with {entry.rows} rows and is not there"
                self._damage(_printable(entry.path), None, "deleted", detail)

    def _gone_or_unreadable(self, path: Path, shown: str, name: SegmentName, error: OSError) -> None:
        self._segments -= 1
        if isinstance(error, NotRegular):
            # What stands in a sealed segment's place is not the segment: that one is missing.
            del self._met[name.segment_id]
        if not isinstance(error, FileNotFoundError):
            self._damage(shown, None, "unreadable", error.strerror or str(error))
            return
        # Since the folder was listed its writer may have given it up, or retention may have deleted it.
        suspect = path.with_suffix(".suspect.csv")
        del self._met[name.segment_id]
        if not name.suspect and suspect.exists():
            self._check_file(suspect)
        elif name.segment_id not in self._chain.sealed and name.segment_id not in _expired_now(self._live):
            # One that is in the chain is told of with all others that are missing.
            self._damage(shown, None, "deleted", "vanished while the logs were verified")

    def _damage(self, path: str, offset: int | None, kind: str, detail: str) -> None:
        self._report(Finding(path, offset, kind, detail))

    def _note(self, path: str, offset: int | None, kind: str, detail: str) -> None:
        self._report(Finding(path, offset, kind, detail, is_damage=False))

    def _report(self, finding: Finding) -> None:
        self._damages += finding.is_damage
        self._notes += not finding.is_damage
        self._found(finding)


def _files(live: Path) -> Iterator[Path]:
    """Every file below `live`, folder by folder in order, and each folder that is called like a segment.

    Links to folders are named, not followed.
    """
    for folder, folders, names in os.walk(live):
        folders.sort()
        base = Path(folder)
        yield from (base / name for name in sorted(names))
        yield from (base / name for name in folders if segment_id_of(base / name) or (base / name).is_symlink())


def _lines_of(fd: int, name: SegmentName, size: int, live: bool) -> Checked:
    checker = LineChecker(name)
    for block in blocks(fd, size):
        checker.feed(block)
    return checker.finish(being_written=live)


def _differing(sums: list[int], entry: Sealed, size: int) -> Iterator[tuple[int, int]]:
    """The stretches [begin, end) of a file whose blocks are not the sealed ones; neighbours are joined.

    When no block differs and yet the hash did, someone forged the checksums, and the whole file is one stretch.

    Args:
        sums: CRC-32 of each block of the part that the file and the sealed one have in common.
    """
    comparable = sums if size >= entry.bytes else sums[: size // BLOCK_BYTES]
    wrong = {number for number, checksum in enumerate(comparable) if checksum != entry.blocks[number]}
    if not wrong and size == entry.bytes:
        yield 0, size
    for number in sorted(wrong):
        if number - 1 not in wrong:
            end = number + 1
            while end in wrong:
                end += 1
            yield number * BLOCK_BYTES, min(end * BLOCK_BYTES, size, entry.bytes)


def _expired_now(live: Path) -> Collection[str]:
    try:
        return read_chain(live).expired.keys()
    except UnreadableChain:
        return ()


def _is_being_written(fd: int) -> bool:
    try:
        # Held until the descriptor is closed.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _printable(path: str) -> str:
    """A path as one line of plain text, whatever a file's name may hold."""
    return path if path.isprintable() else path.encode("unicode_escape", "backslashreplace").decode()
