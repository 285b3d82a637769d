"""What a drift run on a large log costs the requests beside it.

A constant load at half of what the gateway can take, and a drift run beside it that goes on and stands still in turn,
its scheduler too, five seconds each: what changes on a shared machine, which it does from minute to minute, is in both.
The requests that were due while the run went on, and those that were due while it stood still, are a pair of loads; the
ratio of a pair is p99 beside the run / p99 alone. Pairs are taken until a run has finished, and at least `--pairs`;
what counts is their median. What the gateway can take is measured anew for each pair.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import scheduler
from benchmarks import report
from benchmarks.comparison import Work, prepare
from benchmarks.live_log import write_log
from benchmarks.load import put_load
from benchmarks.open_loop import Answered, ConstantLoad, percentiles_ms
from benchmarks.peers.catalogue import OBJECTS
from benchmarks.scheduled_run import ScheduledRun
from benchmarks.servers import Server, gateway
from demo.generate import generate
from demo.train import FRAUD_POPULATION
from drift_engine.results import ResultStore
from gateway.clock import utc_text
from gateway.log.seal import seal
from gateway.registry import Registry
from gateway.registry.artifact import load_verified
from gateway.settings import Paths

SATURATING_CONNECTIONS = 16
SHARE_OF_SATURATED = 0.5
MEDIAN_RATIO_MAX = 1.25
WINDOW_SECONDS = 24 * 3600
#: The window ends before the load begins, so that every run reads the same rows.
_WINDOW_AGO_SECONDS = 3600.0
_RUN_SECONDS_MAX = 7200.0
#: How long the run goes on, or stands still, at a time.
_PHASE_SECONDS = 5.0
#: Until the client asks: its own start, and some requests.
_LOAD_BEGINS_SECONDS = 3.0
#: At the start of each phase, what is not looked at.
_TURN_SECONDS = 0.25


@dataclass(frozen=True)
class Latencies:
    """Of the answers to requests that were due in some part of a load."""

    answers: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Pair:
    """A load, and what it was like while a run went on beside it, and while none did."""

    load: Answered
    alone: Latencies
    beside: Latencies

    @property
    def ratio(self) -> float:
        """p99 beside the run / p99 without."""
        return self.beside.p99_ms / self.alone.p99_ms

    @property
    def unanswered(self) -> int:
        """Requests of the whole load that were refused or lost."""
        return self.load.refused + self.load.lost


@dataclass(frozen=True)
class Found:
    """What was measured; `run_seconds` of the runs that finished beside the loads, `runs` those that were started."""

    pairs: list[Pair]
    run_seconds: list[float]
    runs: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/interference.json`. 1 when a run or a request came to nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interference", description=__doc__)
    parser.add_argument("--pairs", type=int, default=10, help="at least (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each half of a pair (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the run's window (default: %(default)s)")
    options = parser.parse_args(arguments)
    with report.scratch_folder() as scratch:
        # The scheduler hands its own environment on to the runs.
        environment = report.environment(scratch)
        os.environ.clear()
        os.environ.update(environment)
        print("training and registering the demo's random forest ...", flush=True)
        work = prepare(scratch)
        command = _write_window(scratch, work, options.rows)
        idle_seconds = _first_run(command, scratch, work, options.rows)
        with gateway(scratch) as server:
            found = _measure(server, work, command, options, scratch)
    _publish(found, options.rows, idle_seconds)
    return 0 if len(found.run_seconds) == found.runs and not any(pair.unanswered for pair in found.pairs) else 1


def _write_window(scratch: Path, work: Work, rows: int) -> tuple[str, ...]:
    """Write and seal the log; returns the command of a drift run over it."""
    print(f"writing a log of {rows:,} rows ...", flush=True)
    paths, end = Paths(data=scratch / "data"), time.time() - _WINDOW_AGO_SECONDS
    registry = Registry(scratch / "models", paths.reference)
    model = load_verified(registry.folder(work.card.name, work.card.version), work.card)
    start = end - WINDOW_SECONDS
    write_log(work.card, model, generate(rows, 1, FRAUD_POPULATION).table, start, end, paths.live)
    seal(paths.live, time.time)
    window = ("--name", work.card.name, "--since", utc_text(start), "--until", utc_text(end + 1))
    return scheduler.drift_command(*window)


def _first_run(command: tuple[str, ...], scratch: Path, work: Work, rows: int) -> float:
    """Run once with nothing beside it, which also makes what later runs reuse; returns its seconds."""
    with _started(command, scratch) as run:
        run.go_on(_RUN_SECONDS_MAX)
        if not run.finished:
            raise RuntimeError("the drift run fails with nothing beside it")
    store = ResultStore(scratch / "reports")
    read = store.result(work.card.name, work.card.version, store.runs()[0].run_id).rows.read
    if read != rows:
        raise RuntimeError(f"the run read {read:,} of {rows:,} rows")
    return run.seconds


def _started(command: tuple[str, ...], scratch: Path) -> ScheduledRun:
    return ScheduledRun(command, Paths(data=scratch / "data").state, _RUN_SECONDS_MAX)


def _saturated(server: Server, work: Work, scratch: Path) -> float:
    """Requests per second that the gateway answers when it is asked without a pause."""
    url, bodies = server.url + OBJECTS.one_path, _bodies(work)
    put_load(url, bodies, SATURATING_CONNECTIONS, 1, scratch)
    return put_load(url, bodies, SATURATING_CONNECTIONS, 4, scratch).per_second


def _measure(server: Server, work: Work, command: tuple[str, ...], options: argparse.Namespace, scratch: Path) -> Found:
    """Pairs until a run has finished, and there are enough of them: otherwise another one is started."""
    pairs: list[Pair] = []
    run_seconds: list[float] = []
    runs = 0
    while len(pairs) < options.pairs:
        runs += 1
        # What the load has logged meanwhile is not for the next run to look through.
        seal(Paths(data=scratch / "data").live, time.time)
        with _started(command, scratch) as run:
            while not run.is_over:
                pair = _pair(server, work, run, options.seconds, scratch, beside_first=len(pairs) % 2 == 0)
                if pair is None:
                    break
                pairs.append(pair)
                print(
                    f"pair {len(pairs)}, {pair.load.rate:,.0f} requests/s: p99 {pair.alone.p99_ms:.2f} ms alone, "
                    f"{pair.beside.p99_ms:.2f} ms beside a run",
                    flush=True,
                )
            if run.finished:
                run_seconds.append(run.seconds)
    return Found(pairs, run_seconds, runs)


def _pair(
    server: Server, work: Work, run: ScheduledRun, seconds: float, scratch: Path, *, beside_first: bool
) -> Pair | None:
    """A load of twice that many seconds, or less where the run was over before; None when it was over at once."""
    # For each pair: a shared machine is not as fast at any time.
    rate = SHARE_OF_SATURATED * _saturated(server, work, scratch)
    bodies, path = _bodies(work), OBJECTS.one_path
    alone: list[tuple[float, float]] = []
    beside: list[tuple[float, float]] = []
    with ConstantLoad(server.port, path, bodies, rate=rate, seconds=60 + 4 * seconds, scratch=scratch) as load:
        # While nobody asks anything, the run would not be held back, and take what the first requests need.
        time.sleep(_LOAD_BEGINS_SECONDS)
        goes_on = beside_first
        while not run.is_over and min(_total(alone), _total(beside)) < seconds:
            began = time.monotonic()
            if goes_on:
                run.go_on(_PHASE_SECONDS)
            else:
                time.sleep(_PHASE_SECONDS)
            (beside if goes_on else alone).append((began, time.monotonic()))
            goes_on = not goes_on
        answered = load.stop()
    if min(_total(alone), _total(beside)) < _PHASE_SECONDS:
        return None
    latencies = load.latencies()
    return Pair(answered, _due_within(alone, latencies), _due_within(beside, latencies))


def _total(phases: Sequence[tuple[float, float]]) -> float:
    return sum(end - start for start, end in phases)


def _due_within(phases: Sequence[tuple[float, float]], latencies: NDArray[np.float64]) -> Latencies:
    """What was due in these phases, but for the first moments of each: they have the last one's queue before them."""
    due, found = latencies.T
    within = np.zeros(len(due), dtype=bool)
    for start, end in phases:
        within |= (start + _TURN_SECONDS <= due) & (due < end)
    return Latencies(int(within.sum()), *percentiles_ms(found[within]))


def _bodies(work: Work) -> list[bytes]:
    return [OBJECTS.one_body(row) for row in work.singles]


def _publish(found: Found, rows: int, idle_seconds: float) -> None:
    median = statistics.median(pair.ratio for pair in found.pairs)
    targets = [
        {
            "what": "median of p99 beside a run / p99 alone",
            "target": f"<= {MEDIAN_RATIO_MAX:g}",
            "found": median,
            "met": "yes" if median <= MEDIAN_RATIO_MAX else "NO",
        },
        {
            "what": "runs that finished",
            "target": f"all {found.runs}",
            "found": len(found.run_seconds),
            "met": "yes" if len(found.run_seconds) == found.runs else "NO",
        },
    ]
    took = ", ".join(f"{seconds:.0f}" for seconds in found.run_seconds) or "no"
    notes = [
        f"Half of what is answered to {SATURATING_CONNECTIONS} clients that never pause, measured before each pair; "
        "one row of 30 features a request, durability power. Open loop: latency counts from when a request was due.",
        f"The run: {rows:,} rows of 30 features, half of them labelled; {idle_seconds:.1f} s with nothing beside "
        f"it, {took} s beside the loads, without the time that it stood still. Run by the scheduler's own code.",
        "`late` is the p99 of the load generator's own lateness; no latency can be told from it.",
    ]
    facts = report.machine("flask", "gunicorn", "scikit-learn", "numpy", "evidently")
    table = [_row(number, pair) for number, pair in enumerate(found.pairs, 1)]
    report.publish("interference", facts, table, notes, targets)


def _row(number: int, pair: Pair) -> dict[str, Any]:
    return {
        "pair": number,
        "requests/s": pair.load.rate,
        "alone p50 ms": pair.alone.p50_ms,
        "alone p99 ms": pair.alone.p99_ms,
        "beside p50 ms": pair.beside.p50_ms,
        "beside p99 ms": pair.beside.p99_ms,
        "p99 ratio": pair.ratio,
        "late p99 ms": pair.load.late_p99_ms,
        "answers": f"{pair.alone.answers} + {pair.beside.answers}",
        "unanswered": pair.unanswered,
    }


if __name__ == "__main__":
    sys.exit(main())
