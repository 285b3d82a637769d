"""Keeps `incidents.json` of a model version up to date with its committed results, whatever came in between.

A run that died between its commit and the writing of this file left it one run behind; a file that is damaged, or
that was written while a clock was ahead, is made anew from the results of the last 90 days. It never stops a run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from drift_engine.incidents.fold import KEPT_SECONDS, fold
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.results.incidents import IncidentError, Incidents, IncidentStore
from drift_engine.results.schema import Result
from drift_engine.results.store import CLOCK_TOLERANCE_SECONDS, ResultError, ResultStore, run_time
from gateway.clock import utc_text
from gateway.files import fsync_dir

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class IncidentKeeper:
    """The incidents of the runs in one `reports` folder. The caller holds the lock of the model version's runs."""

    results: ResultStore
    rules: IncidentSettings

    @property
    def store(self) -> IncidentStore:
        """Where they are kept."""
        return IncidentStore(self.results.reports)

    def current(self, name: str, version: str, now: float) -> Incidents | None:
        """The incidents as of the newest committed run; None, with a word in the log, where the folder cannot be used.

        Args:
            now: seconds since the epoch. What speaks of a time after it was written by a clock that was ahead.
        """
        try:
            kept = self._usable(name, version, now)
            return self._caught_up(kept or Incidents(name, version, "", "", ()), now)
        except OSError as error:
            _LOG.warning("the incidents of %s %s cannot be read: %s", name, version, error)
            return None

    def after(self, before: Incidents | None, result: Result) -> Incidents | None:
        """The incidents with one more result; None stays None."""
        return None if before is None else fold(before, result, self.rules)

    def write(self, incidents: Incidents | None) -> None:
        """Replace the file. Where that fails the log says so, and the next run catches up."""
        if incidents is None:
            return
        try:
            self.store.write(incidents)
        except OSError as error:
            _LOG.warning("the incidents of %s %s cannot be written: %s", *_named(incidents), error)

    def _usable(self, name: str, version: str, now: float) -> Incidents | None:
        """The file as it stands; None where there is none, or none to go by. Raises OSError."""
        path = self.store.path(name, version)
        try:
            kept = self.store.read(name, version)
        except IncidentError as error:
            aside = path.with_name(f"{path.name}.damaged-{run_time(now)}")
            path.rename(aside)
            fsync_dir(path.parent)
            _LOG.warning("%s; it is kept as %s and made anew from the results", error, aside.name)
            return None
        limit = now + CLOCK_TOLERANCE_SECONDS
        if kept is not None and (kept.last_window_end > utc_text(limit) or kept.last_run_id > run_time(limit)):
            _LOG.warning("%s speaks of the future: a clock was ahead; it is made anew from the results", path)
            return None
        return kept

    def _caught_up(self, state: Incidents, now: float) -> Incidents:
        """With every result since, those of the future left out. Raises OSError."""
        limit = utc_text(now + CLOCK_TOLERANCE_SECONDS)
        since = max(state.last_run_id, run_time(max(0.0, now - KEPT_SECONDS)))
        for run_id in self.results.run_ids(*_named(state), since):
            try:
                result = self.results.result(*_named(state), run_id)
            except ResultError as error:
                _LOG.warning("left out of the incidents: %s", error)
                continue
            if result.run_id == run_id and result.window.end <= limit:
                state = fold(state, result, self.rules)
        return state


def _named(incidents: Incidents) -> tuple[str, str]:
    return incidents.model_name, incidents.model_version
