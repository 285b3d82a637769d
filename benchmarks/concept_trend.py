"""How often a healthy model is called declining, and how soon one that declines: simulated years of labelled days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from drift_engine.results.days import Losses
from drift_engine.settings import DriftSettings
from drift_engine.trend import DayQuality, trend_of

SETTINGS = DriftSettings()
FIRST = date(2026, 1, 1)
YEAR = 365
#: A decline begins on this day, when there is a history to compare with.
DECLINE_FROM, DECLINE_DAYS = 60, 60
LABELS_A_DAY = (30, 100, 1_000, 10_000)
ACCURACIES = (0.7, 0.9, 0.98)


@dataclass(frozen=True)
class Stream:
    """A healthy model's days.

    Attributes:
        day_sd: standard deviation of a day's true accuracy: rows that depend on one another, good days and bad.
        weekend: by how much the model is worse on two days of seven, which have a third of the rows.
    """

    name: str
    day_sd: float = 0.0
    weekend: float = 0.0


STREAMS = (
    Stream("independent rows"),
    Stream("days differ by 2 points (standard deviation)", day_sd=0.02),
    Stream("worse by 3 points on weekends", weekend=0.03),
)
#: Points a day, or all at once, that accuracy falls by from day 60 on.
DECLINES: dict[str, Callable[[int], float]] = {
    "0.2 points a day": lambda day: 0.002 * day,
    "0.5 points a day": lambda day: 0.005 * day,
    "1 point a day": lambda day: 0.01 * day,
    "3 points at once": lambda day: 0.03,
    "10 points at once": lambda day: 0.10,
}


def healthy(
    years: int, seed: int, progress: Callable[[str], None], labels_a_day: Sequence[int] = LABELS_A_DAY
) -> list[dict[str, Any]]:
    """A row per stream and labels a day: how often it is called declining; accuracies share a cell's years."""
    rows = []
    for stream in STREAMS:
        for labels in labels_a_day:
            declining, begun, judged = 0, 0, 0
            for accuracy in ACCURACIES:
                random = np.random.default_rng([seed, STREAMS.index(stream), labels, round(1000 * accuracy)])
                for _ in range(years):
                    said = _verdicts(_days(random, stream, accuracy, labels, YEAR))
                    declining += sum(verdict is True for verdict in said)
                    judged += sum(verdict is not None for verdict in said)
                    begun += _onsets(said)
            simulated = years * len(ACCURACIES)
            rows.append(
                {
                    "stream": stream.name,
                    "labels a day": labels,
                    "years": simulated,
                    "days called declining": f"{100 * declining / max(1, judged):.3f} %",
                    "false alarms a year": f"{begun / simulated:.3f}",
                }
            )
            progress(f"{stream.name}, {labels} labels a day: {begun} false alarms in {simulated} years")
    return rows


def declines(
    runs: int, seed: int, progress: Callable[[str], None], labels_a_day: Sequence[int] = LABELS_A_DAY
) -> list[dict[str, Any]]:
    """A row per decline and labels a day: in how many runs it is found within 60 days, and after how many days."""
    rows = []
    for number, (name, fall) in enumerate(DECLINES.items()):
        for labels in labels_a_day:
            random = np.random.default_rng([seed, 99, number, labels])
            delays = []
            for _ in range(runs):
                days = _days(random, STREAMS[0], 0.9, labels, DECLINE_FROM + DECLINE_DAYS, fall)
                said = _verdicts(days)[DECLINE_FROM:]
                delays.append(said.index(True) + 1 if True in said else None)
            found = [delay for delay in delays if delay is not None]
            rows.append(
                {
                    "accuracy 0.9 falls by": name,
                    "labels a day": labels,
                    "found within 60 days": f"{100 * len(found) / runs:.0f} %",
                    "median day": f"{np.median(found):.0f}" if found else "",
                }
            )
        progress(f"{name}: done")
    return rows


def _days(
    random: np.random.Generator,
    stream: Stream,
    accuracy: float,
    labels: int,
    count: int,
    fall: Callable[[int], float] | None = None,
) -> list[DayQuality]:
    found = []
    for number in range(count):
        is_weekend = number % 7 >= 5
        rows = max(1, round(labels / 3)) if stream.weekend and is_weekend else labels
        right = accuracy - (stream.weekend if is_weekend else 0.0)
        if stream.day_sd:
            right += random.normal(0, stream.day_sd)
        if fall is not None and number >= DECLINE_FROM:
            right -= fall(number - DECLINE_FROM + 1)
        wrong = float(random.binomial(rows, 1 - min(1.0, max(0.0, right))))
        found.append(DayQuality(FIRST + timedelta(days=number), rows, Losses(rows, wrong, wrong)))
    return found


def _verdicts(days: list[DayQuality]) -> list[bool | None]:
    """What is said at the end of each day."""
    said: list[bool | None] = []
    for end in range(1, len(days) + 1):
        trend = trend_of(
            "accuracy",
            days[max(0, end - SETTINGS.history_days) : end],
            rows_min=SETTINGS.labelled_rows_min,
            floor_percent=SETTINGS.trend_floor_percent,
        )
        said.append(None if trend is None else trend.declining)
    return said


def _onsets(said: list[bool | None]) -> int:
    """How often "declining" began."""
    return sum(now is True and before is not True for before, now in zip([None, *said], said, strict=False))
