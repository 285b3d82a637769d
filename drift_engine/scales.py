"""Time scales: a scheduled run judges its interval, the last hour and the last 24 hours, on one monthly budget.

A large shift shows in one interval, a small one only in many rows. All scales end with the run's window. Each gets a
third of the false alarms that a month may begin; a false alarm begins when a run says drift and the one before did
not. What a third comes to per run depends on how much of a window the next one repeats: see `onset_share`. How often
the rule errs in simulated months, and how soon it sees what: docs/verdicts.md, "Alarms per month".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

from drift_engine.findings import Judged, Subject, any_detected, judge, strongest_first, unjudged
from drift_engine.joint import JointRule, judge_jointly
from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.parsing import moment
from drift_engine.reference import Reference
from drift_engine.results.schema import ColumnFinding, JointDrift, Window
from drift_engine.settings import MONTH_SECONDS, DriftSettings
from drift_engine.subjects import ANSWERS_SHARE, INPUTS_SHARE
from drift_engine.table import Table
from gateway.clock import parse_utc, utc_text

#: The scale of an ad hoc run: its window, and nothing else.
WINDOW = "window"
INTERVAL = "interval"
#: The longer scales of a scheduled run, in seconds.
LONGER = {"hour": 3600.0, "day": 24 * 3600.0}
#: How fast the density of a column's statistic falls at its threshold, per unit of the statistic's square root. It
#: is 5 to 6.5 at the thresholds of 1 to 1,000 columns; more is on the safe side.
_DECAY = 7.0


@dataclass(frozen=True)
class Scale:
    """One time scale of a run: `start` <= timestamp < `end`, and the chance `alpha` of a false alarm in this run."""

    name: str
    start: str
    end: str
    alpha: float


@dataclass(frozen=True)
class JudgedScale:
    """What one scale saw. `first`: position in the live table of its first row."""

    scale: Scale
    rows: int
    first: int
    inputs: tuple[Judged, ...]
    answers: tuple[Judged, ...]


def scales_of(window: Window, settings: DriftSettings) -> tuple[Scale, ...]:
    """The scales of a run, shortest first. A longer one that the window already covers is left out."""
    columns = 1 - settings.joint_share if _asks_jointly(window, settings) else 1.0
    if window.kind == "adhoc":
        return (Scale(WINDOW, window.start, window.end, settings.alpha * columns),)
    part = settings.run_budget(scheduled=True) * columns / (1 + len(LONGER))
    end = parse_utc(window.end)
    found = [Scale(INTERVAL, window.start, window.end, part)]
    for name, seconds in LONGER.items():
        start = utc_text(max(0.0, end - seconds))
        if start < window.start:
            alpha = min(settings.alpha, part / onset_share(seconds / settings.interval_seconds))
            found.append(Scale(name, start, window.end, alpha))
    return tuple(found)


def joint_scale(window: Window, settings: DriftSettings) -> Scale | None:
    """The rows on which a run judges all inputs together, and at which chance of a false alarm; None where it does not.

    Scheduled runs look at 24 hours: by one run of a day, the one whose window holds midnight UTC, or by every run, of
    which neighbouring ones share nearly all rows.
    """
    if not _asks_jointly(window, settings):
        return None
    if window.kind == "adhoc":
        return Scale(WINDOW, window.start, window.end, settings.alpha * settings.joint_share)
    day = LONGER["day"]
    start = min(window.start, utc_text(max(0.0, parse_utc(window.end) - day)))
    if settings.joint_check == "daily":
        if window.start[:10] == window.end[:10]:
            return None
        chance = settings.false_alarms_per_month * day / MONTH_SECONDS
    else:
        chance = settings.run_budget(scheduled=True) / onset_share(day / settings.interval_seconds)
    return Scale("day", start, window.end, min(settings.alpha, chance * settings.joint_share))


def _asks_jointly(window: Window, settings: DriftSettings) -> bool:
    """Whether a part of this run's budget, or of its month's, is the joint check's."""
    return settings.joint_check == "always" or (settings.joint_check == "daily" and window.kind == "scheduled")


def onset_share(runs: float) -> float:
    """Of the runs that err on a scale as long as `runs` intervals, the share that begin an alarm; the rest go on.

    Near its threshold the square root r of a column's statistic moves between two runs like a random walk with steps
    of standard deviation s = sqrt(2 / runs) and drift -decay s^2 / 2, and exceeds the threshold by an exponential
    amount of mean 1 / decay. Integrated, the run before was below with chance 2 Phi(decay s / 2) - 1 (the local
    argument of Siegmund, Sequential Analysis, 1985, for two neighbouring runs). The smaller this share, the more
    runs may err for the same number of alarms.

    >>> round(onset_share(288), 2), round(onset_share(12), 2), round(onset_share(0.5), 2)
    (0.23, 0.85, 1.0)
    """
    if runs <= 1:
        return 1.0
    return float(2 * ndtr(_DECAY * np.sqrt(2 / runs) / 2) - 1)


def judge_scales(
    subjects: tuple[Sequence[Subject], Sequence[Subject]],
    scales: Sequence[Scale],
    reference: Reference,
    live: LiveRows,
    settings: DriftSettings,
) -> tuple[JudgedScale, ...]:
    """Judge inputs and answers (`subjects`) on every scale. `live` holds the rows of all of them, in time order."""
    return tuple(_judge_scale(subjects, scale, reference.table, live, settings) for scale in scales)


def _judge_scale(
    subjects: tuple[Sequence[Subject], Sequence[Subject]],
    scale: Scale,
    reference: Table,
    live: LiveRows,
    settings: DriftSettings,
) -> JudgedScale:
    first = int(np.searchsorted(live.times, moment(scale.start)))
    current = live.table.after(first)
    inputs, answers = subjects
    if current.rows < settings.minimum_rows:
        reason = too_few(current.rows, settings)
        return JudgedScale(
            scale, current.rows, first, unjudged(inputs, current, reason), unjudged(answers, current, reason)
        )
    return JudgedScale(
        scale=scale,
        rows=current.rows,
        first=first,
        inputs=judge(inputs, reference, current, scale.alpha * INPUTS_SHARE, settings),
        answers=judge(answers, reference, current, scale.alpha * ANSWERS_SHARE, settings),
    )


def judge_all_together(
    inputs: Sequence[Subject], scale: Scale | None, reference: Reference, live: LiveRows, settings: DriftSettings
) -> JointDrift | None:
    """The second opinion on all inputs at once, over the rows of `scale`; None without one."""
    if scale is None:
        return None
    rule = JointRule(scale.alpha, settings.joint_floor, settings.joint_rows, settings.seed)
    first = int(np.searchsorted(live.times, moment(scale.start)))
    found = judge_jointly(inputs, reference.table, live.table.after(first), rule)
    return dataclasses.replace(found, scale=scale.name)


def too_few(rows: int, settings: DriftSettings) -> str:
    """Why so many rows give no verdict."""
    return f"{rows} rows of {settings.minimum_rows} needed"


def strongest(judged: Sequence[tuple[Scale, tuple[Judged, ...]]]) -> tuple[Judged, ...]:
    """Of each subject the finding of the scale with the largest ratio; strongest subject first.

    So a subject drifted exactly when any scale says so, and its score, threshold and sentence are those of one scale.
    """
    best: dict[str, Judged] = {}
    for scale, items in judged:
        for item in items:
            named = dataclasses.replace(item, finding=dataclasses.replace(item.finding, scale=scale.name))
            known = best.get(item.finding.column)
            if known is None or _is_stronger(named.finding, known.finding):
                best[item.finding.column] = named
    return tuple(sorted(best.values(), key=strongest_first))


def drawn_from(judged: Sequence[JudgedScale], merged: Sequence[Judged]) -> int:
    """Position of the first row that the plots show: of the scale that saw the strongest drift.

    Without drift: of the shortest scale that had enough rows.
    """
    enough = [item for item in judged if any_detected(_findings(item.inputs + item.answers)) is not None]
    moved = [item.finding for item in sorted(merged, key=strongest_first) if item.finding.detected]
    for item in enough:
        if not moved or item.scale.name == moved[0].scale:
            return item.first
    return judged[0].first


def summarise(judged: Sequence[JudgedScale]) -> dict[str, Any]:
    """The result's `scales`: what each scale saw, shortest first."""
    return {item.scale.name: _summary(item) for item in judged}


def _summary(item: JudgedScale) -> dict[str, Any]:
    inputs, answers = _findings(item.inputs), _findings(item.answers)
    return {
        "start": item.scale.start,
        "end": item.scale.end,
        "rows": item.rows,
        "data_drift": any_detected(inputs),
        "prediction_drift": any_detected(answers),
        "false_alarm_rate": item.scale.alpha,
        "drifted": [finding.column for finding in (*inputs, *answers) if finding.detected],
    }


def _findings(judged: Sequence[Judged]) -> tuple[ColumnFinding, ...]:
    return tuple(item.finding for item in judged)


def _is_stronger(finding: ColumnFinding, known: ColumnFinding) -> bool:
    if finding.drift_ratio is None:
        # No verdict on either: the longer scale has more rows, and says better what is lacking.
        return known.drift_ratio is None
    return known.drift_ratio is None or finding.drift_ratio > known.drift_ratio
