"""gunicorn's threaded worker with two things of its own: it holds requests until they are whole, and it has a lane.

The event loop reads what clients send, however slowly, and hands a request to a thread when all of it is there: a
client that dawdles costs a buffer and not a thread. A plain request for a prediction does not need the thread either
(`gateway.serving.worker.lane`); everything else goes the way that gunicorn and Flask know.

```
               +-- plain prediction --> scored here --> recorder --> answered here
reads --whole--+-- plain batch -------> a thread: scored, recorded, answered -> reads on
               +-- anything else -----> a thread: gunicorn's parser, Flask ---> reads on
```
All methods run on the event loop unless they say otherwise.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any

from gunicorn import util
from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.workers.gthread import PollableMethodQueue, ThreadWorker

from gateway.serving import problems
from gateway.serving.problems import Problem, too_large
from gateway.serving.worker.connection import Connection
from gateway.serving.worker.crowd import NOBODY, Crowd, Manners
from gateway.serving.worker.framing import HEAD_BYTES_MAX, Head, read_head, read_path, skip_chunks

if TYPE_CHECKING:
    # The master imports this module, and what a worker needs only after the fork: numpy, prometheus_client.
    from gateway.serving.worker.lane import Lane, Pending
    from gateway.settings import GatewaySettings

log = logging.getLogger("gateway.worker")

_RESPONSE = b"HTTP/1.1 %b\r\nServer: gunicorn\r\nDate: %b\r\nConnection: %b\r\n%b\r\nContent-Length: %d\r\n\r\n%b"
_JSON = b"Content-Type: application/json"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RECEIVE_BYTES, _RECEIVE_BYTES_MAX = 65_536, 1_048_576
_LOW_WATER_MAX = 524_288
#: Of a whole request; a larger one is no single row.
_LANE_BYTES_MAX = 65_536
#: How often deadlines are looked at.
_SWEEP_SECONDS = 0.25
#: How many bodies of the largest size may be held at once, by all connections of a worker.
_HELD_BODIES_MAX = 4
#: How long a client may take to read the end of an answer after which its connection is closed.
_LINGER_SECONDS = 2.0
#: Of all workers of this gateway. The master makes them, so that they share it.
_crowd = Crowd()
#: Errors of gunicorn's parser that are about answers.
_OURS = (InvalidResponseHeader, InvalidResponseHeaderName)


class _LastingQueue(PollableMethodQueue):  # type: ignore[misc]
    def close(self) -> None:
        """Leave the pipe open: a thread that outlives the loop wakes it, and a closed number may be a log's by then."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """See the module."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.alive: bool
        # In the master still.
        self._slot = _crowd.enter()
        self.method_queue = _LastingQueue()
        # Those that the loop holds; the others are with a thread.
        self._held: set[Connection] = set()
        self._held_bytes = 0
        self._with_threads = 0
        self._sweep_at = 0.0
        self._date = (0, b"")

    def run(self) -> None:
        """Serve until told to stop."""
        self._lane: Lane = self.wsgi.extensions["lane"]
        self._settings: GatewaySettings = self.wsgi.extensions["settings"]
        self._lane.start(lambda batch: self.method_queue.defer(self._answer_all, batch))
        self._manners = None if self._slot is None else Manners(_crowd, self._slot)
        super().run()
        self._lane.stop(self._settings.append_timeout_seconds)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One turn of the loop: what was scored in it is recorded together."""
        if self._manners is not None:
            self._manners.tell(self.nr_conns if self._accepting else NOBODY)
        super().wait_for_and_dispatch_events(timeout)
        self._lane.flush()

    def leave(self) -> None:
        """This worker's process is gone. In the master."""
        if self._slot is not None:
            _crowd.leave(self._slot)

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection and read from it; it needs no thread yet."""
        if self._manners is not None and self._manners.leaves_it():
            return
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # No descriptor is left, most likely: the client waits until one is.
            log.error("a connection cannot be accepted: %s", error)
            self._make_room()
            return
        # What a thread reads and sends (a chunked body, a long answer) must not hold it for ever either.
        patience = struct.pack("ll", int(self._settings.receive_seconds) or 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        connection = Connection(self.cfg, client, address, listener.getsockname())
        # It waits for nothing when a thread has it: the request is there.
        connection.data_ready = True
        self.nr_conns += 1
        self._hold(connection)
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def handle(self, conn: Connection) -> Any:
        """Answer a plain batch, or run one request through gunicorn's parser and Flask. In a thread."""
        conn.sock.setblocking(True)
        if conn.batch is not None:
            head, conn.batch = conn.batch, None
            try:
                goes_on = self._answer_batch(conn, head)
            except OSError:
                return False
            except Exception as error:  # noqa: BLE001 - the edge of a thread: the client is told, the log says more
                self.handle_error(None, conn.sock, conn.client, error)
                return False
            if goes_on is not None:
                return goes_on
        conn.init()
        conn.parser.unreader.unread(bytes(conn.received))
        conn.received.clear()
        return super().handle(conn)

    def _answer_batch(self, connection: Connection, head: Head) -> bool | None:
        """Whether the connection goes on after the answer; None when there is none, and Flask is to see to it."""
        assert head.prediction is not None
        total = head.bytes + (head.body_bytes or 0)
        body = bytes(memoryview(connection.received)[head.bytes : total])
        pending = self._lane.take_batch(head.prediction, body, connection)
        if pending is None:
            return None
        del connection.received[:total]
        self._count_request()
        goes_on = head.prediction.keep_alive and self.alive
        says = b"keep-alive" if goes_on else b"close"
        if pending.error is not None:
            problem = Problem(problems.NOT_RECORDED, str(pending.error))
            connection.sock.sendall(self._refusal(problem, pending, head.prediction.path, says))
            return goes_on
        connection.sock.sendall(self._response(says, b"200 OK", _JSON, pending.prediction.body))
        self._lane.answered(pending)
        return goes_on

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse what gunicorn's parser could not read, as everything else is refused. In a thread.

        An unknown transfer coding gets no 501: it is the client's doing, and nothing for whoever watches the 5xx.
        """
        if isinstance(exc, LimitRequestLine):
            problem = Problem(problems.URI_TOO_LONG, "the request line is too long")
        elif isinstance(exc, LimitRequestHeaders):
            problem = Problem(problems.HEAD_TOO_LARGE, "too many header fields, or too long ones")
        elif isinstance(exc, ParseException) and not isinstance(exc, _OURS):
            problem = Problem(problems.MALFORMED, f"this is no HTTP request: {type(exc).__name__}")
        else:
            log.error("a request failed", exc_info=exc)
            problem = Problem(problems.INTERNAL, "the gateway failed; its log says more")
        with contextlib.suppress(OSError):
            client.sendall(self._refusal(problem, None, "", b"close"))

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Whether the connection can go on: not behind a body whose end nobody can tell. In a thread."""
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except ParseException:
            # Its request was answered; a second answer would be taken for that to the next one.
            return False

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Take a connection back from a thread."""
        self._with_threads -= 1
        keep = False
        with contextlib.suppress(Exception):
            keep = not fs.cancelled() and bool(fs.result())
        if conn.sock.fileno() < 0:
            self.nr_conns -= 1
            return
        if keep and conn.parser is not None:
            # The thread may have read the beginning of the next request.
            conn.received += conn.parser.unreader.take_buffered()
        self._held_bytes += len(conn.received)
        self._hold(conn)
        if not keep:
            self._linger(conn)
        elif conn.received:
            self._guarded(self._advance, conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """End what has gone past its deadline, or every idle connection if forced."""
        now = time.monotonic()
        if now < self._sweep_at and not force:
            return
        self._sweep_at = now + _SWEEP_SECONDS
        for connection in [held for held in self._held if held.deadline <= now or (force and held.is_idle)]:
            self._guarded(self._expire, connection)

    def _cap_keepalive(self, deadline: float) -> None:
        """Let connections end by then, but for answers on their way: the worker is stopping."""
        for connection in self._held:
            if connection.pending is None and not connection.unsent:
                connection.deadline = min(connection.deadline, deadline)

    def _hold(self, connection: Connection) -> None:
        """Read from a connection that no thread has."""
        connection.sock.setblocking(False)
        connection.deadline = self._within(self.cfg.keepalive)
        self._held.add(connection)
        self.poller.register(connection.sock, EVENT_READ, partial(self._on_event, connection))

    def _within(self, seconds: float) -> float:
        """A deadline for a client's next move; a stopping worker has less patience."""
        return time.monotonic() + (seconds if self.alive else min(seconds, _LINGER_SECONDS))

    def _release(self, connection: Connection) -> None:
        """Stop reading from it."""
        self._held.discard(connection)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self.poller.unregister(connection.sock)

    def _make_room(self) -> None:
        """End the connection that has been idle for longest: it must not keep another client out."""
        idle = [held for held in self._held if held.is_idle]
        if idle:
            self._close(min(idle, key=lambda held: held.deadline))

    def _close(self, connection: Connection) -> None:
        if connection.closed:
            return
        connection.closed = True
        self._release(connection)
        self._forget_received(connection)
        if connection.pending is not None:
            connection.pending.expired = True
            connection.pending = None
        self.nr_conns -= 1
        connection.close()

    def _on_event(self, connection: Connection, _: socket.socket) -> None:
        """The client sent something, or has room for more of its answer."""
        if connection not in self._held:
            # Closed, or handed to a thread, by what happened earlier in this turn.
            return
        if connection.unsent:
            self._guarded(self._send, connection, b"")
        else:
            self._guarded(self._receive, connection)

    def _guarded(self, step: Callable[..., None], connection: Connection, *arguments: Any) -> None:
        """Take a step with one connection; whatever goes wrong with it ends no other."""
        try:
            step(connection, *arguments)
        except OSError:
            self._close(connection)
        except Exception:
            log.exception("a connection failed")
            self._close(connection)

    def _receive(self, connection: Connection) -> None:
        # Each call may have to wait for the interpreter's lock, so a large body is to come in few.
        size = min(max(connection.missing, _RECEIVE_BYTES), _RECEIVE_BYTES_MAX)
        try:
            data = connection.sock.recv(size)
        except BlockingIOError:
            return
        if not data:
            self._close(connection)
        elif not connection.closing:
            if connection.is_idle:
                connection.deadline = self._within(self._settings.receive_seconds)
            connection.received += data
            self._held_bytes += len(data)
            self._advance(connection)

    def _advance(self, connection: Connection) -> None:
        """See whether the next request is whole, and on its way with it."""
        if connection.pending is not None or connection.unsent:
            # Its turn comes; a client that sends on and on meanwhile is no client.
            if len(connection.received) > self._settings.body_bytes_max:
                self._close(connection)
            return
        if connection.head is None:
            connection.head = read_head(connection.received)
            if connection.head is None:
                if len(connection.received) >= HEAD_BYTES_MAX:
                    self._refuse(connection, Problem(problems.HEAD_TOO_LARGE, f"more than {HEAD_BYTES_MAX} bytes"))
                return
            connection.chunk_at = connection.head.bytes
        head, limit = connection.head, self._settings.body_bytes_max
        missing = self._missing(connection, head)
        connection.missing = missing or 0
        self._set_low_water(connection)
        # What frames the chunks counts here too, so they get twice the room; Flask measures what is in them.
        room = limit if head.body_bytes is not None else 2 * limit
        if missing is None:
            self._serve(connection, head)
        elif len(connection.received) + missing - head.bytes > room:
            self._refuse(connection, too_large(limit))
        elif self._held_bytes > _HELD_BODIES_MAX * limit:
            self._refuse(connection, Problem(problems.BUSY, "too much is being received at once"))
        elif head.expects_continue and len(connection.received) == head.bytes:
            connection.sock.send(_CONTINUE)

    def _set_low_water(self, connection: Connection) -> None:
        """Be woken once for much of a large body: whoever wakes has to wait for the interpreter's lock."""
        wanted = min(connection.missing, _LOW_WATER_MAX) if connection.missing > _RECEIVE_BYTES else 1
        if wanted != connection.low_water:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            connection.low_water = wanted

    @staticmethod
    def _missing(connection: Connection, head: Head) -> int | None:
        """How many bytes are still to come, at least; None when the request is whole."""
        if head.body_bytes is not None:
            missing = head.bytes + head.body_bytes - len(connection.received)
            return missing if missing > 0 else None
        connection.chunk_at, ended = skip_chunks(connection.received, connection.chunk_at)
        return None if ended else 1

    def _serve(self, connection: Connection, head: Head) -> None:
        if self._with_threads + self._lane.in_flight >= self._settings.in_flight_max and not head.asks_for_life:
            self._refuse(connection, Problem(problems.BUSY, "too many requests are under way"))
            return
        total = head.bytes + (head.body_bytes or 0)
        connection.batch = head if head.prediction else None
        if head.prediction is None or total > _LANE_BYTES_MAX:
            self._to_thread(connection)
            return
        body = bytes(memoryview(connection.received)[head.bytes : total])
        pending = self._lane.take(head.prediction, body, connection)
        if pending is None:
            self._to_thread(connection)
            return
        connection.pending = pending
        connection.head = connection.batch = None
        self._held_bytes -= total
        del connection.received[:total]
        connection.closing = not (head.prediction.keep_alive and self.alive)
        connection.deadline = time.monotonic() + self._settings.append_timeout_seconds
        self._count_request()

    def _to_thread(self, connection: Connection) -> None:
        self._release(connection)
        self._held_bytes -= len(connection.received)
        connection.head = None
        self._with_threads += 1
        self.enqueue_req(connection)

    def _answer_all(self, batch: list[Pending]) -> None:
        self._lane.returned(batch)
        for pending in batch:
            if not pending.expired:
                self._guarded(self._answer, pending.connection, pending)

    def _answer(self, connection: Connection, pending: Pending) -> None:
        connection.pending = None
        if pending.error is not None:
            self._refuse(connection, Problem(problems.NOT_RECORDED, str(pending.error)), pending)
            return
        self._send(connection, self._response(connection.goes_on, b"200 OK", _JSON, pending.prediction.body))
        self._lane.answered(pending)

    def _refuse(self, connection: Connection, problem: Problem, pending: Pending | None = None) -> None:
        """Answer with a problem. Without a prediction, the request's end is unknown: so ends the connection."""
        connection.closing |= pending is None
        path = pending.asked.path if pending else read_path(connection.received)
        self._send(connection, self._refusal(problem, pending, path, connection.goes_on))

    def _refusal(self, problem: Problem, pending: Pending | None, path: str, goes_on: bytes) -> bytes:
        """A refusal as it is sent. In any thread."""
        headers, body = self._lane.refusal(problem, pending, path)
        status = f"{problem.kind.status} {problem.kind.title}".encode()
        lines = "\r\n".join(f"{name}: {value}" for name, value in headers).encode()
        return self._response(goes_on, status, lines, body)

    def _response(self, goes_on: bytes, status: bytes, headers: bytes, body: bytes) -> bytes:
        now = int(time.time())
        date = self._date
        if date[0] != now:
            date = self._date = (now, util.http_date(now).encode())
        return _RESPONSE % (status, date[1], goes_on, headers, len(body), body)

    def _send(self, connection: Connection, data: bytes) -> None:
        """Send what the socket takes now, and the rest when it has room. Raises OSError."""
        waits = bool(connection.unsent)
        data = connection.unsent + data
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        connection.unsent = data[sent:]
        if connection.unsent:
            if not waits:
                connection.deadline = self._within(self._settings.receive_seconds)
                self.poller.modify(connection.sock, EVENT_WRITE, partial(self._on_event, connection))
            return
        connection.deadline = self._within(self.cfg.keepalive)
        if waits:
            self.poller.modify(connection.sock, EVENT_READ, partial(self._on_event, connection))
        if connection.closing:
            self._linger(connection)
        elif connection.received:
            connection.deadline = self._within(self._settings.receive_seconds)
            self._advance(connection)

    def _linger(self, connection: Connection) -> None:
        """Say that nothing follows, and wait for the client to have read it (RFC 9112, 9.6)."""
        connection.closing = True
        connection.deadline = time.monotonic() + _LINGER_SECONDS
        self._forget_received(connection)
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)

    def _expire(self, connection: Connection) -> None:
        """Its time is over, for whatever it was waiting."""
        if connection.pending is not None:
            pending, connection.pending = connection.pending, None
            pending.expired = True
            seconds = self._settings.append_timeout_seconds
            self._refuse(
                connection, Problem(problems.NOT_RECORDED, f"the log did not confirm within {seconds:g} s"), pending
            )
        elif connection.received and not connection.unsent and not connection.closing:
            seconds = self._settings.receive_seconds
            self._refuse(connection, Problem(problems.TIMED_OUT, f"the request was not whole within {seconds:g} s"))
        else:
            self._close(connection)

    def _forget_received(self, connection: Connection) -> None:
        self._held_bytes -= len(connection.received)
        connection.received.clear()
        connection.head = None

    def _count_request(self) -> None:
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
