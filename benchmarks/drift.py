"""Time and peak memory of a drift run on 10,000 and 100,000 logged rows of 30 features, half of them labelled."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.live_log import WORKERS, write_log
from demo.generate import FEATURES, generate
from demo.train import FRAUD_POPULATION, fraud_card
from drift_engine.results import Result, ResultStore
from gateway.clock import utc_text
from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import load_verified

WINDOW_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Measured:
    """One run as the system saw it: wall time, CPU time and peak resident memory of the process."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/drift.json`. 1 when a run fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000], help="(default: 10000 100000)")
    options = parser.parse_args(arguments)
    with report.scratch_folder() as scratch:
        print("training and registering the demo's random forest ...", flush=True)
        registry = Registry(scratch / "models", scratch / "data" / "reference")
        card = fraud_card(registry, time.time())
        model = load_verified(registry.folder(card.name, card.version), card)
        rows = [_measure(card, model, count, scratch) for count in options.rows]
    facts = report.machine("evidently", "pandas", "numpy", "pyarrow", "scikit-learn")
    notes = [
        "One process, `python -m drift_engine run`, from start to exit: imports, reading and checking the log, joining "
        "labels, statistics on all rows, quality on the labelled ones, the HTML report, the commit.",
        f"The log: {len(FEATURES)} features, {WORKERS} segments, a label for every second row; reference "
        f"{card.reference_rows:,} rows.",
    ]
    report.publish("drift", facts, rows, notes)
    return 0


def _measure(card: ModelCard, model: Any, count: int, scratch: Path) -> dict[str, Any]:
    print(f"writing a log of {count:,} rows ...", flush=True)
    shutil.rmtree(scratch / "data" / "live", ignore_errors=True)
    end = time.time()
    start = end - WINDOW_SECONDS
    log_bytes = write_log(
        card, model, generate(count, 1, FRAUD_POPULATION).table, start, end, scratch / "data" / "live"
    )
    print("running python -m drift_engine run ...", flush=True)
    command = [sys.executable, "-m", "drift_engine", "run", "--name", card.name, "--quiet"]
    command += ["--since", utc_text(start), "--until", utc_text(end + 60)]
    measured = _run(command, report.environment(scratch))
    result, report_bytes = _newest(scratch, card)
    if result.rows.read != count:
        raise RuntimeError(f"the run read {result.rows.read} of {count} rows")
    return {
        "rows": count,
        "wall s": measured.wall_seconds,
        "without imports s": result.duration_seconds,
        "CPU s": measured.cpu_seconds,
        "peak MiB": measured.peak_mib,
        "rows/s": count / measured.wall_seconds,
        "log MB": log_bytes / 1e6,
        "report MB": report_bytes / 1e6,
        "outcome": f"{result.outcome}, {result.data_drift.columns_drifted} columns drifted",
    }


def _run(command: list[str], environment: dict[str, str]) -> Measured:
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=report.ROOT, env=environment)
    # wait4 gives this child's own usage; RUSAGE_CHILDREN would give the largest of all so far.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"the drift run ended with exit code {process.returncode}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _newest(scratch: Path, card: ModelCard) -> tuple[Result, int]:
    store = ResultStore(scratch / "reports")
    place = store.runs()[0]
    size = (place.folder / "report.html").stat().st_size
    return store.result(card.name, card.version, place.run_id), size


if __name__ == "__main__":
    sys.exit(main())
