"""How long a scrape of the gateway's metrics takes when many workers have come and gone: `python -m benchmarks.scrape`.

Each worker is a forked process that counts predictions of one model through the gateway's own metrics, and ends. Once
their files are left as they are, once they are folded as the gateway's master does. Writes `.cache/bench/scrape.json`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import multiprocess, values

from benchmarks import report
from gateway import metrics_folder
from gateway.registry import ModelCard

_SCRAPES = 20
_PREDICTIONS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scrape", description=__doc__)
    parser.add_argument("--restarts", type=int, default=1000, help="workers that come and go (default: %(default)s)")
    options = parser.parse_args(arguments)
    rows = [_measure(options.restarts, folds) for folds in (False, True)]
    notes = [f"One model of two classes, {_PREDICTIONS} predictions a worker, median of {_SCRAPES} scrapes, in memory."]
    report.publish("scrape", report.machine("prometheus-client"), rows, notes)
    return 0 if all(row["predictions counted"] == options.restarts * _PREDICTIONS for row in rows) else 1


def _measure(restarts: int, folds: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sentinelml-scrape-", dir="/dev/shm") as name:
        folder = Path(name)
        metrics_folder.prepare(folder)
        fold_seconds = []
        for _ in range(restarts):
            pid = _one_worker(folder)
            if folds:
                # The gateway's master does these two when a worker has ended.
                multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
                begun = time.perf_counter()
                metrics_folder.fold(folder)
                fold_seconds.append(time.perf_counter() - begun)
        scrapes = []
        for _ in range(_SCRAPES):
            begun = time.perf_counter()
            families = metrics_folder.collect(folder)
            scrapes.append(time.perf_counter() - begun)
        total = sum(s.value for f in families for s in f.samples if s.name == metrics_folder.PREDICTIONS.name)
        return {
            "restarts": restarts,
            "folded": "yes" if folds else "no",
            "files": len(list(folder.iterdir())),
            "scrape ms": statistics.median(scrapes) * 1e3,
            "fold ms": statistics.median(fold_seconds) * 1e3 if folds else None,
            "predictions counted": total,
        }


def _one_worker(folder: Path) -> int:
    """A process that counts and ends; its number."""
    pid = os.fork()
    if pid == 0:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        # What prometheus_client does itself when it is imported with the variable set; this process has it already.
        values.ValueClass = values.MultiProcessValue()
        from gateway.serving.metrics import ModelMetrics

        metrics = ModelMetrics(cast(ModelCard, SimpleNamespace(name="fraud", version="1", classes=(0, 1))))
        for _ in range(_PREDICTIONS):
            metrics.count_predictions(["1"])
            for phase in (metrics.preprocessing, metrics.inference, metrics.postprocessing):
                phase.observe(0.0002)
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


if __name__ == "__main__":
    sys.exit(main())
