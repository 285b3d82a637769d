"""What the exporter reads, with its last good answers: results, history, registry, heartbeats, logs, metrics.

Nothing here raises for a broken file. A source that cannot be read is counted, and its last good answer is
given, with the times that it carries itself. One broken model leaves the others as they are.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from drift_engine.results import Latest, Result, ResultStore
from drift_engine.results.actions import Action
from drift_engine.results.days import DayError, DayRecord, DayStore, Review
from drift_engine.results.incidents import Incidents
from drift_engine.results.store import ResultError
from exporter.kept import Kept
from exporter.marks import Mark, mark
from gateway import heartbeat, metrics_folder
from gateway.heartbeat import Heartbeat
from gateway.log import manifest, outcomes
from gateway.log.outcomes import Outcome
from gateway.log.retention import disk_used_ratio
from gateway.registry import ModelCard, Registry, RegistryError, Serving
from gateway.settings import Paths

if TYPE_CHECKING:
    from prometheus_client import Metric

Source = Literal["result", "history", "incidents", "actions", "registry", "gateway_metrics", "log", "disk"]
SOURCES: tuple[Source, ...] = get_args(Source)
#: Those that `Sources.models` reads.
MODEL_SOURCES: tuple[Source, ...] = ("registry", "result", "history", "incidents", "actions")


@dataclass(frozen=True)
class ModelState:
    """One model version at this moment.

    `answer` is its newest committed run, `newest_day` the newest of its kept days, `incidents` what its alerts came
    to; each None before the first.
    """

    model_name: str
    model_version: str
    serving: bool
    card: ModelCard | None
    answer: Answer | None
    newest_day: DayRecord | None = None
    incidents: Incidents | None = None


@dataclass(frozen=True)
class Answer:
    """The run that `latest.json` names, with the state of both files when they were read."""

    latest: Latest
    result: Result
    marks: tuple[Mark, Mark]


@dataclass(frozen=True)
class LogState:
    """The logs' manifest chain, and the segments that it does not hold yet."""

    chain_length: int
    chain_head: str
    unsealed_segments: int


class Sources:
    """Reads everything anew whenever asked, but parses only what has changed. Safe to share by threads."""

    def __init__(self, paths: Paths) -> None:
        self.store = ResultStore(paths.reports)
        self.registry = Registry(paths.models, paths.reference)
        self._state = paths.state
        self._live = paths.live
        self._metrics = paths.gateway_metrics
        self._lock = threading.Lock()
        self._errors: dict[Source, int] = dict.fromkeys(SOURCES, 0)
        self._failing: dict[Source, str] = {}
        self._answers: dict[tuple[str, str], Answer] = {}
        self._kept = Kept(paths.reports, self._failed)
        self._reviews = DayStore(paths.reports)
        self._cards: dict[tuple[str, str], ModelCard] = {}
        self._serving = Serving()
        self._families: list[Metric] = []
        self._chain = manifest.Chain()
        self._chain_mark: Mark | None = None
        self._log: LogState | None = None

    def models(self) -> list[ModelState]:
        """Every version that serves, has a result or a kept history, by name and version."""
        with self._lock:
            for source in MODEL_SOURCES:
                self._recovered(source)
            serving = self._read_serving()
            pairs = set(serving.versions.items()) | self._with_results() | self._kept.models()
            return [self._model(name, version, serving) for name, version in sorted(pairs)]

    def serving(self) -> Serving:
        """What serves, as last read by `models`."""
        with self._lock:
            return self._serving

    def cards(self, name: str) -> list[ModelCard]:
        """The registered versions of a model, oldest first; those whose card cannot be read are left out."""
        with self._lock:
            try:
                versions = self.registry.versions(name)
            except RegistryError:
                # No name of a model, whoever asked for it: nothing is broken.
                return []
            except OSError as error:
                self._failed("registry", str(error))
                return []
            found = (self._read_card(name, version) for version in versions)
            return [card for card in found if card is not None]

    def days(self, name: str, version: str, since: str, until: str) -> tuple[DayRecord, ...]:
        """The kept history of the UTC days since <= day <= until, oldest first."""
        with self._lock:
            return self._kept.days(name, version, since, until)

    def actions(self, name: str, version: str) -> tuple[Action, ...]:
        """What was done when retraining was recommended, oldest first; empty where nothing was."""
        with self._lock:
            return self._kept.actions(name, version)

    def review(self, name: str, version: str, day: str) -> Review | None:
        """The rows of least confidence of one day; None where there are none, or they cannot be read.

        They are many and seldom asked for: read each time, and without keeping a scrape waiting.
        """
        try:
            return self._reviews.review(name, version, day)
        except DayError as error:
            with self._lock:
                self._failed("history", str(error))
            return None

    def heartbeats(self) -> dict[str, Heartbeat]:
        """The readable heartbeats by process; one that is absent or unreadable is absent here too."""
        return heartbeat.read_all(self._state)

    def gateway_families(self) -> list[Metric]:
        """The gateway's metrics, summed over its workers; empty before it ever ran."""
        with self._lock:
            self._recovered("gateway_metrics")

            def damaged(path: Path) -> None:
                self._failed("gateway_metrics", f"{path.name} is damaged")

            try:
                if self._families and not self._metrics.is_dir():
                    # systemd empties /dev/shm of a user's files when that user logs out (RemoveIPC).
                    raise metrics_folder.MetricsFolderError(f"{self._metrics} is gone; restart the gateway")
                self._families = metrics_folder.collect(self._metrics, damaged)
            except (OSError, metrics_folder.MetricsFolderError) as error:
                self._failed("gateway_metrics", str(error))
            return self._families

    def log(self) -> LogState | None:
        """The state of the prediction and label logs; None before the first row was ever logged."""
        with self._lock:
            self._recovered("log")
            try:
                self._log = self._read_log()
            except (OSError, manifest.UnreadableChain) as error:
                self._failed("log", str(error))
            return self._log

    def log_commands(self) -> list[Outcome]:
        """How sealing, verifying and expiring ended last; one whose record is absent or unreadable is absent here."""
        return outcomes.read_all(self._state)

    def log_disk_used_ratio(self) -> float | None:
        """How full the disk of the logs is at this moment, from 0 to 1; None when the system does not say.

        The last good answer is not given here: a disk fills whether it can be asked or not.
        """
        with self._lock:
            self._recovered("disk")
            # Before the first row: the disk on which the logs will be.
            folder = self._live.absolute()
            try:
                return disk_used_ratio(next(path for path in (folder, *folder.parents) if path.exists()))
            except OSError as error:
                self._failed("disk", f"{self._live}: {error.strerror}")
                return None

    def errors(self) -> dict[Source, int]:
        """How often each source could not be read, since the exporter started."""
        with self._lock:
            return dict(self._errors)

    def failing(self) -> dict[Source, str]:
        """The sources whose newest reading failed, with the reason."""
        with self._lock:
            return dict(self._failing)

    def _read_log(self) -> LogState | None:
        if not self._live.is_dir():
            return None
        path = self._live / manifest.FILE
        # The state first: a chain that grows in between is read again at the next scrape.
        state = mark(path) if path.exists() else None
        if state != self._chain_mark:
            self._chain = manifest.read_chain(self._live)
            self._chain_mark = state
        return LogState(
            chain_length=len(self._chain.entries),
            chain_head=self._chain.head,
            unsealed_segments=len(manifest.unsealed(self._live, self._chain)),
        )

    def _with_results(self) -> set[tuple[str, str]]:
        # A version that had a result and lost its pointer is still listed, so that its loss is counted; one
        # whose whole folder is gone was removed on purpose.
        for name, version in [pair for pair in self._answers if not self.store.folder(*pair).is_dir()]:
            del self._answers[name, version]
        return set(self.store.models()) | set(self._answers)

    def _model(self, name: str, version: str, serving: Serving) -> ModelState:
        return ModelState(
            model_name=name,
            model_version=version,
            serving=serving.versions.get(name) == version,
            card=self._read_card(name, version),
            answer=self._read_answer(name, version),
            newest_day=self._kept.newest_day(name, version),
            incidents=self._kept.incidents(name, version),
        )

    def _read_answer(self, name: str, version: str) -> Answer | None:
        known = self._answers.get((name, version))
        try:
            home = self.store.folder(name, version)
            if known is not None and _is_unchanged(known, home):
                return known
            latest = self.store.latest(name, version)
            if latest is None:
                if known is not None:
                    self._failed("result", f"{name} {version}: latest.json is gone")
                return known
            marks = _marks(home, latest.run_id)
            result = self.store.result(name, version, latest.run_id)
        except (OSError, ResultError, RegistryError) as error:
            self._failed("result", f"{name} {version}: {error}")
            return known
        if (result.model_name, result.model_version, result.run_id) != (name, version, latest.run_id):
            self._failed("result", f"{name} {version}: result.json of {latest.run_id} is another run's")
            return known
        answer = Answer(latest, result, marks)
        self._answers[name, version] = answer
        return answer

    def _read_serving(self) -> Serving:
        try:
            self._serving = self.registry.serving()
        except (OSError, RegistryError) as error:
            self._failed("registry", str(error))
        return self._serving

    def _read_card(self, name: str, version: str) -> ModelCard | None:
        # A version is immutable: once read, its card needs no second look.
        if (name, version) not in self._cards:
            try:
                self._cards[name, version] = self.registry.card(name, version)
            except (OSError, RegistryError) as error:
                # Results outlive models: a version that no longer serves may have been removed on purpose.
                if self._serving.versions.get(name) == version:
                    self._failed("registry", str(error))
                return None
        return self._cards[name, version]

    def _failed(self, source: Source, reason: str) -> None:
        self._errors[source] += 1
        self._failing[source] = reason

    def _recovered(self, source: Source) -> None:
        self._failing.pop(source, None)


def _is_unchanged(answer: Answer, home: Path) -> bool:
    try:
        return answer.marks == _marks(home, answer.latest.run_id)
    except FileNotFoundError:
        # Not an error yet: retention may have removed this run, because a newer one is the latest.
        return False


def _marks(home: Path, run_id: str) -> tuple[Mark, Mark]:
    """The states of the pointer and of the result it names. Raises OSError when either is gone."""
    return mark(home / "latest.json"), mark(home / run_id / "result.json")
