"""False alarms a month of runs every 5 minutes, and how soon a shift is seen: docs/verdicts.md, "Alarms per month".

Simulated months of counts (benchmarks/verdict_streams.py), judged by the engine's own rule on the engine's own time
scales: 30 columns (normal, with 5 % missing, zero-inflated, counts, rare levels; six of each) that share the budget of
a scheduled run, a fresh reference every month. An onset is a run that says drift after one that did not.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from benchmarks import report
from benchmarks.verdict_streams import (
    COLUMNS,
    KINDS,
    Stream,
    clustered,
    draw_counts,
    draw_stream,
    independent,
    rolling,
    suspects,
)
from drift_engine.findings import rule_of
from drift_engine.results.schema import Window
from drift_engine.scales import LONGER, Scale, scales_of
from drift_engine.settings import MONTH_SECONDS, DriftSettings
from drift_engine.statistics.checks import check_column
from gateway.clock import utc_text

SETTINGS = DriftSettings()
RUNS = int(MONTH_SECONDS / SETTINGS.interval_seconds)
DAY_RUNS = int(24 * 3600 / SETTINGS.interval_seconds)
SHIFTS = (0.5, 0.2, 0.1)
_PARTS = ("months", "delays", "sessions")
#: Runs that a shift is looked for: three days.
HORIZON = 3 * DAY_RUNS


@dataclass(frozen=True)
class Month:
    """Onsets of one month: of the verdict, and of each scale alone; and the share of its runs that said drift."""

    onsets: int
    by_scale: dict[str, int]
    drifting: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print tables for docs/verdicts.md, write `.cache/bench/verdict_*.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_months", description=__doc__)
    parser.add_argument("--months", type=int, default=200, help="simulated months for each row of the table")
    parser.add_argument("--session-months", type=int, default=200, help="the same for rows in sessions")
    parser.add_argument("--shifts", type=int, default=200, help="simulated shifts for each delay")
    parser.add_argument("--rows", type=int, nargs="+", default=[60, 600], help="rows of an interval")
    parser.add_argument("--reference", type=int, default=5000, help="rows of the reference")
    parser.add_argument("--parts", nargs="+", default=list(_PARTS), choices=_PARTS, help="(default: all)")
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args(arguments)
    os.nice(19)
    print(f"seed {options.seed}, {options.months} months, reference of {options.reference:,} rows", flush=True)
    facts = report.machine("numpy", "scipy")
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    bounds = [f"Seed {options.seed}; at most: the exact one-sided 95 % bound of a Poisson mean."]
    if "months" in options.parts:
        months = [_months(options, rows, sessions=False, allow=True) for rows in options.rows]
        report.publish("verdict_months", facts, months, bounds)
    if "delays" in options.parts:
        delays = [_delays(options, rows, shift) for rows in options.rows for shift in SHIFTS]
        report.publish("verdict_delays", facts, delays, [f"Seed {options.seed}; medians of {options.shifts} shifts."])
    if "sessions" in options.parts:
        kinds = [(allow, rows) for allow in (True, False) for rows in options.rows]
        found = [_months(options, rows, sessions=True, allow=allow) for allow, rows in kinds]
        report.publish("verdict_months_sessions", facts, found, bounds)
    return 0


def _months(options: argparse.Namespace, rows: int, *, sessions: bool, allow: bool) -> dict[str, Any]:
    """One row of the table of false alarms. `allow`: whether the reference's blocks may widen thresholds."""
    count = options.session_months if sessions else options.months
    if not allow:
        # Without the allowance there is always some alarm: a few months show it.
        count = max(1, count // 20)
    rng = np.random.default_rng([options.seed, rows, sessions, allow])
    began, found = time.monotonic(), []
    for number in range(count):
        found.append(_month(rng, options.reference, rows, sessions=sessions, allow=allow))
        if (number + 1) % 10 == 0 or number + 1 == count:
            onsets = sum(month.onsets for month in found)
            spent = time.monotonic() - began
            print(f"  {rows} rows: {number + 1} months, {onsets} onsets, {spent:.0f} s", flush=True)
    onsets = sum(month.onsets for month in found)
    return {
        "rows a run": rows,
        "rows are": f"in sessions of 20, {'allowed for' if allow else 'taken as independent'}"
        if sessions
        else "independent",
        "months": count,
        "false onsets a month": onsets / count,
        "at most": _upper(onsets) / count,
        **{f"by {name}": sum(m.by_scale[name] for m in found) / count for name in found[0].by_scale},
        "months with any %": 100 * float(np.mean([month.onsets > 0 for month in found])),
        "runs that say drift %": 100 * float(np.mean([month.drifting for month in found])),
    }


def _month(rng: np.random.Generator, reference: int, rows: int, *, sessions: bool, allow: bool) -> Month:
    """One month after a day of warming up, without drift."""
    draw = clustered if sessions else independent
    alarms = {scale.name: np.zeros(RUNS + 1, dtype=np.bool_) for scale in _scales()}
    for column in range(COLUMNS):
        stream = draw_stream(rng, KINDS[column % len(KINDS)], reference, draw if allow else independent, rows)
        counts, missing = draw_counts(rng, stream, RUNS + DAY_RUNS, rows, sessions=sessions)
        for scale in _scales():
            _alarm(alarms[scale.name], stream.at(rows * _length(scale)), scale, counts, missing)
    verdict = np.logical_or.reduce(list(alarms.values()))
    by_scale = {name: _onsets(found) for name, found in alarms.items()}
    return Month(_onsets(verdict), by_scale, float(verdict[1:].mean()))


def _alarm(
    alarms: NDArray[np.bool_], stream: Stream, scale: Scale, counts: NDArray[np.int64], missing: NDArray[np.int64]
) -> None:
    """Mark the runs (the newest ones of `counts`) that one column alarms on one scale."""
    length = _length(scale)
    counts, missing = rolling(counts, length)[-len(alarms) :], rolling(missing[:, None], length)[-len(alarms) :, 0]
    for run in suspects(stream, counts, missing):
        if not alarms[run]:
            alarms[run] = _says_drift(stream, scale.alpha, counts[run], int(missing[run]))


def _delays(options: argparse.Namespace, rows: int, shift: float) -> dict[str, Any]:
    """One row of the table of delays: the median time to the first run that names the shifted column."""
    rng = np.random.default_rng([options.seed, rows, int(100 * shift)])
    delays = [_delay(rng, options.reference, rows, shift) for _ in range(options.shifts)]
    medians = {way: _text(float(np.median([delay[way] for delay in delays]))) for way in delays[0]}
    print(f"  {rows} rows, {shift} SD: {medians}", flush=True)
    return {"rows a run": rows, "shift, SD": shift} | medians


def _delay(rng: np.random.Generator, reference: int, rows: int, shift: float) -> dict[str, float]:
    """Runs until a shifted normal column is named: by all scales, by one scale on all the budget, by a CUSUM."""
    stream = draw_stream(rng, KINDS[0], reference, independent, rows)
    before, _ = draw_counts(rng, stream, DAY_RUNS, rows, sessions=False)
    after, _ = draw_counts(rng, stream, HORIZON, rows, sessions=False, shift=shift)
    counts = np.concatenate([before, after])
    missing = np.zeros(len(counts), dtype=np.int64)
    scales = _scales()
    single = Scale("single", scales[0].start, scales[0].end, SETTINGS.run_budget(scheduled=True))
    return {
        "all scales": min(_first(stream, scale, counts, missing) for scale in scales),
        "interval alone": _first(stream, single, counts, missing),
        "CUSUM": _cusum(stream, after, rows),
    }


def _first(stream: Stream, scale: Scale, counts: NDArray[np.int64], missing: NDArray[np.int64]) -> float:
    """Number of the first run after the shift, from 1, that says drift; infinity where none does."""
    summed = rolling(counts, _length(scale))[-HORIZON:]
    for run in suspects(stream, summed, missing[-HORIZON:]):
        if _says_drift(stream, scale.alpha, summed[run], 0):
            return float(run + 1)
    return math.inf


def _cusum(stream: Stream, counts: NDArray[np.int64], rows: int) -> float:
    """Two-sided CUSUM (Page 1954) of the mean rank, designed for 0.2 SD; its bound after Siegmund (1985), for the same
    one false alarm a month over all columns."""
    shares = np.diff(stream.ends, prepend=0.0, append=1.0)
    expected = np.cumsum(_reference_shares(stream)) - _reference_shares(stream) / 2
    spread = math.sqrt(float(shares @ expected**2) - float(shares @ expected) ** 2)
    z = (counts @ expected / counts.sum(axis=1) - 0.5) / spread * math.sqrt(rows)
    reference = 0.2 * math.sqrt(rows) / 2
    length = RUNS * COLUMNS * 2
    bound = 0.0
    while (math.exp(2 * reference * (bound + 1.166)) - 2 * reference * (bound + 1.166) - 1) < 2 * reference**2 * length:
        bound += 0.01
    up = down = 0.0
    for run, value in enumerate(z):
        up, down = max(0.0, up + value - reference), max(0.0, down - value - reference)
        if max(up, down) > bound:
            return float(run + 1)
    return math.inf


def _reference_shares(stream: Stream) -> NDArray[np.float64]:
    """Of the reference by cell: none beyond its ends."""
    counts = np.asarray(getattr(stream.reference, "counts"))  # noqa: B009 - a number's summary, by its kind
    return np.concatenate([[0.0], counts / counts.sum(), [0.0]])


def _says_drift(stream: Stream, alpha: float, counts: NDArray[np.int64], missing: int) -> bool:
    rule = replace(rule_of("any", alpha / COLUMNS, SETTINGS), clustering=stream.clustering)
    _, checks = check_column(stream.reference, stream.window(counts, missing), rule)
    return any(check.detected for check in checks)


def _scales() -> tuple[Scale, ...]:
    end = 10 * MONTH_SECONDS
    return scales_of(Window(utc_text(end - SETTINGS.interval_seconds), utc_text(end), "scheduled"), SETTINGS)


def _length(scale: Scale) -> int:
    """Runs that a scale covers."""
    return int(LONGER.get(scale.name, SETTINGS.interval_seconds) / SETTINGS.interval_seconds)


def _onsets(alarms: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(alarms[1:] & ~alarms[:-1]))


def _upper(count: int) -> float:
    """One-sided 95 % upper bound of a Poisson mean of which `count` were seen."""
    return float(chi2.ppf(0.95, 2 * (count + 1)) / 2)


def _text(runs: float) -> str:
    """A delay in words."""
    if math.isinf(runs):
        return f"not in {HORIZON // DAY_RUNS} days"
    minutes = runs * SETTINGS.interval_seconds / 60
    if runs == 1:
        return "one run"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
