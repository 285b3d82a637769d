"""The manifest chain: one line per sealed segment, each with the SHA-256 of the line before it.

`data/live/manifests.jsonl` is only ever appended to, under the lock `data/live/.seal.lock`, and synced. The
chain's *head* is the SHA-256 of its last line: whoever keeps a head off the host can prove later that nothing
before it was changed, removed or reordered. A line that a crash cut off is no entry. It stays, the next append
ends it with an LF, and the chain goes on behind it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from gateway.files import fsync_dir, make_dirs, read_regular, write_all, write_atomically
from gateway.log.segment import LogError, segment_id_of

FORMAT_VERSION = 1
FILE = "manifests.jsonl"
LOCK = ".seal.lock"
#: Segments lie at <model>/<version>/<name> under data/live.
SEGMENT_DEPTH = 3
#: What stands for the line before the first one.
NO_HEAD = "0" * 64
#: Each block of a sealed segment has a checksum of its own, so that an edit can be located.
BLOCK_BYTES = 1 << 20


class Sealed(msgspec.Struct, frozen=True, kw_only=True, tag="sealed", tag_field="kind"):
    """A segment as it was sealed; from then on it never changes.

    Attributes:
        number: 1, 2 ... along the chain; `previous` is the SHA-256 of the line before, in hexadecimal.
        path: relative to `data/live`, with slashes.
        rows: intact lines; `corrupt_lines` are the others, a damaged header and a cut last line among them.
        sequence_breaks: places where `seq` does not go on although no corrupt line is there.
        bytes: the file's length; `sha256` of all of it, `blocks` the CRC-32 of each MiB.
        first_timestamp, last_timestamp: earliest and latest time of the intact lines (`timestamp`, in the
            label log `received_at`); None without a row.
        suspect: the segment's writer stopped trusting it.
    """

    format_version: int = FORMAT_VERSION
    number: int
    previous: str
    sealed_at: str
    path: str
    segment_id: str
    rows: int
    corrupt_lines: int
    sequence_breaks: int
    bytes: int
    sha256: str
    first_timestamp: str | None
    last_timestamp: str | None
    suspect: bool
    blocks: tuple[int, ...]


class Expired(msgspec.Struct, frozen=True, kw_only=True, tag="expired", tag_field="kind"):
    """A sealed segment that retention has deleted. `sealed_number`, `sha256`: of its entry; `reason` in words."""

    format_version: int = FORMAT_VERSION
    number: int
    previous: str
    expired_at: str
    path: str
    segment_id: str
    sealed_number: int
    sha256: str
    reason: str


Entry = Sealed | Expired


class UnreadableChain(LogError):
    """The chain cannot be read at all: a newer format, or the system refuses."""


@dataclass(frozen=True)
class ChainFault:
    """Something in the chain's file that is no sound entry.

    `is_damage` is False for a line that a crash cut off: no seal was ever acknowledged for it.
    """

    offset: int
    kind: Literal["interrupted seal", "broken link"]
    reason: str

    @property
    def is_damage(self) -> bool:
        """Whether this is more than the trace of a crash."""
        return self.kind != "interrupted seal"


@dataclass(frozen=True)
class Chain:
    """The chain as it was read.

    Attributes:
        entries: in file order.
        heads: for each entry, the SHA-256 of its line: the chain's head when it was the last.
        faults: in file order; a chain with damage still yields every entry that can be read.
    """

    entries: tuple[Entry, ...] = ()
    heads: tuple[str, ...] = ()
    faults: tuple[ChainFault, ...] = ()

    @property
    def head(self) -> str:
        """The SHA-256 of the last entry's line; `NO_HEAD` while there is none."""
        return self.heads[-1] if self.heads else NO_HEAD

    @cached_property
    def sealed(self) -> Mapping[str, Sealed]:
        """Segment id -> its entry, expired ones included. The first entry counts: nothing is sealed twice."""
        found: dict[str, Sealed] = {}
        for entry in self.entries:
            if isinstance(entry, Sealed):
                found.setdefault(entry.segment_id, entry)
        return found

    @cached_property
    def expired(self) -> Mapping[str, Expired]:
        """Segment id -> the entry that says that retention deleted it."""
        return {entry.segment_id: entry for entry in self.entries if isinstance(entry, Expired)}

    @cached_property
    def present(self) -> Mapping[str, Sealed]:
        """Segment id -> its entry, of the sealed segments that must be on disk."""
        return {key: entry for key, entry in self.sealed.items() if key not in self.expired}


def read_chain(live: Path) -> Chain:
    """Read the chain of `data/live`; empty when nothing was ever sealed. Needs no lock.

    Raises:
        UnreadableChain: a newer format, or the file cannot be read.
    """
    path = live / FILE
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return Chain()
    except OSError as error:
        raise UnreadableChain(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return _parse(content)
    except _NewerFormat as error:
        raise UnreadableChain(f"{path}: {error}") from None


class ChainWriter:
    """Appends to the chain; made by `chain_locked`, which holds the lock.

    `chain` is what stood there when the lock was taken.
    """

    def __init__(self, path: Path, fd: int, chain: Chain) -> None:
        self.chain = chain
        self._path = path
        self._fd = fd
        self.number = chain.entries[-1].number if chain.entries else 0
        self.head = chain.head

    def append(self, *entries: Entry) -> tuple[Entry, ...]:
        """Add entries, durable on return, and return them as written: `number` and `previous` are set here.

        Raises:
            OSError: they may or may not be in the chain; this writer must not be used again.
        """
        numbered, lines, number, head = [], [], self.number, self.head
        for entry in entries:
            number += 1
            entry = msgspec.structs.replace(entry, number=number, previous=head)
            line = msgspec.json.encode(entry)
            head = hashlib.sha256(line).hexdigest()
            numbered.append(entry)
            lines.append(line + b"\n")
        write_all(self._fd, b"".join(lines))
        try:
            os.fsync(self._fd)
        except OSError:
            self._write_anew()
            raise
        self.number, self.head = number, head
        return tuple(numbered)

    def _write_anew(self) -> None:
        """Replace the chain's file by a copy of what can be read of it.

        After a failed sync the kernel may show entries that the disk does not have, and the next sync would
        succeed. What the copy holds is on the disk, and whoever reads the chain next starts from that.
        """
        write_atomically(self._path, self._path.read_bytes())


@contextlib.contextmanager
def chain_locked(live: Path) -> Iterator[ChainWriter]:
    """Wait for the chain's lock and hold it for the block. Killing the holder frees it.

    Raises:
        UnreadableChain: as `read_chain`.
        OSError: the chain cannot be opened or completed.
    """
    make_dirs(live)
    with contextlib.ExitStack() as stack:
        lock = os.open(live / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = live / FILE
        is_new = not path.exists()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        stack.callback(os.close, fd)
        if is_new:
            fsync_dir(live)
        _end_cut_line(fd)
        yield ChainWriter(path, fd, read_chain(live))


def segment_files(live: Path) -> list[Path]:
    """Every path under `data/live` that is named as a segment and lies where one may be, sorted.

    Whether it is a regular file shows when it is opened: one that is not must be named, not passed over.
    """
    return sorted(path for path in live.glob("*/*/*.csv") if segment_id_of(path))


def unsealed(live: Path, chain: Chain) -> list[Path]:
    """The segments that have no entry yet: being written, or waiting for the next seal. Sorted."""
    found = ((path, segment_id_of(path)) for path in live.glob("*/*/*.csv"))
    return sorted(path for path, key in found if key and key not in chain.sealed)


class _NewerFormat(Exception):
    """An entry of a format that this program does not know."""


@dataclass(frozen=True)
class _Envelope:
    format_version: int


_ENTRIES: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)
_ENVELOPES = msgspec.json.Decoder(_Envelope)


def _parse(content: bytes) -> Chain:
    entries: list[Entry] = []
    heads: list[str] = []
    faults: list[ChainFault] = []
    skipped: list[int] = []
    lines = content.split(b"\n")
    tail = lines.pop()
    offset = 0
    for line in lines:
        entry = _entry(line)
        if entry is None:
            skipped.append(offset)
        else:
            fault = _link_fault(entry, entries[-1].number if entries else 0, heads[-1] if heads else NO_HEAD)
            if fault is None:
                # The entry follows the one before the unreadable lines: nobody ever built on them.
                faults += [ChainFault(at, "interrupted seal", "a line that was never completed") for at in skipped]
            else:
                faults += [ChainFault(at, "broken link", "is no entry") for at in skipped]
                faults.append(ChainFault(offset, "broken link", fault))
            skipped = []
            entries.append(entry)
            heads.append(hashlib.sha256(line).hexdigest())
        offset += len(line) + 1
    faults += [ChainFault(at, "interrupted seal", "a line that was never completed") for at in skipped]
    if tail:
        faults.append(ChainFault(offset, "interrupted seal", "the last line is cut off"))
    return Chain(tuple(entries), tuple(heads), tuple(faults))


def _entry(line: bytes) -> Entry | None:
    try:
        version = _ENVELOPES.decode(line).format_version
        if version > FORMAT_VERSION:
            raise _NewerFormat(f"format version {version} is newer than this program's {FORMAT_VERSION}")
        entry = _ENTRIES.decode(line)
    except msgspec.MsgspecError:
        return None
    # Files are opened and deleted by these paths: one that leaves data/live is no entry of ours.
    parts = entry.path.split("/")
    return entry if len(parts) == SEGMENT_DEPTH and not {"", ".", ".."} & set(parts) else None


def _link_fault(entry: Entry, number: int, head: str) -> str | None:
    """What is wrong between an entry and the one before it, whose number and line's hash are given."""
    if entry.number != number + 1:
        return f"entry {entry.number} follows entry {number}"
    if entry.previous != head:
        return f"entry {entry.number} was written behind another line than the one before it"
    return None


def _end_cut_line(fd: int) -> None:
    """Give a last line that a crash cut off its LF; one that lacked only that is thereby complete."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        write_all(fd, b"\n")
        os.fsync(fd)
