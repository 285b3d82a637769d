"""Group commit: many threads append, one of them writes and syncs for all that wait.

The first thread to find nobody committing leads: it takes everything queued, numbers and seals the lines,
writes them with one write(2), syncs once, and hands the lead to the first thread that queued meanwhile.
There is no timer and no extra thread: alone, a row waits for its own sync only.

A segment that is full, or old, is closed and the next row begins another; whoever leads does that too, so a
segment never changes hands. `tick` gives an idle writer the occasion.

When the write or the sync fails, every row of that batch is refused, the segment is renamed `.suspect` and
never touched again (after a failed fdatasync the next one succeeds although the data is gone), and the next
append tries a new segment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.files import REAL, FileSystem, write_all
from gateway.log.line import id_checksum, seal_lines
from gateway.log.probe import WriteProbe
from gateway.log.segment import LogError, OpenSegment, create, suspect_path

log = logging.getLogger("gateway.log")


class LogUnavailable(LogError):
    """The rows were not recorded, or it is unknown whether they were; so nobody may be answered."""


class SegmentWriter:
    """Appends rows to segments of one log; one per log and process, shared by its threads.

    Args:
        folder: where the segments go; made when the first row comes.
        prefix: how the segments are called.
        header: the header line, LF included.
        durable: wait for the disk (fdatasync) and not just for the kernel.
        timeout_seconds: how long `append` waits for the thread that commits for it.
        bytes_max: a segment that would grow beyond this is closed first; only a single commit can exceed it.
        age_seconds_max: a segment that was begun this long ago is closed.
        clock: seconds since the epoch, for the segments' names.
        monotonic: seconds, for their age: a clock that is set must neither hold nor hurry a rotation.
        files: the system calls.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        header: bytes,
        *,
        durable: bool = True,
        timeout_seconds: float = 10.0,
        bytes_max: int = 64 * 1024**2,
        age_seconds_max: float = 3600.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        files: FileSystem = REAL,
    ) -> None:
        self.folder = folder
        self._prefix = prefix
        self._header = header
        self._durable = durable
        self._timeout_seconds = timeout_seconds
        self._bytes_max = bytes_max
        self._age_seconds_max = age_seconds_max
        self._clock = clock
        self._monotonic = monotonic
        self._files = files
        self._probe = WriteProbe(folder, timeout_seconds=timeout_seconds, monotonic=monotonic, files=files)
        self._mutex = threading.Lock()
        self._queue: list[_Ticket] = []
        self._led = False
        self._closed = False
        # Owned by whoever leads; no other thread touches them.
        self._segment: OpenSegment | None = None
        self._inode = 0
        self._id_crc = 0
        self._seq = 0
        self._bytes = 0
        self._opened_at = 0.0

    def append(self, payloads: Sequence[bytes]) -> None:
        """Record rows, together and in this order; return once they are recorded.

        Args:
            payloads: each row's fields between `seq` and `crc32`, encoded.

        Raises:
            LogUnavailable: they were not recorded, or (past the timeout) it is unknown whether they were.
        """
        ticket = _Ticket(payloads)
        with self._mutex:
            if self._closed:
                raise LogUnavailable("the log is closed")
            self._queue.append(ticket)
            ticket.leads = not self._led
            self._led = True
        if not ticket.leads and not ticket.turn.acquire(timeout=self._timeout_seconds):
            self._give_up(ticket)
        if ticket.leads:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error

    def probe(self) -> None:
        """Write, sync and remove a small file where the segments are, at most once a second.

        Raises:
            LogUnavailable: a row could not be recorded now.
        """
        fault = self._probe.fault()
        if fault is not None:
            raise LogUnavailable(fault)

    def tick(self) -> None:
        """Close the segment if it is old. For whoever has a moment every now and then; never waits for rows."""
        ticket = _Ticket(())
        with self._mutex:
            # A writer that is at work sees to it by itself.
            if self._led or self._closed:
                return
            self._queue.append(ticket)
            self._led = True
        self._lead(ticket)

    def close(self) -> None:
        """Let the rows under way finish, then close the segment. Later appends are refused."""
        with self._mutex:
            self._closed = True
            if self._led:
                last = _Ticket(())
                self._queue.append(last)
            else:
                last = None
                self._led = True
        if last is not None:
            last.turn.acquire()
            if last.leads:
                self._lead(last)
        self._close_segment()

    def _lead(self, own: _Ticket) -> None:
        with self._mutex:
            batch, self._queue = self._queue, []
        error: LogUnavailable | None = LogUnavailable("the committing thread was stopped")
        try:
            error = self._commit(batch)
        finally:
            # Also when this thread is being killed by an exception: nobody may wait for ever.
            with self._mutex:
                heir = self._queue[0] if self._queue else None
                if heir is None:
                    self._led = False
                else:
                    heir.leads = True
            for ticket in batch:
                ticket.error = error
                if ticket is not own:
                    ticket.turn.release()
            if heir is not None:
                heir.turn.release()

    def _commit(self, batch: list[_Ticket]) -> LogUnavailable | None:
        payloads = [payload for ticket in batch for payload in ticket.payloads]
        try:
            if payloads:
                self._record(payloads)
            elif self._is_old():
                self._close_segment()
        except OSError as error:
            reason = error.strerror or str(error)
            self._abandon(reason)
            return LogUnavailable(f"cannot record in {self.folder}: {reason}")
        except BaseException:
            # How far it came is unknown, so the numbers may be taken and a line may be half there.
            self._abandon("the committing thread was stopped")
            raise
        return None

    def _record(self, payloads: Sequence[bytes]) -> None:
        segment = self._segment or self._open()
        data = self._lines(payloads)
        if self._seq and (self._is_old() or self._bytes + len(data) > self._bytes_max):
            self._close_segment()
            segment = self._open()
            data = self._lines(payloads)
        write_all(segment.fd, data, self._files)
        if self._durable:
            self._files.fdatasync(segment.fd)
        # Writing to a file that was removed, or moved away with its folder, succeeds and records nothing here.
        if segment.path.stat().st_ino != self._inode:
            raise FileNotFoundError(f"{segment.path} was replaced while it was written")
        self._seq += len(payloads)
        self._bytes += len(data)

    def _lines(self, payloads: Sequence[bytes]) -> bytes:
        return seal_lines(payloads, self._seq, self._id_crc)

    def _is_old(self) -> bool:
        return self._segment is not None and self._monotonic() - self._opened_at >= self._age_seconds_max

    def _open(self) -> OpenSegment:
        segment = create(self.folder, self._prefix, self._header, self._clock(), self._files)
        self._segment = segment
        self._inode = os.fstat(segment.fd).st_ino
        self._id_crc = id_checksum(segment.segment_id)
        self._seq = 0
        self._bytes = len(self._header)
        self._opened_at = self._monotonic()
        return segment

    def _close_segment(self) -> None:
        """Done with this segment; its lock goes with it, so that it can be sealed."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            self._files.close(segment.fd)
        except OSError as error:
            # Its rows were answered before, as durably as was asked for; there is nobody left to refuse.
            log.error("closing %s failed: %s", segment.path, error.strerror)

    def _abandon(self, reason: str) -> None:
        """Trust this segment no more and say so by its name, while it is still locked. Never raises OSError."""
        self._probe.forget()
        segment, self._segment = self._segment, None
        if segment is None:
            return
        log.error("%s is not written any more: %s", segment.path, reason)
        # What cannot be renamed (a vanished or read-only folder) is left; its rows still check one by one.
        with contextlib.suppress(OSError):
            self._files.rename(segment.path, suspect_path(segment.path))
        with contextlib.suppress(OSError):
            self._files.close(segment.fd)

    def _give_up(self, ticket: _Ticket) -> None:
        """Stop waiting, unless the lead has come to this thread in the meantime."""
        with self._mutex:
            if ticket.leads:
                return
            if ticket in self._queue:
                self._queue.remove(ticket)
        raise LogUnavailable(f"the log did not confirm within {self._timeout_seconds:g} s")


class _Ticket:
    """The rows of one `append` and its place in the queue.

    `turn` is a lock held from the start; its release means "your rows are settled" or, with `leads` set,
    "commit what is queued, your rows among it".
    """

    __slots__ = ("error", "leads", "payloads", "turn")

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self.payloads = payloads
        self.turn = threading.Lock()
        self.turn.acquire()
        self.leads = False
        self.error: LogUnavailable | None = None
