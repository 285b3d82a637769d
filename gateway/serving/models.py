"""The models that this worker serves, kept in step with the registry while requests go on.

A thread looks at the serving pointer once a second (one stat). On a change it loads what is new beside what
serves and then swaps one reference; a request holds the entry it started with. A version that cannot be
loaded leaves the old one serving, and says why.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from gateway.log import labels, predictions
from gateway.log.line import header_line
from gateway.log.writer import LogUnavailable, SegmentWriter
from gateway.registry import ModelCard, Registry, RegistryError
from gateway.serving.decoder import RowDecoder
from gateway.serving.metrics import ModelMetrics
from gateway.serving.model import LoadedModel
from gateway.serving.problems import NOT_READY, UNKNOWN_MODEL, Problem
from gateway.serving.validation import LabelInput, PredictionInput
from gateway.settings import GatewaySettings, Paths

log = logging.getLogger("gateway.models")

#: How long a model that could not be loaded is left alone.
RETRY_SECONDS = 30.0
_NEVER = object()


@dataclass(frozen=True)
class ServedModel:
    """Everything a request for one model version needs."""

    model: LoadedModel
    decoder: RowDecoder
    input: PredictionInput
    label_input: LabelInput
    encoder: predictions.PredictionEncoder
    label_encoder: labels.LabelEncoder
    predictions: SegmentWriter
    labels: SegmentWriter
    metrics: ModelMetrics

    @property
    def card(self) -> ModelCard:
        """The version's card."""
        return self.model.card


@dataclass(frozen=True)
class Serving:
    """What serves at one moment: never changed, only replaced. `failures`: model name to why it does not serve."""

    default_model: str | None = None
    models: dict[str, ServedModel] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class Models:
    """Loads, swaps and finds models; owns the log writers of this worker."""

    def __init__(self, registry: Registry, paths: Paths, settings: GatewaySettings) -> None:
        self._registry = registry
        self._paths = paths
        self._settings = settings
        # Writers outlive a swap: a request that began with the old version still records there, and going
        # back to it goes on in the same segment.
        self._writers: dict[tuple[Path, bytes], SegmentWriter] = {}
        self._mark: object = _NEVER
        self._retry_at = 0.0
        self._refreshing = threading.Lock()
        self._stop = threading.Event()
        self.serving = Serving()

    def find(self, name: str | None = None) -> ServedModel:
        """The model of that name, or the default one. Raises Problem."""
        serving = self.serving
        served = serving.models.get((serving.default_model or "") if name is None else name)
        if served is not None:
            return served
        # Perhaps it was registered within the last second: no worker may deny what another serves already.
        self.refresh()
        serving = self.serving
        wanted = serving.default_model if name is None else name
        served = serving.models.get(wanted or "")
        if served is not None:
            return served
        if wanted is None:
            raise Problem(NOT_READY, "no model is registered yet; 'make register' registers one")
        if wanted in serving.failures:
            raise Problem(NOT_READY, f"model {wanted!r} cannot be served: {serving.failures[wanted]}")
        known = ", ".join(sorted(serving.models)) or "none"
        raise Problem(UNKNOWN_MODEL, f"no model of that name serves; serving: {known}")

    def refresh(self) -> None:
        """Bring what serves in line with the registry, if its pointer was replaced since the last look.

        What failed to load is tried again every now and then: a file may have been put back.
        """
        if not self._is_due(self._registry.serving_mark()):
            return
        with self._refreshing:
            # Asked before the pointer is read: a change in between is then found at the next look.
            mark = self._registry.serving_mark()
            if self._is_due(mark):
                self.serving = self._follow(self.serving)
                self._mark = mark
                self._retry_at = time.monotonic() + RETRY_SECONDS

    def _is_due(self, mark: object) -> bool:
        return mark != self._mark or (bool(self.serving.failures) and time.monotonic() >= self._retry_at)

    def _follow(self, current: Serving) -> Serving:
        try:
            wanted = self._registry.serving()
        except (RegistryError, OSError) as error:
            log.error("the serving pointer cannot be read, going on with what serves: %s", error)
            return current
        if current.models and not wanted.versions:
            log.error("the serving pointer is gone or empty, going on with what serves")
            return current
        models: dict[str, ServedModel] = {}
        failures: dict[str, str] = {}
        for name, version in sorted(wanted.versions.items()):
            served = current.models.get(name)
            if served is not None and served.card.version == version:
                models[name] = served
                continue
            try:
                models[name] = self._load(name, version)
                log.info("serving %s %s", name, version)
            except (RegistryError, OSError) as error:
                failures[name] = str(error)
                log.error("%s %s cannot be served: %s", name, version, error)
                if served is not None:
                    models[name] = served
        return Serving(wanted.default_model, models, failures)

    def watch(self) -> None:
        """Start the thread that refreshes, and rotates idle logs, for as long as this worker lives."""
        threading.Thread(target=self._watch, name="registry-watch", daemon=True).start()

    def unready(self) -> list[str]:
        """Why this worker should get no requests; empty when it should. Tries to record for real.

        A model that cannot be served is its own clients' problem, unless it is the default one or the only one.
        """
        self.refresh()
        serving = self.serving
        reasons = [
            f"model {name!r} cannot be served: {why}"
            for name, why in sorted(serving.failures.items())
            if name not in serving.models and (name == serving.default_model or not serving.models)
        ]
        if not serving.models and not reasons:
            reasons.append("no model is registered")
        for name, served in sorted(serving.models.items()):
            try:
                served.predictions.probe()
            except LogUnavailable as error:
                reasons.append(f"model {name!r}: {error}")
        return reasons

    def close(self) -> None:
        """Stop watching and close the logs; rows under way are finished first."""
        self._stop.set()
        for writer in self._all_writers():
            writer.close()

    def _watch(self) -> None:
        while not self._stop.wait(self._settings.reload_seconds):
            try:
                self.refresh()
            except Exception:
                # The edge of this thread: it must live as long as the worker.
                log.exception("looking for a change in the registry failed")
            for writer in self._all_writers():
                writer.tick()

    def _load(self, name: str, version: str) -> ServedModel:
        model = LoadedModel.load(self._registry, name, version)
        card, settings, live = model.card, self._settings, self._paths.live
        limits = {"instances_max": settings.instances_max, "text_length_max": settings.text_length_max}
        return ServedModel(
            model=model,
            decoder=RowDecoder(card, **limits),
            input=PredictionInput(card, **limits),
            label_input=LabelInput(card, **limits),
            encoder=predictions.PredictionEncoder(card),
            label_encoder=labels.LabelEncoder(card),
            predictions=self._writer(
                predictions.folder(live, name, version), predictions.PREFIX, header_line(predictions.columns(card))
            ),
            labels=self._writer(labels.folder(live, name), labels.PREFIX, header_line(labels.columns(card))),
            metrics=ModelMetrics(card),
        )

    def _all_writers(self) -> list[SegmentWriter]:
        # A copy: a request that looks at the registry may be adding one.
        return list(self._writers.values())

    def _writer(self, folder: Path, prefix: str, header: bytes) -> SegmentWriter:
        key = (folder, header)
        if key not in self._writers:
            self._writers[key] = SegmentWriter(
                folder,
                prefix,
                header,
                durable=self._settings.durability == "power",
                timeout_seconds=self._settings.append_timeout_seconds,
                bytes_max=self._settings.segment_bytes_max,
                age_seconds_max=self._settings.segment_age_seconds,
            )
        return self._writers[key]
