"""Time of scoring one row and batches: by scikit-learn, and by the compiled form that serves where it is equal."""

from __future__ import annotations

import argparse
import sys
import time
import timeit
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from threadpoolctl import threadpool_limits

from benchmarks import report
from demo.generate import FEATURES, LABEL
from demo.train import fraud_card, fraud_parts
from gateway.registry import Registry
from gateway.registry.artifact import load_verified
from gateway.registry.check_rows import read_check_rows
from gateway.serving.scoring import Scorer, scorer_of
from gateway.serving.scoring.compiled import FEW_ROWS
from gateway.serving.scoring.model import LoadedModel

TRAINED_ROWS = 5_000
#: Each figure is the best of so many repeats, each of which takes about this long.
REPEATS = 7
REPEAT_SECONDS = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/scoring.json`. 1 when an answer differs. Raises when one is not compiled."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100, 1_000], help="(default: 1 100 1000)")
    options = parser.parse_args(arguments)
    # Both as in the gateway's workers.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    with threadpool_limits(1):
        rows = [*_ensembles(options.rows), *_demo_model(options.rows)]
    notes = [
        f"{len(FEATURES)} float features, fitted on {TRAINED_ROWS:,} rows of the demo's traffic. 100 trees of depth 12 "
        "in forests, else scikit-learn's defaults.",
        "`4 classes` and `regression` predict a function of four of the features.",
        "`predict_proba`, for regression `predict`; the last lines are `LoadedModel.answer`, rows in, answers out.",
        f"Microseconds per call, best of {REPEATS}. Of more than {FEW_ROWS} rows scikit-learn's trees find the leaves, "
        "where each can be asked by itself.",
    ]
    report.publish("scoring", report.machine("scikit-learn", "treelite", "numpy"), rows, notes)
    return 0 if all(row["equal bits"] == "yes" for row in rows) else 1


def _ensembles(counts: Sequence[int]) -> Iterator[dict[str, Any]]:
    parts = fraud_parts(1, 1)
    train, asked = _columns(parts.fit[:TRAINED_ROWS]), _columns(parts.reference)
    forest = {"n_estimators": 100, "max_depth": 12, "random_state": 0}
    for name, estimator, task in [
        ("random forest, 2 classes", RandomForestClassifier(**forest), "two"),
        ("random forest, 4 classes", RandomForestClassifier(**forest), "several"),
        ("random forest, regression", RandomForestRegressor(**forest), "number"),
        ("extra trees, 2 classes", ExtraTreesClassifier(**forest), "two"),
        ("extra trees, regression", ExtraTreesRegressor(**forest), "number"),
        ("gradient boosting, 2 classes", GradientBoostingClassifier(random_state=0), "two"),
        ("gradient boosting, 4 classes", GradientBoostingClassifier(random_state=0), "several"),
        ("gradient boosting, regression", GradientBoostingRegressor(random_state=0), "number"),
        ("histogram boosting, 2 classes", HistGradientBoostingClassifier(random_state=0), "two"),
        ("histogram boosting, 4 classes", HistGradientBoostingClassifier(random_state=0), "several"),
        ("histogram boosting, regression", HistGradientBoostingRegressor(random_state=0), "number"),
    ]:
        estimator.fit(train["X"], train[task])
        print(f"{name} ...", flush=True)
        scorer = _compiled(scorer_of(estimator, asked["X"][:1_000]))
        ask = "predict" if task == "number" else "predict_proba"
        for count in counts:
            yield _row(name, count, getattr(estimator, ask), getattr(scorer.estimator, ask), asked["X"][:count])


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    """The inputs and what is predicted from them: `two` and `several` classes, and a `number`."""
    X = table[list(FEATURES)].fillna(0.0).to_numpy(dtype=np.float64)
    number = X[:, 1] + X[:, 2] * X[:, 3] + np.sin(X[:, 4])
    return {"X": X, "two": table[LABEL].to_numpy(), "several": np.digitize(number, [-1.0, 0.0, 1.0]), "number": number}


def _demo_model(counts: Sequence[int]) -> Iterator[dict[str, Any]]:
    print("the demo's model ...", flush=True)
    with report.scratch_folder() as scratch:
        registry = Registry(scratch / "models", scratch / "data" / "reference")
        card = fraud_card(registry, time.time())
        folder = registry.folder(card.name, card.version)
        rows = read_check_rows(folder / card.check_rows.file).rows
        began = time.perf_counter()
        plain = LoadedModel(card, Scorer(load_verified(folder, card)))
        reading = time.perf_counter() - began
        compiled = LoadedModel.load(registry, card.name, card.version)
        loading = time.perf_counter() - began - reading
        _compiled(compiled.scorer)
    print(f"loaded in {loading:.2f} s, of which reading its file took {reading:.2f} s", flush=True)
    for count in counts:
        yield _row("the demo's model, answer", count, plain.answer, compiled.answer, rows[:count])


def _compiled(scorer: Scorer) -> Scorer:
    if scorer.why_not_compiled is not None:
        raise RuntimeError(f"not compiled: {scorer.why_not_compiled}")
    return scorer


def _row(
    name: str, count: int, original: Callable[[Any], Any], compiled: Callable[[Any], Any], rows: Any
) -> dict[str, Any]:
    before, after = _microseconds(original, rows), _microseconds(compiled, rows)
    return {
        "model": name,
        "rows": count,
        "scikit-learn us": before,
        "compiled us": after,
        "times faster": before / after,
        "equal bits": "yes" if _bits(original(rows)) == _bits(compiled(rows)) else "NO",
    }


def _bits(answers: Any) -> Any:
    return answers.tobytes() if isinstance(answers, np.ndarray) else answers


def _microseconds(ask: Callable[[Any], Any], rows: Any) -> float:
    timer = timeit.Timer(lambda: ask(rows))
    once = min(timer.repeat(3, 1))
    calls = max(1, int(REPEAT_SECONDS / once))
    return min(timer.repeat(REPEATS, calls)) / calls * 1e6


if __name__ == "__main__":
    sys.exit(main())
