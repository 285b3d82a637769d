"""The models that this worker serves, kept in step with the registry while requests go on.

A thread looks at the serving pointer once a second (one stat). On a change it loads what is new beside what
serves and then swaps one reference; a request holds the entry it started with. A version that cannot be
loaded leaves the old one serving, and says why. All versions that the pointer names are loaded: the serving ones,
those that answer a part of the requests (a split), and those that shadow.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from gateway.log import labels, predictions, refusals
from gateway.log.line import LogColumn, header_line
from gateway.log.writer import LogUnavailable, SegmentWriter
from gateway.registry import ModelCard, Registry, RegistryError
from gateway.registry import Serving as Pointer
from gateway.registry.compatibility import refuse_unlike
from gateway.serving.decoder import RowDecoder
from gateway.serving.metrics import ModelMetrics, count_load_failure
from gateway.serving.problems import NOT_READY, UNKNOWN_MODEL, Problem
from gateway.serving.scoring.model import LoadedModel
from gateway.serving.v2.decoder import TensorDecoder
from gateway.serving.validation import LabelInput, PredictionInput
from gateway.settings import GatewaySettings, Paths

log = logging.getLogger("gateway.models")

#: How long a model that could not be loaded is left alone.
RETRY_SECONDS = 30.0
_NEVER = object()


@dataclass(frozen=True)
class ServedModel:
    """Everything a request for one model version needs; `predictions`, `labels`, `refusals` write its logs."""

    model: LoadedModel
    decoder: RowDecoder
    tensor_decoder: TensorDecoder
    input: PredictionInput
    label_input: LabelInput
    encoder: predictions.PredictionEncoder
    label_encoder: labels.LabelEncoder
    predictions: SegmentWriter
    labels: SegmentWriter
    refusals: SegmentWriter
    metrics: ModelMetrics

    @property
    def card(self) -> ModelCard:
        """The version's card."""
        return self.model.card


@dataclass(frozen=True)
class Split:
    """A second version that answers `share` of a model's requests, 0 < share < 1."""

    second: ServedModel
    share: float

    @cached_property
    def _salt(self) -> bytes:
        # Another version is another draw: not always the same clients meet what is new.
        return f"{self.second.card.name}/{self.second.card.version}/".encode()

    def takes(self, client_id: str | None) -> bool:
        """Whether the second version answers: for one client always or never, without a client's id by chance."""
        if client_id is None:
            return random.random() < self.share
        digest = blake2b(self._salt + client_id.encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self.share * 2**64


@dataclass(frozen=True)
class Serving:
    """What serves at one moment: never changed, only replaced.

    Attributes:
        models: by name, the serving version.
        splits: by name, what answers a part of its requests.
        shadows: by name, the version that scores its requests, too.
        faults: name and version of what the pointer names and could not be loaded, and why.
    """

    default_model: str | None = None
    models: dict[str, ServedModel] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    shadows: dict[str, ServedModel] = field(default_factory=dict)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)

    @cached_property
    def loaded(self) -> dict[tuple[str, str], ServedModel]:
        """Every version that is loaded, by name and version."""
        everything = (*self.answering(), *self.shadows.values())
        return {(served.card.name, served.card.version): served for served in everything}

    def answering(self) -> Iterator[ServedModel]:
        """Every version that answers requests for its model."""
        yield from self.models.values()
        yield from (split.second for split in self.splits.values())

    @property
    def failures(self) -> dict[str, str]:
        """By model, why a version that the pointer names is not in use."""
        found: dict[str, str] = {}
        for (name, version), why in sorted(self.faults.items()):
            found[name] = "; ".join(filter(None, (found.get(name), f"version {version}: {why}")))
        return found

    def beside(self, name: str) -> dict[str, Any]:
        """What is in use beside the serving version, as GET /models says it."""
        split, shadow = self.splits.get(name), self.shadows.get(name)
        return {
            "split": {"version": split.second.card.version, "share": split.share} if split else None,
            "shadow": shadow.card.version if shadow else None,
        }

    def pick(self, name: str | None, client_id: str | None) -> ServedModel | None:
        """The version that is to answer a request for a model, or for the default one; None when none serves."""
        name = (self.default_model or "") if name is None else name
        if self.splits:
            split = self.splits.get(name)
            if split is not None and split.takes(client_id):
                return split.second
        return self.models.get(name)


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
        """The serving version of the model of that name, or of the default one. Raises Problem."""
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

    def pick(self, name: str | None, client_id: str | None) -> ServedModel:
        """The version that is to answer a request for a model, or for the default one. Raises Problem."""
        return self.serving.pick(name, client_id) or self.find(name)

    def find_version(self, name: str, version: str) -> ServedModel:
        """A version of a model, if it is loaded: serving, in a split, or shadowing. Raises Problem."""
        if (served := self.serving.loaded.get((name, version))) is not None:
            return served
        self.refresh()
        serving = self.serving
        if (served := serving.loaded.get((name, version))) is not None:
            return served
        if (fault := serving.faults.get((name, version))) is not None:
            raise Problem(NOT_READY, f"version {version!r} of model {name!r} cannot be served: {fault}")
        self.find(name)
        loaded = ", ".join(sorted(known for model, known in serving.loaded if model == name))
        raise Problem(
            UNKNOWN_MODEL,
            f"that version of {name!r} is not in use; in use: {loaded}; 'make promote', 'make split' or 'make shadow' "
            "brings a registered version into use, 'make models' lists them",
        )

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
        return mark != self._mark or (bool(self.serving.faults) and time.monotonic() >= self._retry_at)

    def _follow(self, current: Serving) -> Serving:
        try:
            wanted = self._registry.serving()
        except (RegistryError, OSError) as error:
            log.error("the serving pointer cannot be read, going on with what serves: %s", error)
            return current
        if current.models and not wanted.versions:
            log.error("the serving pointer is gone or empty, going on with what serves")
            return current
        return _Following(self._load, current, wanted).serving()

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
            for name, why in serving.failures.items()
            if name not in serving.models and (name == serving.default_model or not serving.models)
        ]
        if not serving.models and not reasons:
            reasons.append("no model is registered")
        for served in sorted(serving.answering(), key=lambda served: served.card.name):
            try:
                served.predictions.probe()
            except LogUnavailable as error:
                reasons.append(f"model {served.card.name!r}: {error}")
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
        durable = settings.durability == "power"
        return ServedModel(
            model=model,
            decoder=RowDecoder(card, **limits),
            tensor_decoder=TensorDecoder(card, instances_max=settings.instances_max),
            input=PredictionInput(card, **limits),
            label_input=LabelInput(card, **limits),
            encoder=predictions.PredictionEncoder(card),
            label_encoder=labels.LabelEncoder(card),
            predictions=self._writer(
                predictions.folder(live, name, version), predictions.PREFIX, predictions.columns(card), durable
            ),
            labels=self._writer(labels.folder(live, name), labels.PREFIX, labels.columns(card), durable),
            # Nobody was promised these lines, and every sync would take the disk from an answer.
            refusals=self._writer(
                refusals.folder(live, name, version), refusals.PREFIX, refusals.columns(), durable=False
            ),
            metrics=ModelMetrics(card),
        )

    def _all_writers(self) -> list[SegmentWriter]:
        # A copy: a request that looks at the registry may be adding one.
        return list(self._writers.values())

    def _writer(self, folder: Path, prefix: str, columns: Sequence[LogColumn], durable: bool) -> SegmentWriter:
        header = header_line(columns)
        key = (folder, header)
        if key not in self._writers:
            self._writers[key] = SegmentWriter(
                folder,
                prefix,
                header,
                durable=durable,
                timeout_seconds=self._settings.append_timeout_seconds,
                bytes_max=self._settings.segment_bytes_max,
                age_seconds_max=self._settings.segment_age_seconds,
            )
        return self._writers[key]


class _Following:
    """One look at the pointer: what is loaded stays, what is new is loaded, what cannot be used is a fault."""

    def __init__(self, load: Callable[[str, str], ServedModel], current: Serving, wanted: Pointer) -> None:
        self._load = load
        self._current = current
        self._wanted = wanted
        self._loaded = dict(current.loaded)
        self._faults: dict[tuple[str, str], str] = {}

    def serving(self) -> Serving:
        """What serves from now on."""
        wanted, former = self._wanted, self._current.models
        # A version that cannot be loaded leaves the old one serving.
        found = {name: self._get(name, version) or former.get(name) for name, version in wanted.versions.items()}
        models = {name: served for name, served in sorted(found.items()) if served is not None}
        seconds = {name: self._beside(models.get(name), name, split.version) for name, split in wanted.splits.items()}
        shadows = {name: self._beside(models.get(name), name, version) for name, version in wanted.shadows.items()}
        return Serving(
            default_model=wanted.default_model,
            models=models,
            splits={name: Split(second, wanted.splits[name].share) for name, second in seconds.items() if second},
            shadows={name: shadow for name, shadow in shadows.items() if shadow},
            faults=self._faults,
        )

    def _get(self, name: str, version: str) -> ServedModel | None:
        if (name, version) not in self._loaded:
            try:
                self._loaded[name, version] = self._load(name, version)
            except (RegistryError, OSError) as error:
                self._fault(name, version, error)
                return None
            log.info("loaded %s %s", name, version)
        return self._loaded[name, version]

    def _beside(self, first: ServedModel | None, name: str, version: str) -> ServedModel | None:
        """A version that is to share the requests of `first`."""
        if first is None or (second := self._get(name, version)) is None or second is first:
            return None
        try:
            refuse_unlike(first.card, second.card)
        except RegistryError as error:
            self._fault(name, version, error)
            return None
        return second

    def _fault(self, name: str, version: str, error: Exception) -> None:
        if (name, version) not in self._faults:
            self._faults[name, version] = str(error)
            log.error("%s %s cannot be served: %s", name, version, error)
            count_load_failure(name, version)
