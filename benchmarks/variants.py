"""Builds of the gateway that break its promise on purpose: to see what it costs, and that the oracle finds it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from flask import Flask

import gateway.serving.models
from gateway.log.writer import SegmentWriter
from gateway.serving.app import create_app

#: How long the build that answers first keeps its rows to itself.
_FLUSH_SECONDS = 0.02


class RecordsNothing(SegmentWriter):
    """Throws every row away."""

    def append(self, payloads: Sequence[bytes]) -> None:
        """Do nothing."""


class AnswersFirst(SegmentWriter):
    """Takes a row's word for its deed: it is written, and even synced, but after the answer has left."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._promised: list[bytes] = []
        self._stop = threading.Event()
        self._flusher = threading.Thread(target=self._keep_flushing, daemon=True)
        self._flusher.start()

    def append(self, payloads: Sequence[bytes]) -> None:
        """Remember the rows, and say that they are recorded."""
        self._promised.extend(payloads)

    def close(self) -> None:
        """Write what is left: an orderly end loses nothing, which is why nobody notices."""
        self._stop.set()
        self._flusher.join()
        super().close()

    def _keep_flushing(self) -> None:
        while True:
            last = self._stop.wait(_FLUSH_SECONDS)
            rows, self._promised = self._promised, []
            if rows:
                super().append(rows)
            if last:
                return


def recording_nothing() -> Flask:
    """The gateway without its log."""
    return _with_writer(RecordsNothing)


def answering_first() -> Flask:
    """The gateway that answers before it writes."""
    return _with_writer(AnswersFirst)


def _with_writer(writer: type[SegmentWriter]) -> Flask:
    gateway.serving.models.SegmentWriter = writer  # type: ignore[attr-defined]
    return create_app()
