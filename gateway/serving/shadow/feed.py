"""Shadow scoring, the worker's side: what was answered is handed to a process that asks another version, too.

```
answer sent --> offer: a bounded queue --> one thread --> a pipe --> gateway.serving.shadow.process
```
`offer` never waits: when the process is slow the pipe is full, then the queue is full, then rows are dropped and
counted. It is a process because a model that computes in a thread would hold the interpreter's lock against the
requests, longest where it has the lowest priority (docs/decisions/006-shadow-process.md).
"""

from __future__ import annotations

import contextlib
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from gateway.metrics_folder import PROCESS_ENDED, QUEUE_FULL
from gateway.serving.metrics import count_shadow_dropped
from gateway.serving.models import Models
from gateway.serving.prediction import Prediction
from gateway.serving.shadow.message import ShadowRows, encode

log = logging.getLogger("gateway.shadow")

#: Rows that wait in the worker. The memory that a slow shadow may cost, and no more than a batch may have.
ROWS_MAX = 10_000
#: Rows that are encoded at once: encoding holds the interpreter's lock, some 0.1 ms for so many.
CHUNK_ROWS = 256
#: Rows are handed over together that are answered within this time.
GATHER_SECONDS = 0.05
#: A process that ended is not started again sooner than that.
RESTART_SECONDS = 5.0
#: How long nothing may be offered before it is seen whether the process is still needed.
IDLE_SECONDS = 10.0
#: How long the process may take to end by itself, then to end at all.
END_SECONDS = 2.0
COMMAND = (sys.executable, "-m", "gateway.serving.shadow.process")


class ShadowFeed:
    """Hands answered rows to the shadow process of this worker, which runs while a version shadows.

    Args:
        command: starts the process.
    """

    def __init__(self, models: Models, command: Sequence[str] = COMMAND) -> None:
        self._models = models
        self._command = command
        self._queue: queue.SimpleQueue[ShadowRows | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._rows_waiting = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        # The thread's own.
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at = 0.0

    def offer(self, prediction: Prediction) -> None:
        """Let the shadow of the model score what was answered, if there is one. Never waits; call it afterwards."""
        shadows = self._models.serving.shadows
        if not shadows:
            return
        served = prediction.served
        shadow = shadows.get(served.card.name)
        # Explicitly asked, or drawn in a split, the version has answered by itself.
        if shadow is None or shadow is served:
            return
        card, rows = shadow.card, prediction.rows
        with self._lock:
            fits = self._rows_waiting + len(rows) <= ROWS_MAX and not self._closed
            if fits:
                self._rows_waiting += len(rows)
                self._start_thread()
        if fits:
            self._queue.put(ShadowRows(card.name, card.version, prediction.request_id, prediction.client_id, rows))
        else:
            count_shadow_dropped(card.name, card.version, QUEUE_FULL, len(rows))

    def close(self) -> None:
        """Stop the process; what still waits is dropped."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is None:
            return
        self._queue.put(None)
        thread.join(END_SECONDS)
        if thread.is_alive() and (process := self._process) is not None:
            # The thread waits for a process that does not read.
            process.kill()
            thread.join(END_SECONDS)

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow-feed", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            offered = self._gather()
            if not offered and not self._models.serving.shadows:
                self._end_process()
            for rows in offered:
                self._hand_over(rows)
                with self._lock:
                    self._rows_waiting -= len(rows.rows)
        self._end_process()
        while not self._queue.empty():
            if (left := self._queue.get_nowait()) is not None:
                count_shadow_dropped(left.name, left.version, PROCESS_ENDED, len(left.rows))

    def _gather(self) -> list[ShadowRows]:
        """What was offered; nothing after a while without any, or at the end."""
        with contextlib.suppress(queue.Empty):
            offered = [self._queue.get(timeout=IDLE_SECONDS)]
            # Each turn of this thread takes the interpreter's lock from requests, so it takes few.
            time.sleep(GATHER_SECONDS)
            while not self._queue.empty():
                offered.append(self._queue.get_nowait())
            return [rows for rows in offered if rows is not None]
        return []

    def _hand_over(self, offered: ShadowRows) -> None:
        for chunk in _chunks(offered):
            try:
                handed = not self._closed and self._write(encode(chunk))
            except OSError as error:
                log.error("the shadow process ended or cannot be started: %s", error)
                self._end_process()
                handed = False
            if not handed:
                count_shadow_dropped(chunk.name, chunk.version, PROCESS_ENDED, len(chunk.rows))

    def _write(self, message: bytes) -> bool:
        """Write to the process, which is started if need be; False while it rests. Waits for it. Raises OSError."""
        if self._process is None:
            if time.monotonic() < self._start_at:
                return False
            self._start_at = time.monotonic() + RESTART_SECONDS
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(message)
        pipe.flush()
        return True

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        # It ends when this end of the pipe is closed; what cannot be flushed any more is of no use.
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _chunks(offered: ShadowRows) -> Iterator[ShadowRows]:
    """The same rows, few at a time."""
    if len(offered.rows) <= CHUNK_ROWS:
        yield offered
        return
    for start in range(0, len(offered.rows), CHUNK_ROWS):
        rows = offered.rows[start : start + CHUNK_ROWS]
        yield ShadowRows(offered.name, offered.version, offered.request_id, offered.client_id, rows, start)
