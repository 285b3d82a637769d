"""What a drift run on a large log costs the requests beside it.

A constant load at half of what the gateway can take, with a drift run beside it and without, in pairs of alternating
order. The run is started as the scheduler starts it, at idle priority and bounded; the load lasts until it is over, and
the one without a run just as long: a short load would miss what a shared machine does to a long one now and then. What
the gateway can take is measured anew for each pair. The ratio of a pair is p99 with the run / p99 without; what counts
is the median.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scheduler
from benchmarks import report
from benchmarks.comparison import Work, prepare
from benchmarks.live_log import write_log
from benchmarks.load import put_load
from benchmarks.open_loop import Answered, ConstantLoad
from benchmarks.peers.catalogue import OBJECTS
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


@dataclass(frozen=True)
class Pair:
    """Two loads of equal rate, and the run that was beside one of them.

    Attributes:
        run_seconds: from the run's start to its end; `finished`: with an outcome, by itself.
    """

    alone: Answered
    beside: Answered
    run_seconds: float
    finished: bool

    @property
    def ratio(self) -> float:
        """p99 with the run / p99 without."""
        return self.beside.p99_ms / self.alone.p99_ms

    @property
    def unanswered(self) -> int:
        """Requests that were refused or lost, in both."""
        return sum(load.refused + load.lost for load in (self.alone, self.beside))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/interference.json`. 1 when a run or a request came to nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interference", description=__doc__)
    parser.add_argument("--pairs", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the run's window (default: %(default)s)")
    options = parser.parse_args(arguments)
    with report.scratch_folder() as scratch:
        # The scheduler hands its own environment on to the runs.
        environment = report.environment(scratch)
        os.environ.clear()
        os.environ.update(environment)
        print("training and registering the demo's random forest ...", flush=True)
        work = prepare(scratch)
        drift = _write_window(scratch, work, options.rows)
        idle_seconds = _first_run(drift, scratch, work, options.rows)
        with gateway(scratch) as server:
            pairs = list(_pairs(server, work, drift, options.pairs, scratch))
    _publish(pairs, options.rows, idle_seconds)
    return 0 if all(pair.finished and not pair.unanswered for pair in pairs) else 1


def _write_window(scratch: Path, work: Work, rows: int) -> scheduler.Job:
    """Write and seal the log; returns the drift run over it as a job of the scheduler's."""
    print(f"writing a log of {rows:,} rows ...", flush=True)
    paths, end = Paths(data=scratch / "data"), time.time() - _WINDOW_AGO_SECONDS
    registry = Registry(scratch / "models", paths.reference)
    model = load_verified(registry.folder(work.card.name, work.card.version), work.card)
    start = end - WINDOW_SECONDS
    write_log(work.card, model, generate(rows, 1, FRAUD_POPULATION).table, start, end, paths.live)
    seal(paths.live, time.time)
    window = ("--name", work.card.name, "--since", utc_text(start), "--until", utc_text(end + 1))
    return scheduler.Job("drift", scheduler.drift_command(*window), 300.0)


def _first_run(drift: scheduler.Job, scratch: Path, work: Work, rows: int) -> float:
    """Run once with nothing beside it, which also makes what later runs reuse; returns its seconds."""
    seconds, finished = _run(drift, scratch)
    store = ResultStore(scratch / "reports")
    if not finished:
        raise RuntimeError("the drift run fails with nothing beside it")
    read = store.result(work.card.name, work.card.version, store.runs()[0].run_id).rows.read
    if read != rows:
        raise RuntimeError(f"the run read {read:,} of {rows:,} rows")
    return seconds


def _run(drift: scheduler.Job, scratch: Path) -> tuple[float, bool]:
    """The run as the scheduler does it, to its end; returns its seconds and whether it finished by itself."""
    state = Paths(data=scratch / "data").state
    began = time.monotonic()
    code = scheduler.Scheduler((drift,), state, scheduler.SchedulerSettings()).run_once()
    return time.monotonic() - began, code == 0


def _saturated(server: Server, work: Work, scratch: Path) -> float:
    """Requests per second that the gateway answers when it is asked without a pause."""
    url, bodies = server.url + OBJECTS.one_path, _bodies(work)
    put_load(url, bodies, SATURATING_CONNECTIONS, 1, scratch)
    return put_load(url, bodies, SATURATING_CONNECTIONS, 4, scratch).per_second


def _pairs(server: Server, work: Work, drift: scheduler.Job, count: int, scratch: Path) -> Iterator[Pair]:
    """Beside, alone; alone, beside; ...: what changes slowly on the machine must not favour either."""

    def load(seconds: float) -> ConstantLoad:
        return ConstantLoad(server.port, OBJECTS.one_path, _bodies(work), rate=rate, seconds=seconds, scratch=scratch)

    def beside() -> tuple[Answered, float, bool]:
        with load(scheduler.SchedulerSettings().timeout_seconds) as running:
            seconds, finished = _run(drift, scratch)
            return running.stop(), seconds, finished

    def alone(seconds: float) -> Answered:
        with load(seconds) as running:
            return running.finish()

    seconds = 0.0
    for number in range(count):
        # For each pair: a shared machine is not as fast at any time.
        rate = SHARE_OF_SATURATED * _saturated(server, work, scratch)
        if number % 2:
            # As long as the last run took; its own is not known yet.
            quiet = alone(seconds)
            busy, seconds, finished = beside()
        else:
            busy, seconds, finished = beside()
            quiet = alone(seconds)
        pair = Pair(quiet, busy, seconds, finished)
        print(
            f"pair {number + 1}, {rate:,.0f} requests/s: p99 {quiet.p99_ms:.2f} ms alone, "
            f"{busy.p99_ms:.2f} ms beside a run",
            flush=True,
        )
        yield pair
        # The scheduler's other job: what the load has logged meanwhile is not for the next run to look through.
        seal(Paths(data=scratch / "data").live, time.time)


def _bodies(work: Work) -> list[bytes]:
    return [OBJECTS.one_body(row) for row in work.singles]


def _publish(pairs: Sequence[Pair], rows: int, idle_seconds: float) -> None:
    median = statistics.median(pair.ratio for pair in pairs)
    finished = sum(pair.finished for pair in pairs)
    targets = [
        {
            "what": "median of p99 beside a run / p99 alone",
            "target": f"<= {MEDIAN_RATIO_MAX:g}",
            "found": median,
            "met": "yes" if median <= MEDIAN_RATIO_MAX else "NO",
        },
        {
            "what": "runs that finished",
            "target": f"all {len(pairs)}",
            "found": finished,
            "met": "yes" if finished == len(pairs) else "NO",
        },
    ]
    notes = [
        f"Half of what is answered to {SATURATING_CONNECTIONS} unpausing clients, measured before each pair: "
        "one row of 30 features a request, durability power. Open loop: latency counts from when a request was due.",
        f"The run: {rows:,} rows of 30 features, half of them labelled, {idle_seconds:.1f} s with nothing beside it; "
        "started by the scheduler's own code, idle priority.",
        "`late` is the p99 of the load generator's own lateness, the worse of the two; no latency can be told from it.",
    ]
    facts = report.machine("flask", "gunicorn", "scikit-learn", "numpy", "evidently")
    report.publish("interference", facts, [_row(number, pair) for number, pair in enumerate(pairs, 1)], notes, targets)


def _row(number: int, pair: Pair) -> dict[str, Any]:
    return {
        "pair": number,
        "requests/s": pair.alone.rate,
        "alone p50 ms": pair.alone.p50_ms,
        "alone p99 ms": pair.alone.p99_ms,
        "beside p50 ms": pair.beside.p50_ms,
        "beside p99 ms": pair.beside.p99_ms,
        "p99 ratio": pair.ratio,
        "run s": pair.run_seconds,
        "finished": "yes" if pair.finished else "NO",
        "late p99 ms": max(pair.alone.late_p99_ms, pair.beside.late_p99_ms),
        "asked": pair.alone.asked + pair.beside.asked,
        "unanswered": pair.unanswered,
    }


if __name__ == "__main__":
    sys.exit(main())
