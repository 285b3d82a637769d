"""What is to be done when retraining is recommended, and doing it: at most once per incident and kind of action.

An action is due while an incident of quality is open whose newest run recommended retraining in the last 24 hours.
It is recorded before it is done, so that a crash in between never makes it happen again; it may then not have
happened at all, which the record shows. Between two actions of a kind for a model, whatever its version, lies the
cool-down; an incident that lasts longer gets its action then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from drift_engine.actions.run import Ending, post, run_command
from drift_engine.actions.settings import RetrainingSettings
from drift_engine.results.actions import KINDS, Action, ActionLog, Begun, Ended, Kind
from drift_engine.results.incidents import Incident, IncidentStore
from drift_engine.results.schema import Retraining
from drift_engine.results.store import CLOCK_TOLERANCE_SECONDS, ResultStore
from gateway.clock import parse_utc, utc_text

#: An incident that was not seen for so long is no cause to act any more.
RECENT_SECONDS = 24 * 3600.0
#: Variables of the command. They must not begin like settings: a command of ours would refuse to start.
VARIABLE_PREFIX = "SENTINELML_"


@dataclass(frozen=True)
class Due:
    """An action to take: of one kind, for one incident, by the decision of its newest run."""

    kind: Kind
    model_name: str
    model_version: str
    incident: Incident
    retraining: Retraining
    report: Path

    def facts(self) -> dict[str, str]:
        """What a command is told, by the name of its placeholder."""
        return {
            "model_name": self.model_name,
            "model_version": self.model_version,
            "incident_id": self.incident.id,
            "run_id": self.incident.last_run_id,
            "decision": self.retraining.decision,
            "report": str(self.report.resolve()),
        }

    def document(self) -> bytes:
        """What a webhook is told."""
        return msgspec.json.encode(
            {
                "format": "sentinelml.retraining",
                "format_version": 1,
                **self.facts(),
                "report": str(self.report),
                "severity": self.incident.severity,
                "first_seen_at": self.incident.first_seen_at,
                "last_seen_at": self.incident.last_seen_at,
                "cause": self.incident.cause,
                "reasons": self.retraining.reasons,
                "evidence": self.retraining.evidence,
            }
        )


@dataclass(frozen=True)
class Actor:
    """Acts on the results in one `reports` folder. The caller holds the lock of actions."""

    reports: Path
    settings: RetrainingSettings
    clock: Callable[[], float]

    def due(self, name: str, version: str) -> tuple[Due, ...]:
        """What is to be done for a model version now, command first.

        Raises:
            ActionLogError: it cannot be told what was done before.
            IncidentError, ResultError: it cannot be told what is the matter.
        """
        kinds = [kind for kind in KINDS if getattr(self.settings, kind) is not None]
        incidents = IncidentStore(self.reports).read(name, version)
        found = [item for item in (incidents.open if incidents else ()) if self._is_grave(item)]
        if not kinds or not found:
            return ()
        incident = found[0]
        result = ResultStore(self.reports).result(name, version, incident.last_run_id)
        if result.retraining.decision != "recommended":
            return ()
        log = ActionLog(self.reports)
        done = {of: log.read(name, of) for of in {*log.versions(name), version}}
        report = ResultStore(self.reports).folder(name, version) / incident.last_run_id / "report.html"
        return tuple(
            Due(kind, name, version, incident, result.retraining, report)
            for kind in kinds
            if not any((a.begun.kind, a.begun.incident) == (kind, incident.id) for a in done[version])
            and not any(self._cools_down(a, kind) for actions in done.values() for a in actions)
        )

    def act(self, due: Due) -> Ended:
        """Record, do, record. Raises OSError where it cannot be recorded: what cannot be recorded first is not done."""
        log, incident = ActionLog(self.reports), due.incident
        begun = Begun(
            at=utc_text(self.clock()),
            kind=due.kind,
            incident=incident.id,
            target=self._target(due.kind),
            run_id=incident.last_run_id,
            reasons=due.retraining.reasons,
        )
        log.append(due.model_name, due.model_version, begun)
        ending = self._do(due)
        ended = Ended(
            utc_text(self.clock()), due.kind, incident.id, ending.outcome, ending.code, ending.detail, ending.output
        )
        log.append(due.model_name, due.model_version, ended)
        return ended

    def _is_grave(self, incident: Incident) -> bool:
        """Whether it is about quality that labels show, and was seen lately."""
        age = self.clock() - parse_utc(incident.last_seen_at)
        return incident.alert == "performance" and age < RECENT_SECONDS

    def _cools_down(self, action: Action, kind: Kind) -> bool:
        """Whether an action of that kind was begun too short a time ago. One of the future is a wrong clock's."""
        age = self.clock() - parse_utc(action.begun.at)
        recent = -CLOCK_TOLERANCE_SECONDS <= age < self.settings.cooldown_hours * 3600
        return action.begun.kind == kind and recent

    def _target(self, kind: Kind) -> str:
        if kind == "command":
            assert self.settings.command is not None
            return self.settings.command[0]
        assert self.settings.webhook is not None
        parts = urlsplit(self.settings.webhook)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    def _do(self, due: Due) -> Ending:
        if due.kind == "command":
            assert self.settings.command is not None
            facts = due.facts()
            words = [_filled(word, facts) for word in self.settings.command]
            texts = {"reasons": "\n".join(due.retraining.reasons), "evidence": "\n".join(due.retraining.evidence)}
            return run_command(words, _variables({**facts, **texts}), self.settings.timeout_seconds)
        assert self.settings.webhook is not None
        return post(
            self.settings.webhook, due.document(), self.settings.webhook_token_file, self.settings.timeout_seconds
        )


def _filled(word: str, facts: Mapping[str, str]) -> str:
    """A word of the command with its placeholders, such as {model_name}, replaced; other braces stay."""
    for name, value in facts.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _variables(facts: Mapping[str, str]) -> dict[str, str]:
    # A NUL cannot stand in a variable. No text of ours has one; column names of strangers might.
    return {f"{VARIABLE_PREFIX}{name.upper()}": value.replace("\0", "") for name, value in facts.items()}
