"""The short way of a prediction: decoded and scored on the worker's event loop, recorded by one thread beside it.

All that is scored in one turn of the loop is recorded together, with one write and one sync, while the loop goes
on. A request that is anything but plainly valid, or for a model that takes long, is left to the threads, where
Flask decides. A plain batch needs a thread, and nothing of Flask's.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.log.writer import LogUnavailable, SegmentWriter
from gateway.serving import refusals
from gateway.serving.access import AccessLog, Asked
from gateway.serving.guard import Guard
from gateway.serving.models import Models, ServedModel, Serving
from gateway.serving.prediction import Prediction, predict
from gateway.serving.problems import Problem
from gateway.serving.shadow.feed import ShadowFeed
from gateway.serving.worker.framing import PlainPrediction
from gateway.serving.worker.plain import Plain, kept_id, plain_row, plain_rows

log = logging.getLogger("gateway.lane")

#: Scoring one row longer than this would hold up all other requests of the worker: such a model is for the threads.
QUICK_SECONDS = 0.001


@dataclass(slots=True, eq=False)
class Pending:
    """A prediction on its way to the log.

    Attributes:
        asked: for the access log.
        connection: where the answer goes; nothing here looks at it.
        expired: the loop has given up on it; what is not being written by then is not written at all.
        error: why it was not recorded.
    """

    prediction: Prediction
    asked: Asked
    connection: Any
    expired: bool = False
    error: LogUnavailable | None = None


class Lane:
    """What the worker's event loop needs of the application: it knows connections, this knows predictions."""

    def __init__(self, models: Models, guard: Guard, access: AccessLog, shadow: ShadowFeed, workers: int = 1) -> None:
        #: How many were taken and have not come back.
        self.in_flight = 0
        # More batches at once than there are processors for would only take the interpreter from one another.
        self._turns = threading.BoundedSemaphore(max(1, (os.cpu_count() or 1) // workers))
        self._models = models
        self._guard = guard
        self._access = access
        self._shadow = shadow
        self._scored: list[Pending] = []
        self._recorder: _Recorder | None = None

    def start(self, done: Callable[[list[Pending]], None]) -> None:
        """Begin to record; `done` is called, in a thread, with each batch that is recorded or refused."""
        self._recorder = _Recorder(done)
        self._recorder.start()

    def stop(self, timeout_seconds: float) -> None:
        """Let what is queued be recorded, waiting no longer than that."""
        if self._recorder is not None:
            self._recorder.stop(timeout_seconds)

    def take(self, asked: PlainPrediction, body: bytes, connection: Any) -> Pending | None:
        """Score a prediction that was asked for plainly; None when Flask is to see to it.

        It goes to the log with the next `flush`.
        """
        started = time.perf_counter()
        serving = self._models.serving
        served = serving.pick(asked.model_name, kept_id(asked))
        if served is None or served.model.row_seconds > QUICK_SECONDS:
            return None
        plain = plain_row(served, asked, body)
        if plain is None or (serving.splits and not _other_is_plain(serving, served, asked, body)):
            return None
        pending = self._predicted(served, asked, plain, connection, started)
        if pending is not None:
            self._scored.append(pending)
        return pending

    def take_batch(self, asked: PlainPrediction, body: bytes, connection: Any) -> Pending | None:
        """Score a plain batch and record it; None when Flask is to see to it, and then nothing was recorded.

        In a thread. `error` of what is returned says whether it was recorded.
        """
        started = time.perf_counter()
        serving = self._models.serving
        served = serving.pick(asked.model_name, kept_id(asked))
        # In a split both versions would have to be able to answer here: see `_other_is_plain`.
        if served is None or served.card.name in serving.splits:
            return None
        with self._turns:
            plain = plain_rows(served, asked, body)
            pending = self._predicted(served, asked, plain, connection, started) if plain is not None else None
        if pending is not None:
            with pending.prediction.in_flight():
                pending.error = _recorded(served.predictions, pending.prediction.payloads)
        return pending

    def _predicted(
        self, served: ServedModel, asked: PlainPrediction, plain: Plain, connection: Any, started: float
    ) -> Pending | None:
        """Score it, if whoever asks may; None when Flask is to see to it."""
        request_id, client_id = str(uuid.uuid4()), plain.client_id
        client = self._admitted(asked)
        if client is None:
            return None
        try:
            prediction = predict(
                served,
                plain.rows,
                is_batch=plain.is_batch,
                request_id=request_id,
                client_id=client_id,
                started=started,
                render=plain.render,
                matrix=plain.matrix,
            )
        except Problem:
            # Flask comes to the same end, and says so; in a split the other version may be drawn, and answer.
            self._guard.give_back(client)
            return None
        return Pending(prediction, Asked(request_id, "POST", asked.path, client, client_id), connection)

    def _admitted(self, asked: PlainPrediction) -> str | None:
        """Who asks, "" where nobody needs a name; None for one whom Flask is to refuse."""
        try:
            return self._guard.admit(asked.authorization)
        except Problem:
            return None

    def flush(self) -> None:
        """Record what was taken since the last time, all of it together."""
        if self._scored and self._recorder is not None:
            batch, self._scored = self._scored, []
            self.in_flight += len(batch)
            self._recorder.put(batch)

    def returned(self, batch: list[Pending]) -> None:
        """Say that a batch has come back."""
        self.in_flight -= len(batch)

    def answered(self, pending: Pending) -> None:
        """Count a prediction whose answer has left, and let the model's shadow score it, too."""
        pending.prediction.count()
        if self._access.notes_answers:
            self._access.answered(pending.asked, 200, **pending.prediction.facts())
        self._shadow.offer(pending.prediction)

    def refusal(self, problem: Problem, pending: Pending | None, path: str) -> tuple[list[tuple[str, str]], bytes]:
        """Headers and body of a refusal, which is counted and logged.

        `pending`: what it is for, if that is known; `path`: what was asked for, as far as that has come.
        """
        asked = pending.asked if pending else Asked(str(uuid.uuid4()), "", path)
        refusals.note(problem, self._access, asked, pending.prediction.served.card if pending else None)
        return refusals.response(problem, asked.request_id, path)


def _other_is_plain(serving: Serving, served: ServedModel, asked: PlainPrediction, body: bytes) -> bool:
    """Whether, in a split, the version that was not drawn could have answered here, too.

    Flask draws again. What is left to it must not depend on the draw, or the split would not have its share.
    """
    split = serving.splits.get(served.card.name)
    if split is None:
        return True
    if asked.is_v2:
        # The client's id, which decides, stands in the body: Flask reads that before it draws.
        return False
    other = serving.models[served.card.name] if served is split.second else split.second
    return other.model.row_seconds <= QUICK_SECONDS and plain_row(other, asked, body) is not None


class _Recorder:
    """One thread that records what the loop has scored.

    Args:
        done: called in that thread with each batch, recorded or refused.
    """

    def __init__(self, done: Callable[[list[Pending]], None]) -> None:
        self._done = done
        self._queue: queue.SimpleQueue[list[Pending] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, batch: list[Pending]) -> None:
        """Record these, with whatever else waits by then."""
        self._queue.put(batch)

    def stop(self, timeout_seconds: float) -> None:
        """Let what is queued be recorded, then end; wait no longer than that."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            batch, goes_on = self._take()
            if batch:
                self._record(batch)
                self._done(batch)
            if not goes_on:
                return

    def _take(self) -> tuple[list[Pending], bool]:
        """Everything that is queued, at least one batch; and whether more may come."""
        batch: list[Pending] = []
        more = self._queue.get()
        while more is not None:
            batch += more
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _record(self, batch: list[Pending]) -> None:
        by_writer: dict[SegmentWriter, list[Pending]] = {}
        for pending in batch:
            if not pending.expired:
                by_writer.setdefault(pending.prediction.served.predictions, []).append(pending)
        for writer, members in by_writer.items():
            lines = [line for pending in members for line in pending.prediction.payloads]
            gauge = members[0].prediction.served.metrics.rows_in_flight
            gauge.inc(len(lines))
            error = _recorded(writer, lines)
            gauge.dec(len(lines))
            for pending in members:
                pending.error = error


def _recorded(writer: SegmentWriter, payloads: list[bytes]) -> LogUnavailable | None:
    """Put rows on disk; returns why that failed, if it did. In a thread."""
    try:
        writer.append(payloads)
    except LogUnavailable as error:
        return error
    except Exception as error:
        # The edge of this thread: nobody may wait for an answer that never comes.
        log.exception("recording failed")
        return LogUnavailable(f"recording failed: {type(error).__name__}")
    return None
