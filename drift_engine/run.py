"""One run: read, judge, render, commit. Whatever happens in between, a result and a report are committed."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import logging
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

from drift_engine.alerts import raise_alerts
from drift_engine.analysis import Findings, analyse, no_analysis
from drift_engine.decision import decide_retraining
from drift_engine.errors import DriftError
from drift_engine.incidents.keeper import IncidentKeeper
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.labels.look_back import Wanted
from drift_engine.quality import labelled_rows
from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.sources import Logs, Source
from drift_engine.reference import Reference
from drift_engine.references import choose_reference
from drift_engine.report import Samples, report_page
from drift_engine.results.days import DayStore
from drift_engine.results.incidents import Incidents
from drift_engine.results.quality import Trend
from drift_engine.results.schema import ReferenceUsed, Result, Retraining, RetrainingCause, Window
from drift_engine.results.store import ResultStore
from drift_engine.scales import LONGER
from drift_engine.settings import DriftSettings
from drift_engine.subjects import answer_subjects, input_subjects
from drift_engine.table import Table, sample
from drift_engine.trend import WINDOW_DAYS, qualities, trend_metric, trend_of
from drift_engine.window import DAY_SECONDS
from gateway.clock import parse_utc, utc_text
from gateway.registry import ModelCard, Registry
from gateway.settings import Paths

_LIBRARIES = ("numpy", "scipy", "pyarrow", "pandas", "evidently")
_LOG = logging.getLogger(__name__)


class Progress(Protocol):
    """Told how far a run is."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def files(self, done: int, total: int) -> None:
        """So many of the log's files are read."""


class Silent:
    """Progress for nobody."""

    def stage(self, name: str) -> None:
        """Say nothing."""

    def files(self, done: int, total: int) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Committed:
    """A run's result, the folder that holds it, and the model version's incidents after it, where they are known."""

    result: Result
    folder: Path
    incidents: Incidents | None = None

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"


@dataclass(frozen=True)
class Known:
    """What a run knew of earlier ones, as its result has recorded it: the trend over days, and why to retrain."""

    trend: Trend | None = None
    recent: RetrainingCause | None = None


@dataclass(frozen=True)
class _Looked:
    """What a run saw: `samples` where there is something to draw, `reference` where one could be read."""

    findings: Findings
    samples: Samples | None = None
    reference: ReferenceUsed | None = None


@dataclass(frozen=True)
class Engine:
    """What runs share. `clock` gives seconds since the epoch."""

    paths: Paths
    settings: DriftSettings
    clock: Callable[[], float] = time.time
    incident_settings: IncidentSettings = field(default_factory=IncidentSettings)

    @property
    def registry(self) -> Registry:
        """The registry that the runs' models are from."""
        return Registry(self.paths.models, self.paths.reference)

    @property
    def store(self) -> ResultStore:
        """Where the runs' results go."""
        return ResultStore(self.paths.reports)

    def run(self, card: ModelCard, window: Window, progress: Progress | None = None) -> Committed:
        """Compare `window` with the reference of `card` and commit the result. The caller holds the run's lock.

        Raises:
            OSError: the result could not be written.
        """
        if self.settings.models is not None:
            return self._for_model(card).run(card, window, progress)
        progress = progress or Silent()
        started, began = self.clock(), time.monotonic()
        try:
            looked = self._look(card, window, Logs(self.paths), progress, self.trend(card, window))
        except DriftError as error:
            looked = _Looked(no_analysis(card, window, self.settings, str(error)))
        except Exception as error:  # noqa: BLE001 - the edge of a run: the result says that it failed
            _LOG.exception("the run of %s %s failed", card.name, card.version)
            reason = f"internal error: {type(error).__name__}: {error}"
            looked = _Looked(no_analysis(card, window, self.settings, reason))
        progress.stage("report")
        keeper = IncidentKeeper(self.store, self.incident_settings)
        before = keeper.current(card.name, card.version, started)
        result = self._result(card, window, looked, started, _recent_cause(before, window))
        result = dataclasses.replace(result, supersedes=self.store.superseded(card.name, card.version, window))
        incidents = keeper.after(before, result)
        html = report_page(result, card, looked.samples, incidents)
        finished = self.clock()
        duration = round(time.monotonic() - began, 3)
        result = dataclasses.replace(result, finished_at=utc_text(finished), duration_seconds=duration)
        folder = self.store.commit(result, html.encode(), finished)
        # After the commit: what died in between is caught up with by the next run.
        keeper.write(incidents)
        return Committed(result, folder, incidents)

    def _for_model(self, card: ModelCard) -> Engine:
        """With the settings of that model. A column that it does not have is a typing error, and none to stop for."""
        subjects = (*input_subjects(card, self.settings), *answer_subjects(card, self.settings))
        known = [subject.name for subject in subjects]
        for name in self.settings.unknown_columns(card.name, known):
            _LOG.warning("settings: [drift.models.%s.columns.%s]: the model has no such column", card.name, name)
        return dataclasses.replace(self, settings=self.settings.for_model(card.name))

    def repeat(self, card: ModelCard, window: Window, source: Source, known: Known) -> Result:
        """The result of a run over `source` that knew that, without a page; nothing is written. Raises DriftError."""
        looked = self._look(card, window, source, Silent(), known.trend)
        return self._result(card, window, looked, self.clock(), known.recent)

    def trend(self, card: ModelCard, window: Window) -> Trend | None:
        """The trend of quality over the kept days up to the window's end."""
        # As far back as labels are waited for, and the trend's own two weeks at least.
        patience = max(self.settings.performance_days, 2.0 * WINDOW_DAYS) * DAY_SECONDS
        since = utc_text(max(0.0, parse_utc(window.end) - patience))
        last = DayStore(self.paths.reports).newest(card.name, card.version, window.end, self.settings.history_days)
        return trend_of(
            trend_metric(card),
            qualities(last),
            rows_min=self.settings.labelled_rows_min,
            floor_percent=self.settings.trend_floor_percent,
            since=date.fromisoformat(since[:10]),
        )

    def _look(
        self, card: ModelCard, window: Window, source: Source, progress: Progress, trend: Trend | None
    ) -> _Looked:
        progress.stage("reading the log")
        chosen = choose_reference(self.registry, card, window, self.settings, source)
        reference = chosen.reference
        live = source.live(
            card,
            span_start=self._span_start(window),
            window_start=window.start,
            end=window.end,
            wanted=self._wanted(window),
            progress=progress.files,
        )
        refused = source.refusals(card, start=window.start, end=window.end)
        progress.stage("statistics")
        findings = analyse(card, window, self.settings, reference, live, refused, trend)
        samples = _samples(findings, reference, live, self.settings) if findings.outcome == "ok" else None
        return _Looked(findings, samples, chosen.used)

    @staticmethod
    def _span_start(window: Window) -> str:
        """Where reading begins: with the longest time scale; an ad hoc window is compared for itself alone."""
        if window.kind == "adhoc":
            return window.start
        return min(window.start, utc_text(max(0.0, parse_utc(window.end) - max(LONGER.values()))))

    def _wanted(self, window: Window) -> Wanted:
        """Labels come late, so quality looks further back."""
        since = utc_text(max(0.0, parse_utc(window.end) - self.settings.performance_days * DAY_SECONDS))
        return Wanted(self.settings.performance_rows, since)

    def _result(
        self, card: ModelCard, window: Window, looked: _Looked, started: float, recent: RetrainingCause | None
    ) -> Result:
        findings = looked.findings
        parts = {spec.name: getattr(findings, spec.name) for spec in dataclasses.fields(findings)}
        del parts["quality_rows"], parts["drawn_from"]
        result = Result(
            run_id=self.store.new_run_id(card.name, card.version, window, started),
            model_name=card.name,
            model_version=card.version,
            window=window,
            reference_sha256=card.reference.sha256,
            config=dataclasses.asdict(self.settings),
            libraries=library_versions(),
            seed=self.settings.seed,
            started_at=utc_text(started),
            finished_at=utc_text(started),
            duration_seconds=0.0,
            reference=looked.reference,
            alerts=(),
            retraining=Retraining("unknown", ()),
            **parts,
        )
        alerts = raise_alerts(
            result.data_drift, result.prediction_drift, result.performance, result.concept_drift, result.estimated
        )
        result = dataclasses.replace(result, alerts=alerts)
        return dataclasses.replace(result, retraining=decide_retraining(result, recent))


def _recent_cause(incidents: Incidents | None, window: Window) -> RetrainingCause | None:
    """What earlier runs saw has a say in a scheduled one; whoever names a time asks about that time."""
    return incidents.retraining if incidents is not None and window.kind == "scheduled" else None


def _samples(findings: Findings, reference: Reference, live: LiveRows, settings: DriftSettings) -> Samples:
    """What the plots are drawn from. Quality is drawn only where it was judged."""

    def some(table: Table) -> Table:
        return sample(table, settings.plot_sample_rows, settings.seed)

    before, now = None, None
    if findings.performance.outcome == "ok":
        now = some(live.quality.take(findings.quality_rows))
        known = labelled_rows(reference.baseline)
        before = some(reference.baseline.take(known)) if len(known) else None
    return Samples(some(reference.table), some(live.table.after(findings.drawn_from)), before, now)


def library_versions() -> dict[str, str]:
    """The versions that a result records: whatever computed its figures."""
    found = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **found}
