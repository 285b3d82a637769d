"""A client's connection, as the worker's event loop holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import TConn

from gateway.serving.worker.framing import Head

if TYPE_CHECKING:
    # The master imports this module, and what a worker needs only after the fork.
    from gateway.serving.worker.lane import Pending


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A client's connection.

    Attributes:
        received: bytes of requests that nobody has taken yet.
        head: of the request that is being received, once it is whole.
        batch: of the request that a thread has, if that may be a plain batch.
        chunk_at: where in `received` the next chunk of its body begins.
        missing: how many bytes of the request are still to come, at least; 0 while that is unknown.
        low_water: how many bytes the kernel collects before it says that some are there.
        pending: the prediction that is being recorded.
        unsent: what the client's socket had no room for.
        closing: nothing more is read as a request; what arrives is thrown away.
        closed: it is over.
        deadline: on the monotonic clock; what it is for depends on the rest.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.received = bytearray()
        self.head: Head | None = None
        self.batch: Head | None = None
        self.chunk_at = 0
        self.missing = 0
        self.low_water = 1
        self.pending: Pending | None = None
        self.unsent = b""
        self.closing = False
        self.closed = False
        self.deadline = 0.0

    @property
    def is_idle(self) -> bool:
        """Between two requests."""
        return not (self.received or self.pending or self.unsent or self.closing)

    @property
    def goes_on(self) -> bytes:
        """What the Connection header of its next answer says."""
        return b"close" if self.closing else b"keep-alive"
