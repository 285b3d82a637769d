"""Group commit: many threads append, one of them writes and syncs for all that wait.

The first thread to find nobody committing leads: it takes everything queued, numbers and seals the lines,
writes them with one write(2), syncs once, and hands the lead to the first thread that queued meanwhile.
There is no timer and no extra thread: alone, a row waits for its own sync only.

When the write or the sync fails, every row of that batch is refused, the segment is renamed `.suspect` and
never touched again (after a failed fdatasync the next one succeeds although the data is gone), and the next
append tries a new segment.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.files import write_all
from gateway.log.line import id_checksum, seal_line
from gateway.log.segment import LogError, OpenSegment, create


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
        clock: seconds since the epoch, for the segments' names.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        header: bytes,
        *,
        durable: bool = True,
        timeout_seconds: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._prefix = prefix
        self._header = header
        self._durable = durable
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._mutex = threading.Lock()
        self._queue: list[_Ticket] = []
        self._led = False
        self._closed = False
        # Owned by whoever leads; no other thread touches them.
        self._segment: OpenSegment | None = None
        self._id_crc = 0
        self._seq = 0

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
        """Record nothing, but go the whole way: open a segment if none is open, and sync it.

        Raises:
            LogUnavailable: a row could not be recorded now.
        """
        self.append(())

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
        if self._segment is not None:
            os.close(self._segment.fd)
            self._segment = None

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
        try:
            segment = self._segment or self._open()
            payloads = [payload for ticket in batch for payload in ticket.payloads]
            lines = [seal_line(seq, payload, self._id_crc) for seq, payload in enumerate(payloads, self._seq)]
            if lines:
                write_all(segment.fd, b"".join(lines))
            if self._durable:
                os.fdatasync(segment.fd)
            if os.fstat(segment.fd).st_nlink == 0:
                raise FileNotFoundError(f"{segment.path} was deleted while it was written")
            self._seq += len(lines)
        except OSError as error:
            self._abandon()
            return LogUnavailable(f"cannot record in {self.folder}: {error.strerror or error}")
        return None

    def _open(self) -> OpenSegment:
        self._segment = create(self.folder, self._prefix, self._header, self._clock())
        self._id_crc = id_checksum(self._segment.segment_id)
        self._seq = 0
        return self._segment

    def _abandon(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        # What cannot be renamed (a vanished or read-only folder) is left; its rows still check one by one.
        with contextlib.suppress(OSError):
            segment.path.rename(segment.path.with_suffix(".suspect.csv"))
        with contextlib.suppress(OSError):
            os.close(segment.fd)

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
