"""The kept history, the incidents and what was done about them, as last read: each file is parsed once per state.

A file that cannot be read is reported and its last good answer given. One that is gone is forgotten: days expire,
and incidents are a cache that may be made again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Literal, TypeVar

from drift_engine.results.actions import Action, ActionLog, ActionLogError
from drift_engine.results.days import DayError, DayRecord, DayStore
from drift_engine.results.incidents import IncidentError, Incidents, IncidentStore
from exporter.marks import Mark, mark
from gateway.clock import parse_utc
from gateway.registry import RegistryError
from gateway.registry.card import NAME_PATTERN, VERSION_PATTERN

T = TypeVar("T")
KeptSource = Literal["history", "incidents", "actions"]
#: A latency of more buckets than this is no latency: they end above 10**15 ms.
_BUCKETS_MAX = 2000
#: Called with the source and the reason whenever a file cannot be read.
Failed = Callable[[KeptSource, str], None]


class Kept:
    """What lies beside the runs under one `reports` folder. Not safe to share by threads."""

    def __init__(self, reports: Path, failed: Failed) -> None:
        self._failed = failed
        self._day_store = DayStore(reports)
        self._incident_store = IncidentStore(reports)
        self._action_log = ActionLog(reports)
        self._days: dict[Path, tuple[Mark, DayRecord]] = {}
        self._incidents: dict[Path, tuple[Mark, Incidents]] = {}
        self._actions: dict[Path, tuple[Mark, tuple[Action, ...]]] = {}

    def models(self) -> set[tuple[str, str]]:
        """(name, version) of those that have a folder of days."""
        found = {(path.parent.parent.name, path.parent.name) for path in self._day_store.reports.glob("*/*/days")}
        return {pair for pair in found if NAME_PATTERN.fullmatch(pair[0]) and VERSION_PATTERN.fullmatch(pair[1])}

    def days(self, name: str, version: str, since: str, until: str) -> tuple[DayRecord, ...]:
        """The records of the UTC days since <= day <= until, oldest first."""
        found = (self._day(name, version, day) for day in self._listed(name, version) if since <= day <= until)
        return tuple(record for record in found if record is not None)

    def newest_day(self, name: str, version: str) -> DayRecord | None:
        """The newest record that can be read; None where none is kept."""
        listed = reversed(self._listed(name, version))
        return next((record for day in listed if (record := self._day(name, version, day)) is not None), None)

    def incidents(self, name: str, version: str) -> Incidents | None:
        """None before the first run that took stock."""
        try:
            path = self._incident_store.path(name, version)
        except RegistryError:
            return None
        return self._read(
            "incidents",
            path,
            self._incidents,
            lambda: self._incident_store.read(name, version),
            lambda found: _check_incidents(found, name, version),
        )

    def actions(self, name: str, version: str) -> tuple[Action, ...]:
        """What was done when retraining was recommended, oldest first; empty where nothing was."""
        try:
            path = self._action_log.path(name, version)
        except RegistryError:
            return ()
        found = self._read(
            "actions", path, self._actions, lambda: self._action_log.read(name, version), lambda _anybodys: None
        )
        return found or ()

    def _listed(self, name: str, version: str) -> list[str]:
        try:
            folder = self._day_store.folder(name, version)
            listed = self._day_store.days(name, version)
        except (OSError, RegistryError) as error:
            self._failed("history", f"{name} {version}: {error}")
            return []
        # What expired need not be remembered.
        kept = {folder / f"{day}.json" for day in listed}
        for path in [path for path in self._days if path.parent == folder and path not in kept]:
            del self._days[path]
        return listed

    def _day(self, name: str, version: str, day: str) -> DayRecord | None:
        return self._read(
            "history",
            self._day_store.folder(name, version) / f"{day}.json",
            self._days,
            lambda: self._day_store.read(name, version, day),
            lambda found: _check_day(found, name, version, day),
        )

    def _read(
        self,
        source: KeptSource,
        path: Path,
        known: dict[Path, tuple[Mark, T]],
        read: Callable[[], T | None],
        check: Callable[[T], None],
    ) -> T | None:
        """The file's content, parsed only when its state changed. `check` raises ValueError for what it must not be."""
        before = known.get(path)
        try:
            # The state first: a file that is replaced in between is read again the next time.
            state = mark(path)
            if before is not None and before[0] == state:
                return before[1]
            found = read()
            if found is not None:
                check(found)
        except FileNotFoundError:
            found = None
        except (OSError, ValueError, DayError, IncidentError, ActionLogError) as error:
            self._failed(source, f"{path}: {error}")
            return before[1] if before is not None else None
        if found is None:
            known.pop(path, None)
            return None
        known[path] = (state, found)
        return found


def _check_day(record: DayRecord, name: str, version: str, day: str) -> None:
    """Raises ValueError for a record of something else, or with a moment or bucket that is none."""
    if (record.model_name, record.model_version, record.day) != (name, version, day):
        raise ValueError("is of another model or day")
    date.fromisoformat(day)
    parse_utc(record.scored_at)
    if any(not 0 <= bucket <= _BUCKETS_MAX for bucket in record.latency_counts):
        raise ValueError("has a latency beyond any")


def _check_incidents(found: Incidents, name: str, version: str) -> None:
    """Raises ValueError for those of something else, or with a moment that is none."""
    if (found.model_name, found.model_version) != (name, version):
        raise ValueError("is of another model")
    for incident in found.incidents:
        for moment in (incident.first_seen_at, incident.last_seen_at, incident.resolved_at):
            if moment is not None:
                parse_utc(moment)
