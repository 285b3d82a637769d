"""Incidents: what the alerts of run after run come to. A pure fold over results, in their order.

An alert of grade warning or above opens an incident once it was seen in N of the newest M windows that could tell, a
critical one at once. The incident lasts, becomes as grave as the gravest of the newest K windows that could tell, and
resolves when none of those K showed it. Windows without a verdict count for nothing: neither as a sight nor as calm.

Which results count: those of scheduled runs, each window once, later than all windows before. So an ad hoc run, the
same run twice, a run that comes late, and one that scores an older window again (`supersedes`) change nothing: what
labels that came later say of quality is in the next scheduled run, which looks at the newest labelled rows.

One incident, not twenty: signs of one matter are one incident (drift_engine/observations.py); columns, or answers,
are one of their own only while fewer than `group_subjects` of them drift.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drift_engine.decision import cause_of, is_recent
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.observations import MATTERS, Observation, Topic, grade, gravest, observe
from drift_engine.results.incidents import Event, Incident, Incidents, Sighting
from drift_engine.results.schema import Alert, Result, RetrainingCause
from gateway.clock import parse_utc, utc_text

#: How long a resolved incident is kept.
KEPT_SECONDS = 90 * 86400.0
#: Turns that are kept of an incident, beside its opening.
HISTORY_MAX = 100
_DEFAULTS = IncidentSettings()
_SUBJECTS_TOLD_MAX = 5
#: How several subjects of a matter are called.
_SUBJECTS = {"data_drift": "columns", "prediction_drift": "answers"}


def fold(before: Incidents | None, result: Result, rules: IncidentSettings = _DEFAULTS) -> Incidents:
    """The incidents after one more result. Those before are left as they are."""
    state = before or Incidents(result.model_name, result.model_version, "", "", ())
    state = dataclasses.replace(state, last_run_id=max(state.last_run_id, result.run_id))
    if not counts(state, result):
        return state
    observed, run = observe(result), _Run(result.window.end, result.run_id, rules)
    sightings = run.sighted(state, observed)
    due = [item for item in sightings if run.is_due(item, observed)]
    wider = [run.joined(incident, due, observed) for incident in state.open]
    lasting = [run.continued(incident, observed, wider) for incident in wider]
    opened = run.opened(due, observed, lasting)
    over = [item for item in state.incidents if item.state == "resolved"]
    return dataclasses.replace(
        state,
        last_window_end=run.end,
        incidents=_newest_first([*opened, *lasting, *over], run.end),
        sightings=tuple(item for item in sightings if item not in due),
        opened_total=state.opened_total + len(opened),
        retraining=_newest_cause(state.retraining, result),
    )


def counts(state: Incidents | None, result: Result) -> bool:
    """Whether a result says something new: a scheduled one whose window ends after all those before."""
    return result.window.kind == "scheduled" and (state is None or result.window.end > state.last_window_end)


@dataclass(frozen=True)
class _Run:
    """One window's end and run, by whose observation incidents turn."""

    end: str
    run_id: str
    rules: IncidentSettings

    def sighted(self, state: Incidents, observed: Observation) -> tuple[Sighting, ...]:
        """What was seen lately and is no part of an incident, as of this window."""
        covered = {topic for incident in state.open for topic in _topics(incident)}
        # That so many columns drift is no news where those that do are incidents already.
        covered |= {Topic(item.alert, "") for item in state.open if _signs(item, observed, state.open)}
        known = {Topic(item.alert, item.subject): item for item in state.sightings}
        newest = max(self.rules.open_of, self.rules.open_windows)
        found = []
        for topic in sorted((known.keys() | observed.seen.keys()) - covered):
            item = known.get(topic) or Sighting(topic.matter, topic.subject, (), self.end, self.run_id)
            if topic in observed.told:
                item = dataclasses.replace(item, seen=(*item.seen, topic in observed.seen)[-newest:])
            if any(item.seen):
                found.append(item)
        return tuple(found)

    def is_due(self, item: Sighting, observed: Observation) -> bool:
        """Whether what was seen is an incident now: it opens, if so, in a window that shows it."""
        alert = observed.seen.get(Topic(item.alert, item.subject))
        if alert is None:
            return False
        at_once = self.rules.critical_at_once and alert.severity == "critical"
        return at_once or sum(item.seen) >= self.rules.open_windows

    def joined(self, incident: Incident, due: Sequence[Sighting], observed: Observation) -> Incident:
        """An open incident with the columns, or answers, that would be one now; one of a single subject stays so."""
        items = [item for item in due if item.alert == incident.alert and item.subject]
        if incident.subject or not items:
            return incident
        subjects = tuple(sorted({*incident.subjects, *(item.subject for item in items)}))
        cause = _cause(incident.alert, _seen(items, observed))
        event = Event(self.end, "joined", incident.severity, cause, self.run_id)
        return _turned(dataclasses.replace(incident, subjects=subjects), event)

    def continued(self, incident: Incident, observed: Observation, among: Sequence[Incident]) -> Incident:
        """An open incident after this window: graver, milder, resolved, or just seen once more."""
        signs = _signs(incident, observed, among)
        if not signs and not any(topic in observed.told for topic in _topics(incident)):
            return incident
        now = gravest(alert.severity for alert in signs.values())
        changed = dataclasses.replace(incident, recent=(*incident.recent, now)[-self.rules.resolve_windows :])
        if signs:
            changed = dataclasses.replace(
                changed,
                cause=_cause(incident.alert, signs),
                last_seen_at=self.end,
                last_run_id=self.run_id,
                windows=incident.windows + 1,
            )
        return self._graded(changed)

    def _graded(self, incident: Incident) -> Incident:
        severity = gravest(incident.recent)
        if severity == incident.severity:
            return incident
        if severity == "none":
            quiet = f"not seen in {len(incident.recent)} windows that could tell"
            event = Event(self.end, "resolved", incident.severity, quiet, self.run_id)
            return _turned(dataclasses.replace(incident, state="resolved", resolved_at=self.end), event)
        graver = grade(severity) > grade(incident.severity)
        event = Event(self.end, "escalated" if graver else "eased", severity, incident.cause, self.run_id)
        worst = gravest((incident.worst, severity))
        return _turned(dataclasses.replace(incident, severity=severity, worst=worst), event)

    def opened(
        self, due: Sequence[Sighting], observed: Observation, lasting: Sequence[Incident]
    ) -> tuple[Incident, ...]:
        """The incidents that begin: of what is due and no part of one that lasts."""
        found: list[Incident] = []
        for matter in dict.fromkeys(MATTERS.values()):
            own = [item for item in lasting if item.alert == matter and item.state == "open"]
            items = [item for item in due if item.alert == matter]
            # The columns that drift say more than that some do.
            items = [item for item in items if item.subject] or items
            if not items or not all(item.subject for item in own):
                continue
            if len(own) + len(items) < self.rules.group_subjects:
                found += [self._open([item], observed, number) for number, item in enumerate(items, 1)]
            else:
                found.append(self._open(items, observed, 1, grouped=True))
        return tuple(found)

    def _open(
        self, items: Sequence[Sighting], observed: Observation, number: int, *, grouped: bool = False
    ) -> Incident:
        matter = items[0].alert
        signs = _seen(items, observed)
        whole = Topic(matter, "")
        if grouped and whole in observed.seen:
            signs |= {whole: observed.seen[whole]}
        severity = gravest(alert.severity for alert in signs.values())
        cause = _cause(matter, signs)
        first = min(items, key=lambda item: item.first_seen_at)
        moment = f"{self.end[:19].replace('-', '').replace(':', '')}Z"
        return Incident(
            id=f"{matter}-{moment}" + (f"-{number}" if number > 1 else ""),
            alert=matter,
            subject="" if grouped else items[0].subject,
            state="open",
            severity=severity,
            worst=severity,
            cause=cause,
            first_seen_at=first.first_seen_at,
            last_seen_at=self.end,
            opened_at=self.end,
            resolved_at=None,
            first_run_id=first.first_run_id,
            last_run_id=self.run_id,
            windows=max(sum(item.seen) for item in items),
            history=(Event(self.end, "opened", severity, cause, self.run_id),),
            subjects=tuple(sorted(item.subject for item in items if item.subject)),
            recent=(severity,),
        )


def _topics(incident: Incident) -> frozenset[Topic]:
    """What an incident is about. One without a single subject also covers its matter as a whole."""
    subjects = (incident.subject,) if incident.subject else (*incident.subjects, "")
    return frozenset(Topic(incident.alert, subject) for subject in subjects)


def _signs(incident: Incident, observed: Observation, among: Sequence[Incident]) -> dict[Topic, Alert]:
    """The alerts by which a window shows an incident.

    Alerts on the whole matter ("so many columns drifted") are a sign of the one without a single subject, unless
    another incident of the matter has a column that explains them.
    """
    own = _topics(incident)
    signs = {topic: alert for topic, alert in observed.seen.items() if topic in own}
    whole = Topic(incident.alert, "")
    beside = [item for item in among if item.alert == incident.alert and item.id != incident.id]
    others = {topic for item in beside for topic in _topics(item)} - {whole}
    if whole in signs and len(signs) == 1 and any(topic in observed.seen for topic in others):
        return {}
    return _ordered(signs)


def _seen(items: Iterable[Sighting], observed: Observation) -> dict[Topic, Alert]:
    topics = [Topic(item.alert, item.subject) for item in items]
    return _ordered({topic: observed.seen[topic] for topic in topics})


def _ordered(signs: dict[Topic, Alert]) -> dict[Topic, Alert]:
    """Gravest first, by name; what is said of the matter as a whole last, for it says less."""
    return dict(sorted(signs.items(), key=lambda sign: (not sign[0].subject, -grade(sign[1].severity), sign[0])))


def _cause(matter: str, signs: dict[Topic, Alert]) -> str:
    """The gravest sign's cause; of several columns or answers also which they are."""
    causes = [alert.cause for alert in signs.values()]
    subjects = [topic.subject for topic in signs if topic.subject]
    if len(subjects) < 2:
        return causes[0]
    more = f" and {len(subjects) - _SUBJECTS_TOLD_MAX} more" if len(subjects) > _SUBJECTS_TOLD_MAX else ""
    named = ", ".join(subjects[:_SUBJECTS_TOLD_MAX])
    return f"{len(subjects)} {_SUBJECTS.get(matter, 'figures')} ({named}{more}); {causes[0]}"


def _turned(incident: Incident, event: Event) -> Incident:
    opening, *later = (*incident.history, event)
    return dataclasses.replace(incident, history=(opening, *later[-HISTORY_MAX:]))


def _newest_first(incidents: Iterable[Incident], end: str) -> tuple[Incident, ...]:
    """By opening; without those that resolved 90 days before the newest window."""
    limit = utc_text(max(0.0, parse_utc(end) - KEPT_SECONDS))
    kept = [item for item in incidents if item.resolved_at is None or item.resolved_at >= limit]
    return tuple(sorted(kept, key=lambda item: (item.opened_at, item.id), reverse=True))


def _newest_cause(before: RetrainingCause | None, result: Result) -> RetrainingCause | None:
    found = cause_of(result)
    if found is not None:
        return found
    return before if before is not None and is_recent(before, result.window.end) else None
