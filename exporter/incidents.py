"""Incidents in words, and in the order in which a person should look at them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from drift_engine.results.incidents import Incident
from drift_engine.results.schema import Severity
from exporter.sources import ModelState

_GRAVEST_FIRST: tuple[Severity, ...] = tuple(reversed(get_args(Severity)))


@dataclass(frozen=True)
class Trouble:
    """An open incident of a model."""

    model: ModelState
    incident: Incident


def incident_text(incident: Incident) -> str:
    """What an incident is of, e.g. "data drift: amount"."""
    words = incident.alert.replace("_", " ")
    if len(incident.subjects) > 1:
        return f"{words}: {len(incident.subjects)} {'answers' if incident.alert == 'prediction_drift' else 'columns'}"
    return f"{words}: {incident.subject}" if incident.subject else words


def by_urgency(incidents: Sequence[Incident]) -> list[Incident]:
    """The open ones first, the gravest of them on top; then the newest first."""
    newest = sorted(incidents, key=lambda incident: (incident.last_seen_at, incident.id), reverse=True)
    return sorted(newest, key=lambda incident: _grade(incident) if incident.state == "open" else len(_GRAVEST_FIRST))


def troubles(models: Iterable[ModelState]) -> list[Trouble]:
    """The open incidents of several models, the gravest first, then by model."""
    found = [
        Trouble(model, incident)
        for model in models
        if model.incidents is not None
        for incident in by_urgency(model.incidents.open)
    ]
    return sorted(found, key=lambda trouble: _grade(trouble.incident))


def _grade(incident: Incident) -> int:
    return _GRAVEST_FIRST.index(incident.severity)
