"""Alerts of run after run become incidents: one per matter, opened late enough, closed late enough, whatever comes."""

from __future__ import annotations

import dataclasses
import random

import pytest

from drift_engine.incidents.fold import HISTORY_MAX, fold
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.results.incidents import Incidents
from drift_engine.results.schema import Alert, Severity, Window
from tests.incidents import COLUMNS, answer, blind, column, columns, folded, quality, run, sequence
from tests.results import failed

RULES = IncidentSettings()
WARNED = [column()]


def only(state: Incidents) -> dict[str, object]:
    """The one incident there is, as a dictionary."""
    (incident,) = state.incidents
    return dataclasses.asdict(incident)


def test_an_alert_opens_an_incident_in_its_third_window_of_five() -> None:
    """And not before; what was seen once and not again is forgotten."""
    assert folded(sequence([WARNED, WARNED])).incidents == ()
    assert len(folded(sequence([WARNED, WARNED, WARNED])).open) == 1
    assert len(folded(sequence([WARNED, [], WARNED, [], WARNED])).open) == 1
    assert folded(sequence([WARNED, [], [], WARNED, [], [], WARNED])).incidents == ()
    assert folded(sequence([WARNED, [], [], [], [], []])).sightings == ()


def test_it_says_when_it_was_first_and_last_seen_and_by_which_runs() -> None:
    """In the cause of the newest run that showed it, with its numbers, and its opening as a turn."""
    runs = sequence([WARNED, [], WARNED, [column(note=" (later)")], []])
    incident = only(folded(runs))
    assert incident["first_seen_at"] == runs[0].window.end
    assert incident["opened_at"] == incident["last_seen_at"] == runs[3].window.end
    assert (incident["first_run_id"], incident["last_run_id"]) == (runs[0].run_id, runs[3].run_id)
    assert incident["cause"] == "c00: median 1 -> 2 (later)"
    assert incident["windows"] == 3
    assert incident["subject"] == "c00"
    assert [event["what"] for event in incident["history"]] == ["opened"]  # type: ignore[attr-defined]


def test_a_critical_alert_opens_at_once_unless_told_otherwise() -> None:
    """A day of grave harm is not waited for."""
    runs = sequence([[quality("critical")]])
    assert [item.severity for item in folded(runs).open] == ["critical"]
    assert folded(runs, IncidentSettings(critical_at_once=False)).open == ()


def test_it_resolves_after_twelve_windows_that_could_tell_and_did_not_show_it() -> None:
    """A calm of eleven is none; what comes back later is another incident."""
    opening = [WARNED] * 3
    assert len(folded(sequence([*opening, *[[]] * 11])).open) == 1
    runs = sequence([*opening, *[[]] * 12])
    over = folded(runs)
    assert over.open == ()
    assert over.incidents[0].resolved_at == runs[-1].window.end
    assert over.incidents[0].last_seen_at == runs[2].window.end
    assert [event.what for event in over.incidents[0].history] == ["opened", "resolved"]
    back = folded(sequence([*opening, *[[]] * 12, *opening]))
    assert [item.state for item in back.incidents] == ["open", "resolved"]
    assert back.incidents[0].id != back.incidents[1].id
    assert back.opened_total == 2


def test_windows_that_could_not_tell_count_for_nothing() -> None:
    """Neither too few rows nor a failed run opens, delays or resolves anything."""
    silent = [blind(3), failed(run_id=run(4).run_id, window=run(4).window)]
    seen = [*sequence([WARNED, WARNED]), *silent, run(5, *WARNED)]
    assert len(folded(seen).open) == 1
    opened = [*sequence([WARNED] * 3), *[blind(number) for number in range(3, 60)]]
    assert len(folded(opened).open) == 1
    assert folded(opened).last_window_end == opened[-1].window.end


def test_a_column_that_could_not_be_judged_does_not_resolve_its_own_incident() -> None:
    """However well the others are."""
    unknown = run(0).data_drift
    unknown = dataclasses.replace(
        unknown, columns=(dataclasses.replace(unknown.columns[0], detected=None), *unknown.columns[1:])
    )
    runs = [*sequence([WARNED] * 3), *[run(number, data_drift=unknown) for number in range(3, 40)]]
    assert len(folded(runs).open) == 1


def test_notices_are_no_incidents() -> None:
    """However often they come."""
    assert folded(sequence([[column(severity="notice")]] * 20)).incidents == ()


def test_it_is_as_grave_as_the_gravest_of_the_newest_windows() -> None:
    """Graver at once; milder only when twelve windows did not show it so grave: it does not flicker."""
    flicker: list[Severity] = ["warning", "high"] * 10
    calm: list[Severity] = ["warning"] * 12
    state = folded(sequence([[column(severity=grade)] for grade in [*flicker, *calm]]))
    turns = [(event.what, event.severity) for event in state.open[0].history]
    assert turns == [("opened", "warning"), ("escalated", "high"), ("eased", "warning")]
    assert (state.open[0].severity, state.open[0].worst) == ("warning", "high")


def test_changing_numbers_make_no_new_incident() -> None:
    """Name and subject say what an alert is about; its cause may say something else every time."""
    state = folded(sequence([[column(note=f" {number}")] for number in range(30)]))
    assert len(state.incidents) == 1
    assert state.incidents[0].windows == 30


def test_twenty_columns_that_drift_together_are_one_incident() -> None:
    """It names the gravest of them and how many there are; two columns are one each."""
    state = folded(sequence([columns(20)] * 5))
    incident = only(state)
    assert (incident["alert"], incident["subject"]) == ("data_drift", "")
    assert incident["subjects"] == COLUMNS[:20]
    assert str(incident["cause"]).startswith("20 columns (c00, c01, c02, c03, c04 and 15 more); ")
    pair = folded(sequence([columns(2)] * 5))
    assert [item.subject for item in pair.open] == ["c01", "c00"]
    assert len({item.id for item in pair.open}) == 2


def test_columns_that_follow_join_the_incident_of_the_others() -> None:
    """And those that drifted by themselves before keep theirs: an old trouble does not hide a new one."""
    waves = [columns(1)] * 5 + [columns(8)] * 5 + [columns(20)] * 5
    state = folded(sequence(waves))
    assert [(item.subject, len(item.subjects)) for item in state.open] == [("", 19), ("c00", 1)]
    assert [event.what for event in state.open[0].history] == ["opened", "joined"]


def test_that_so_many_columns_drift_is_no_second_incident_beside_the_column_itself() -> None:
    """But it is one where no column by itself is grave enough."""
    share = Alert("drifted_columns", "high", "6 of 24 columns drifted (25 %)")
    beside = folded(sequence([[column(), share]] * 6))
    assert [(item.subject, item.subjects) for item in beside.open] == [("c00", ("c00",))]
    alone = folded(sequence([[share]] * 6))
    assert [(item.subject, item.subjects) for item in alone.open] == [("", ())]
    assert alone.open[0].cause == share.cause


def test_signs_of_one_matter_are_one_incident() -> None:
    """Concept drift, a figure under its line and a declining trend are all the quality; answers are another matter."""
    low = Alert("performance", "high", "accuracy is 0.701, below 0.8", "accuracy")
    trend = Alert("performance_trend", "warning", "accuracy declines for 4 days")
    worse = [quality("critical"), low, answer(), answer("confidence")]
    state = folded(sequence([[trend], [trend], [trend], [trend, low], worse]))
    assert [item.alert for item in state.open] == ["performance"]
    assert [event.what for event in state.open[0].history] == ["opened", "escalated", "escalated"]
    assert "20.1 %" in state.open[0].cause


def test_matters_that_come_together_are_followed_each_by_itself() -> None:
    """Inputs, answers and quality: each is seen in every window, and the gravest is named first."""
    state = folded(sequence([[*columns(6), answer(), quality("critical")]] * 30))
    assert [(item.alert, item.windows) for item in state.open] == [
        ("performance", 30),
        ("data_drift", 30),
        ("prediction_drift", 30),
    ]
    later = folded(sequence([[*columns(6), answer(), quality("critical")]] * 5 + [columns(6)] * 12))
    assert [item.alert for item in later.open] == ["data_drift"]


def test_answers_that_move_together_are_one_incident() -> None:
    """A model of many classes has many of them."""
    moved = [answer(name) for name in ("prediction", "confidence", "probability of a", "probability of b")]
    state = folded(sequence([moved] * 3))
    assert [(item.alert, len(item.subjects)) for item in state.open] == [("prediction_drift", 4)]


def test_the_same_run_twice_and_runs_out_of_order_change_nothing() -> None:
    """Each window counts once, and later ones have spoken already."""
    runs = sequence([WARNED, [], WARNED, [], []])
    state = folded(runs)
    for again in (*runs, run(-3, *WARNED)):
        assert fold(state, again) == dataclasses.replace(state, last_run_id=max(state.last_run_id, again.run_id))


def test_a_run_that_scores_an_older_window_again_changes_nothing() -> None:
    """What labels that came later say is in the next scheduled run. That it was looked at is kept."""
    runs = sequence([WARNED, []])
    again = dataclasses.replace(run(0, quality("critical")), run_id=run(7).run_id, supersedes=runs[0].run_id)
    state = fold(folded(runs), again)
    assert state.open == ()
    assert state.last_run_id == again.run_id
    assert state.last_window_end == runs[1].window.end


def test_ad_hoc_runs_do_not_count() -> None:
    """Whoever asks ten times in a row does not make an incident."""
    asked = [
        dataclasses.replace(item, window=Window(item.window.start, item.window.end, "adhoc"))
        for item in sequence([[quality("critical")]] * 10)
    ]
    assert folded(asked).incidents == ()
    assert folded(asked).last_window_end == ""


def test_resolved_incidents_are_kept_for_ninety_days_of_windows() -> None:
    """By the windows' time: no clock has a say."""
    state = folded(sequence([*[WARNED] * 3, *[[]] * 12]))
    assert len(fold(state, run(90 * 288)).incidents) == 1
    assert fold(state, run(90 * 288 + 20)).incidents == ()


def test_history_is_bounded() -> None:
    """An incident may last for months; its opening is always told."""
    rules = IncidentSettings(resolve_windows=1)
    grades: list[Severity] = ["warning", "high"] * 200
    state = folded(sequence([[column(severity=grade)] for grade in grades]), rules)
    (incident,) = state.open
    assert len(incident.history) == HISTORY_MAX + 1
    assert incident.history[0].what == "opened"


def test_the_newest_cause_to_retrain_is_remembered_for_a_day() -> None:
    """So that a run's decision may look at it."""
    state = folded([run(0, quality("critical"))])
    assert state.retraining is not None
    assert (state.retraining.at, state.retraining.run_id) == (run(0).window.end, run(0).run_id)
    assert fold(state, run(287)).retraining == state.retraining
    assert fold(state, run(288)).retraining is None
    newer = fold(state, run(5, quality("critical"))).retraining
    assert newer is not None
    assert newer.run_id == run(5).run_id


@pytest.mark.parametrize("seed", range(20))
def test_however_alerts_come_there_are_few_incidents_and_all_of_them_make_sense(seed: int) -> None:
    """Random alerts over 300 windows; the same runs folded again give the same."""
    draw = random.Random(seed)
    grades: list[Severity] = ["notice", "warning", "high", "critical"]
    runs = []
    for number in range(300):
        found = [column(name, draw.choice(grades)) for name in COLUMNS if draw.random() < 0.2]
        found += [answer(severity=draw.choice(grades))] if draw.random() < 0.3 else []
        found += [quality(draw.choice(grades))] if draw.random() < 0.1 else []
        runs.append(blind(number) if draw.random() < 0.1 else run(number, *found))
    state: Incidents | None = None
    for item in runs:
        state = fold(state, item)
        assert len(state.open) <= 2 * RULES.group_subjects + 2
        for incident in state.incidents:
            assert incident.first_seen_at <= incident.opened_at <= incident.last_seen_at
            assert (incident.resolved_at is None) == (incident.state == "open")
            assert incident.history[0].what == "opened"
        assert len({incident.id for incident in state.incidents}) == len(state.incidents)
    assert state == folded(runs)
