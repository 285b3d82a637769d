"""`python -m gateway.serving.shadow.process`: scores again what its worker answered. Started by the worker alone.

It reads messages from its standard input, at idle priority, and appends to `shadow_predictions-*.csv` in the folder of
the version that shadows. It ends when its worker closes the pipe, or dies. Nobody waits for it: rows that it cannot
score or record are counted, and that is all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
import warnings
from dataclasses import dataclass

from gateway.clock import utc_text
from gateway.log import predictions
from gateway.log.line import header_line
from gateway.log.writer import LogUnavailable, SegmentWriter
from gateway.metrics_folder import MODEL_FAILED, NOT_RECORDED, PROCESS_ENDED
from gateway.registry import Registry, RegistryError
from gateway.serving.metrics import count_shadow_dropped, count_shadow_rows
from gateway.serving.prediction import payloads_of
from gateway.serving.scoring.model import LoadedModel
from gateway.serving.shadow.message import ShadowRows, read
from gateway.settings import GatewaySettings, Paths, load

log = logging.getLogger("gateway.shadow")

#: How often an idle process looks whether its log files are old.
TICK_SECONDS = 1.0


@dataclass(frozen=True)
class _Shadow:
    """A loaded version with its log. `model`: None when it could not be loaded."""

    version: str
    model: LoadedModel | None
    encoder: predictions.PredictionEncoder | None = None
    writer: SegmentWriter | None = None


class Scorer:
    """Scores and records; holds one version per model, the one that was asked last."""

    def __init__(self, paths: Paths, settings: GatewaySettings) -> None:
        self._registry = Registry(paths.models, paths.reference)
        self._paths = paths
        self._settings = settings
        self._shadows: dict[str, _Shadow] = {}
        self._failing: set[tuple[str, str]] = set()

    def run(self, fd: int) -> None:
        """Read and score until the writing end is closed; what is unread by then is counted as dropped."""
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        while True:
            events = poller.poll(TICK_SECONDS * 1000)
            if not events:
                self._tick()
            elif events[0][1] & select.POLLHUP:
                break
            elif (message := read(fd)) is not None:
                self.score(message)
        while (message := read(fd)) is not None:
            _drop(message, PROCESS_ENDED)
        for shadow in self._shadows.values():
            if shadow.writer is not None:
                shadow.writer.close()

    def score(self, message: ShadowRows) -> None:
        """Score and record the rows of a message, or count them as dropped."""
        shadow = self._shadow(message.name, message.version)
        if shadow.model is None or shadow.encoder is None or shadow.writer is None:
            _drop(message, MODEL_FAILED)
            return
        started = time.perf_counter()
        try:
            answers = shadow.model.answer(message.rows)
        except Exception as error:  # noqa: BLE001 - counted, and said once; nobody waits for it
            # A model may raise anything on rows that another version was asked.
            self._say_once(message, f"failed on a row: {type(error).__name__}: {error}")
            _drop(message, MODEL_FAILED)
            return
        latency_ms = (time.perf_counter() - started) * 1e3
        payloads = payloads_of(
            shadow.encoder,
            message.rows,
            answers,
            message.request_id,
            utc_text(time.time()),
            message.client_id,
            latency_ms,
            message.first_instance,
        )
        try:
            shadow.writer.append(payloads)
        except LogUnavailable as error:
            self._say_once(message, str(error))
            _drop(message, NOT_RECORDED)
            return
        count_shadow_rows(message.name, message.version, len(message.rows))

    def _shadow(self, name: str, version: str) -> _Shadow:
        known = self._shadows.get(name)
        if known is not None and known.version == version:
            return known
        if known is not None and known.writer is not None:
            known.writer.close()
        self._shadows[name] = self._load(name, version)
        return self._shadows[name]

    def _load(self, name: str, version: str) -> _Shadow:
        try:
            model = LoadedModel.load(self._registry, name, version)
        except (RegistryError, OSError) as error:
            # The worker loaded it a moment ago, and says so when it cannot any more.
            log.error("%s %s cannot shadow: %s", name, version, error)
            return _Shadow(version, None)
        settings, card = self._settings, model.card
        writer = SegmentWriter(
            predictions.folder(self._paths.live, name, version),
            predictions.SHADOW_PREFIX,
            header_line(predictions.columns(card)),
            # No answer depends on these rows, and every sync would take the disk from one that does.
            durable=False,
            timeout_seconds=settings.append_timeout_seconds,
            bytes_max=settings.segment_bytes_max,
            age_seconds_max=settings.segment_age_seconds,
        )
        return _Shadow(version, model, predictions.PredictionEncoder(card), writer)

    def _tick(self) -> None:
        for shadow in self._shadows.values():
            if shadow.writer is not None:
                shadow.writer.tick()

    def _say_once(self, message: ShadowRows, what: str) -> None:
        """The counter says how often; the log says what the first one was."""
        key = (message.name, message.version)
        if key not in self._failing:
            self._failing.add(key)
            log.warning("shadow %s %s %s; from now on this is only counted", *key, what)


def main() -> int:
    """Score what comes on standard input until it ends."""
    # Ctrl-C at a terminal reaches every process of the gateway; this one ends after its worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    Scorer(*load(Paths, GatewaySettings)).run(sys.stdin.fileno())
    return 0


def _drop(message: ShadowRows, reason: str) -> None:
    count_shadow_dropped(message.name, message.version, reason, len(message.rows))


if __name__ == "__main__":
    sys.exit(main())
