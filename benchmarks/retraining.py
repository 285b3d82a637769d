"""`python -m benchmarks.retraining`: what retraining and replaying cost on a large log.

Histogram boosting on 30 numbers, every row labelled; each command in a process of its own, with its peak memory and
the processor time that it took (which other processes on the machine do not change much).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier

from gateway.clock import utc_text
from gateway.log import labels, predictions
from gateway.log.line import header_line
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import load_verified
from gateway.registry.register import register
from gateway.settings import Paths

COLUMNS, SEED, START = 30, 20261120, 1_780_000_000.0
_BATCH_ROWS = 20_000


def main() -> int:
    """Make the log, run both commands, print what they took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retraining")
    parser.add_argument("--rows", type=int, default=200_000, help="predictions in the log, all labelled")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = Paths(data=root / "data", models=root / "models", reports=root / "reports")
        fill(paths, root, rows)
        environment = {
            **os.environ,
            "SENTINEL_PATHS_DATA": str(paths.data),
            "SENTINEL_PATHS_MODELS": str(paths.models),
            "SENTINEL_PATHS_REPORTS": str(paths.reports),
        }
        run(environment, "gateway.log", "seal")
        print(f"{rows:,} predictions x {COLUMNS} numbers, all labelled; histogram boosting, 100 trees")
        print("| command | seconds | processor seconds | peak memory |")
        print("|---|---|---|---|")
        for name, arguments in (
            ("make replay VERSION=1", ("replay", "--name", "bench", "--version", "1")),
            ("make retrain", ("retrain", "--name", "bench")),
            ("make replay VERSION=2", ("replay", "--name", "bench", "--version", "2")),
        ):
            seconds, processor, peak = run(environment, "drift_engine", *arguments)
            print(f"| {name} | {seconds:.1f} | {processor:.1f} | {peak / 2**20:,.0f} MB |", flush=True)
    return 0


def table_of(rows: int, seed: int) -> pd.DataFrame:
    """Normal columns, and a target that depends on three of them."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(rows, COLUMNS)), columns=[f"x{number}" for number in range(COLUMNS)])
    table["y"] = (table["x0"] + table["x1"] * table["x2"] + rng.normal(size=rows) > 0).astype(int)
    return table


def fill(paths: Paths, root: Path, rows: int) -> None:
    """Register a model and write its answers and their labels as the gateway does."""
    registry = Registry(paths.models, paths.reference)
    train = table_of(20_000, SEED)
    model = HistGradientBoostingClassifier(random_state=0).fit(train.drop(columns="y").to_numpy(), train["y"])
    skops.io.dump(model, root / "model.skops")
    table_of(5_000, SEED + 1).to_csv(root / "reference.csv", index=False)
    card = register(root / "model.skops", root / "reference.csv", "y", "bench", registry=registry, now=START)
    served = load_verified(registry.folder(card.name, card.version), card)
    answers = _writer(predictions.folder(paths.live, "bench", "1"), predictions.PREFIX, predictions.columns(card))
    truths = _writer(labels.folder(paths.live, "bench"), labels.PREFIX, labels.columns(card))
    for begin in range(0, rows, _BATCH_ROWS):
        _append(card, served, table_of(min(_BATCH_ROWS, rows - begin), SEED + 2 + begin), begin, answers, truths)
    answers.close()
    truths.close()


def run(environment: dict[str, str], module: str, *arguments: str) -> tuple[float, float, float]:
    """Run a command to its end; its seconds, processor seconds and peak memory in bytes."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{module} {' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - started, _processor(usage), usage.ru_maxrss * 1024


def _processor(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def _writer(folder: Path, prefix: str, columns: tuple[object, ...]) -> SegmentWriter:
    return SegmentWriter(folder, prefix, header_line(columns), durable=False)  # type: ignore[arg-type]


def _append(
    card: ModelCard, served: HistGradientBoostingClassifier, table: pd.DataFrame, begin: int,
    answers: SegmentWriter, truths: SegmentWriter,
) -> None:  # fmt: skip
    features = table.drop(columns="y").to_numpy()
    shares = served.predict_proba(features)
    encoder, labeller = predictions.PredictionEncoder(card), labels.LabelEncoder(card)
    rows, truth = [], []
    for place, (row, share, label) in enumerate(zip(features.tolist(), shares.tolist(), table["y"], strict=True)):
        number = begin + place
        request_id, moment = str(uuid.UUID(int=number)), utc_text(START + number)
        chosen = max(range(2), key=share.__getitem__)
        rows.append(encoder.encode(request_id, moment, 0, None, row, str(chosen), share[chosen], share, 1.0))
        truth.append(labeller.encode(request_id, None, 0, str(label), None, moment))
    answers.append(rows)
    truths.append(truth)


if __name__ == "__main__":
    sys.exit(main())
