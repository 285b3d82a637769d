"""Time and peak memory of drift runs on logged rows of 30 features, half of them labelled; and beside Evidently.

The second table compares two Parquet files of 30 numbers, once by the engine and once by Evidently's `DataDriftPreset`,
each from the start of a process to a written page. CPU time is what is compared: other work on the machine does not
change it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import report
from benchmarks.live_log import WORKERS, write_log
from demo.generate import FEATURES, generate
from demo.train import FRAUD_POPULATION, fraud_card
from drift_engine.results import Result, ResultStore
from gateway.clock import utc_text
from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import load_verified
from gateway.registry.columns import feature_column

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
    parser.add_argument(
        "--preset-rows", type=int, nargs="*", default=[100_000, 1_000_000], help="beside Evidently (100000 1000000)"
    )
    options = parser.parse_args(arguments)
    with report.scratch_folder() as scratch:
        print("training and registering the demo's random forest ...", flush=True)
        registry = Registry(scratch / "models", scratch / "data" / "reference")
        card = fraud_card(registry, time.time())
        model = load_verified(registry.folder(card.name, card.version), card)
        rows = [_measure(card, model, count, scratch) for count in options.rows]
        pairs = [_beside_preset(card, count, scratch) for count in options.preset_rows]
    facts = report.machine("evidently", "pandas", "numpy", "pyarrow", "scikit-learn")
    notes = [
        "One process, `python -m drift_engine run`, from start to exit: imports, reading and checking the log, joining "
        "labels, statistics on all rows, quality on the labelled ones, the HTML report, the commit.",
        f"The log: {len(FEATURES)} features, {WORKERS} segments, a label for every second row; reference "
        f"{card.reference_rows:,} rows.",
    ]
    report.publish("drift", facts, rows, notes)
    if pairs:
        _publish_pairs(facts, pairs)
    return 0


def _measure(card: ModelCard, model: Any, count: int, scratch: Path) -> dict[str, Any]:
    print(f"writing a log of {count:,} rows ...", flush=True)
    shutil.rmtree(scratch / "data" / "live", ignore_errors=True)
    end = time.time()
    start = end - WINDOW_SECONDS
    log_bytes = _apart(_write_log, card, model, count, start, end, scratch / "data" / "live")
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


@dataclass(frozen=True)
class Side:
    """One side's comparison of two tables; `scores_cpu_seconds` without reading, imports and page."""

    measured: Measured
    scores_cpu_seconds: float
    page_bytes: int


def _beside_preset(card: ModelCard, count: int, scratch: Path) -> tuple[int, Side, Side]:
    """Rows on either side, our comparison, Evidently's."""
    paths = _apart(_write_tables, card, count, scratch)
    return count, _side("ours", paths, scratch), _side("evidently", paths, scratch)


def _write_tables(card: ModelCard, count: int, folder: Path) -> list[Path]:
    """The reference, then the window; drawn alike."""
    paths = []
    for seed in (2, 1):
        table = generate(count, seed, FRAUD_POPULATION).table
        path = folder / f"table-{seed}.parquet"
        pq.write_table(pa.table({feature_column(name): table[name].to_numpy() for name in card.feature_names}), path)
        paths.append(path)
    return paths


def _write_log(card: ModelCard, model: Any, count: int, start: float, end: float, live: Path) -> int:
    return write_log(card, model, generate(count, 1, FRAUD_POPULATION).table, start, end, live)


def _apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do it in a process that ends. What this one holds would count as the peak memory of those it starts: Linux takes
    the memory from before the `exec` into account."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def _side(name: str, paths: Sequence[Path], scratch: Path) -> Side:
    page, output = scratch / f"{name}.html", scratch / f"{name}.json"
    print(f"comparing: {name} ...", flush=True)
    # The scheduler's runs have one thread, too.
    environment = report.environment(scratch, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    command = [sys.executable, "-m", "benchmarks.preset", name, str(scratch / "models"), *map(str, paths), str(page)]
    with output.open("w") as file:
        measured = _run(command, environment, file)
    return Side(measured, json.loads(output.read_text())["scores_cpu_seconds"], page.stat().st_size)


def _publish_pairs(facts: dict[str, Any], pairs: Sequence[tuple[int, Side, Side]]) -> None:
    rows = [
        {
            "rows, each side": count,
            "compared by": name,
            "scores CPU s": side.scores_cpu_seconds,
            "whole CPU s": side.measured.cpu_seconds,
            "whole wall s": side.measured.wall_seconds,
            "peak MiB": side.measured.peak_mib,
            "page MB": side.page_bytes / 1e6,
        }
        for count, ours, theirs in pairs
        for name, side in (("this engine", ours), ("DataDriftPreset", theirs))
    ]
    targets = [target for count, ours, theirs in pairs for target in _targets(count, ours, theirs)]
    notes = [
        "Both sides: one process, one thread, two Parquet files of 30 numbers read, a complete HTML page written. "
        "DataDriftPreset with its own defaults; its `scores` include what it draws, since it makes both at once.",
    ]
    report.publish("drift-preset", facts, rows, notes, targets)


def _targets(count: int, ours: Side, theirs: Side) -> list[dict[str, Any]]:
    large = count >= 1_000_000
    found = {
        "CPU time of the scores": (ours.scores_cpu_seconds / theirs.scores_cpu_seconds, 1 / 50 if large else 1.0),
        "CPU time of the whole": (ours.measured.cpu_seconds / theirs.measured.cpu_seconds, 1 / 8 if large else 1.0),
        "peak memory": (ours.measured.peak_mib / theirs.measured.peak_mib, 1 / 3 if large else 1.0),
    }
    return [
        {
            "what": f"{what}, {count:,} rows: this engine / DataDriftPreset",
            "target": f"<= {limit:.3g}",
            "found": ratio,
            "met": "yes" if ratio <= limit else "NO",
        }
        for what, (ratio, limit) in found.items()
    ]


def _run(command: list[str], environment: dict[str, str], output: IO[str] | None = None) -> Measured:
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=report.ROOT, env=environment, stdout=output)
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
