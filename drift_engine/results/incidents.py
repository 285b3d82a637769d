"""Incidents of a model version: what alerts of run after run come to. One incident, not twenty.

```
reports/<name>/<version>/incidents.json    Incidents: the open ones, and those resolved in the last 90 days
```
Made from the results of the runs, in their order, by one rule; so it is a cache that can be made again from them.
Replaced atomically after a run's commit: a crash in between leaves it one run behind, and the next run takes in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec

from drift_engine.results.schema import RetrainingCause, Severity
from gateway.files import make_dirs, write_atomically
from gateway.registry.card import check_name, check_version

FORMAT_VERSION = 1
_GRADES = get_args(Severity)
_UNREADABLE = (OSError, ValueError, RecursionError)


class IncidentError(Exception):
    """The file cannot be read: damaged, or of a newer format."""


@dataclass(frozen=True)
class Event:
    """A turn in an incident's life. `at`: end of the run's window; `severity`: from then on.

    `what`: it opened, became graver or milder, was joined by other columns or answers, or resolved.
    """

    at: str
    what: Literal["opened", "escalated", "eased", "joined", "resolved"]
    severity: Severity
    cause: str
    run_id: str


@dataclass(frozen=True)
class Incident:
    """Something that lasts, or lasted.

    Attributes:
        id: of the model version, e.g. "data_drift-20261120T151139Z": what it is about, and when it opened (-2, -3, ...
            where several did). The same whenever it is made again from the same results.
        alert: what it is about: "data_drift", "prediction_drift", "performance" or "estimated_performance". Several
            alerts of a result are signs of one of these.
        subject: the one column or answer that it is about; "" for several, and for the whole model.
        state: "open", or "resolved".
        severity: the gravest of the newest windows, or last; `worst`: the gravest ever.
        cause: in words with numbers, of the newest run that showed it.
        first_seen_at, last_seen_at: ends of the first and the newest window that showed it (RFC 3339 in UTC).
        opened_at: when it had been seen often enough to be one; `resolved_at` None while it is open.
        first_run_id, last_run_id: whose report shows it.
        windows: how many windows showed it.
        history: its turns, oldest first: the opening and the newest hundred.
        subjects: all columns or answers that it is about, sorted; empty where it is about none in particular.
        recent: how grave it was in the newest windows that could tell, oldest first; "none" where they did not show it.
    """

    id: str
    alert: str
    subject: str
    state: Literal["open", "resolved"]
    severity: Severity
    worst: Severity
    cause: str
    first_seen_at: str
    last_seen_at: str
    opened_at: str
    resolved_at: str | None
    first_run_id: str
    last_run_id: str
    windows: int
    history: tuple[Event, ...]
    subjects: tuple[str, ...] = ()
    recent: tuple[Severity, ...] = ()


@dataclass(frozen=True)
class Sighting:
    """In which of the newest windows something was seen that is no incident (yet, or any more): oldest first.

    Windows that could not tell (no verdict) are no part of `seen`.
    """

    alert: str
    subject: str
    seen: tuple[bool, ...]
    first_seen_at: str
    first_run_id: str


@dataclass(frozen=True)
class Incidents:
    """The incidents of one model version as of run `last_run_id`, newest first.

    Attributes:
        last_run_id: the newest run that was looked at, whether or not it counted.
        last_window_end: of the newest run that counted; earlier windows do not count any more. "" before the first.
        opened_total: how many ever opened, since the file was last made anew.
        retraining: the newest cause to retrain of the last 24 hours, None without one.
    """

    model_name: str
    model_version: str
    last_run_id: str
    last_window_end: str
    incidents: tuple[Incident, ...]
    sightings: tuple[Sighting, ...] = ()
    opened_total: int = 0
    retraining: RetrainingCause | None = None
    format: str = "sentinelml.incidents"
    format_version: int = FORMAT_VERSION

    @property
    def open(self) -> tuple[Incident, ...]:
        """Those that last, the gravest first."""
        lasting = [incident for incident in self.incidents if incident.state == "open"]
        return tuple(sorted(lasting, key=lambda incident: -_GRADES.index(incident.severity)))


class IncidentStore:
    """The incidents under one `reports` folder."""

    def __init__(self, reports: Path) -> None:
        self.reports = reports

    def path(self, name: str, version: str) -> Path:
        """The file of one model version. Raises RegistryError for names that could leave `reports`."""
        return self.reports / check_name(name) / check_version(version) / "incidents.json"

    def read(self, name: str, version: str) -> Incidents | None:
        """None before the first run that took stock. Raises IncidentError."""
        path = self.path(name, version)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Incidents)
        except FileNotFoundError:
            return None
        except _UNREADABLE as error:
            raise IncidentError(f"{path}: {error}") from None
        if found.format_version > FORMAT_VERSION:
            raise IncidentError(f"{path}: format version {found.format_version} is newer than this program's")
        return found

    def write(self, incidents: Incidents) -> None:
        """Replace the file. One writer at a time. Raises OSError."""
        path = self.path(incidents.model_name, incidents.model_version)
        make_dirs(path.parent)
        write_atomically(path, msgspec.json.format(msgspec.json.encode(incidents), indent=2) + b"\n")
