"""Counts requests that were refused for their content, and appends the counts to the version's refusal log.

A refused request costs a few additions in memory. One thread per worker writes: it begins with the first refusal,
sleeps while there is nothing to write, and writes at most every `FLUSH_SECONDS`. It is a thread of its own because
neither the event loop, nor the thread that follows the registry, may wait for a disk. Nothing waits for it in turn:
what it cannot write is lost and said in the gateway's log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.clock import utc_text
from gateway.log import refusals
from gateway.log.writer import LogUnavailable, SegmentWriter
from gateway.serving.problems import INVALID, MALFORMED, Fault, Problem

log = logging.getLogger("gateway.refusals")

#: What is refused is written so much later, at most.
FLUSH_SECONDS = 5.0
#: Causes that are told apart between two writings, for each version; a wide model may have more.
CAUSES_MAX = 200
#: Characters of an example.
EXAMPLE_LENGTH_MAX = 80
#: How long the last writing may take when the worker ends.
_END_SECONDS = 5.0
#: Refusals that are about what a request holds. All others are about who asks, how much, or about ourselves.
_OF_CONTENT = (INVALID, MALFORMED)


class RefusalLog:
    """What this worker refused for its content since it was last written.

    Args:
        keeps_examples: whether lines show a value that was refused.
        flush_seconds: how long counts are gathered before they are written.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        keeps_examples: bool = True,
        flush_seconds: float = FLUSH_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keeps_examples = keeps_examples
        self._flush_seconds = flush_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._tallies: dict[SegmentWriter, _Tally] = {}
        self._closed = False
        self._some = threading.Event()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, writer: SegmentWriter, problem: Problem) -> None:
        """Count a refused request for a prediction, if it was refused for its content.

        Args:
            writer: of the refusal log of the version that was asked.
        """
        if problem.kind not in _OF_CONTENT:
            return
        with self._lock:
            if self._closed:
                return
            if writer not in self._tallies:
                self._tallies[writer] = _Tally(utc_text(self._clock()), self._keeps_examples)
            self._tallies[writer].add(problem)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="refusal-log", daemon=True)
                self._thread.start()
        self._some.set()

    def close(self) -> None:
        """Write what was counted, and end. Before the writers are closed."""
        with self._lock:
            self._closed = True
        self._end.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while not self._end.is_set():
            self._some.wait()
            self._end.wait(self._flush_seconds)
            self._some.clear()
            self._flush()
        # What came while the last one was written.
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        for writer, tally in tallies.items():
            try:
                # The line's time is of now: a drift run that waits a little finds every line of its window.
                writer.append(tally.payloads(utc_text(self._clock())))
            except LogUnavailable as error:
                log.error("the counts of %d refused requests are lost: %s", tally.requests, error)
            except Exception:
                # The edge of this thread: it must live as long as the worker.
                log.exception("the counts of %d refused requests are lost", tally.requests)


@dataclass(slots=True)
class _Count:
    requests: int = 0
    rows: int = 0
    example: str | None = None


class _Tally:
    """What was refused of one version since `since`, by reason and feature."""

    def __init__(self, since: str, keeps_examples: bool) -> None:
        self._since = since
        self._keeps_examples = keeps_examples
        self._all, self._more = _Count(), _Count()
        self._counts: dict[tuple[str, str], _Count] = {}

    @property
    def requests(self) -> int:
        """How many there were."""
        return self._all.requests

    def add(self, problem: Problem) -> None:
        """Count a request once for each of its causes."""
        counts = [self._count(cause) for cause in _causes(problem)]
        # By identity: of several causes that are not told apart, one counts.
        for count in {id(count): count for count in (self._all, *counts)}.values():
            count.requests += 1
            count.rows += problem.rows

    def payloads(self, until: str) -> list[bytes]:
        """A line each."""
        counts = {(refusals.ANY, ""): self._all, **self._counts}
        if self._more.requests:
            counts[refusals.MORE, ""] = self._more
        return [
            refusals.encode(reason, feature, count.requests, count.rows, count.example, self._since, until)
            for (reason, feature), count in counts.items()
        ]

    def _count(self, cause: Fault) -> _Count:
        key = (cause.reason, cause.feature)
        if key not in self._counts:
            if len(self._counts) >= CAUSES_MAX:
                return self._more
            self._counts[key] = _Count(example=_example(cause) if self._keeps_examples else None)
        return self._counts[key]


def _causes(problem: Problem) -> tuple[Fault, ...]:
    if problem.kind is MALFORMED:
        return (Fault("", problem.detail, "malformed"),)
    return problem.causes


def _example(cause: Fault) -> str | None:
    """The value of a cause, as it may be printed anywhere; of a body that cannot be read, what is wrong with it."""
    if cause.reason == "malformed":
        return _printable(cause.detail)
    return None if cause.value is None else shown(cause.value)


def shown(value: Any) -> str:
    """A value that a client sent, for people: as JSON has it, without control characters, not longer than a line.

    >>> shown("41"), shown(41), shown(True), shown([1, 2]), shown("a" * 100)[-5:]
    ('"41"', '41', 'true', 'a list', 'a..."')
    """
    if isinstance(value, str):
        return f'"{_printable(value, EXAMPLE_LENGTH_MAX - 2)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _printable(repr(value))
    return "a list" if isinstance(value, list) else "an object"


def _printable(text: str, length_max: int = EXAMPLE_LENGTH_MAX) -> str:
    if len(text) > length_max:
        text = text[: length_max - 3] + "..."
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
