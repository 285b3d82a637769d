"""Clean windows of one column whose rows come in sessions: how often each way of setting the threshold calls drift.

Sessions of 20 rows, normal, correlation 0.5 in a session; the shape check alone, without its floor.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from benchmarks import report
from benchmarks.verdict_streams import clustered
from drift_engine.statistics.checks import pool_bins, psi
from drift_engine.statistics.clustering import LOOK_ALPHA, Clustering, measure_clustering
from drift_engine.statistics.summaries import reference_cuts, summarise_number
from drift_engine.table import NumberColumn

#: Rows of reference and window.
CELLS = ((2000, 300), (5000, 300), (5000, 600), (20_000, 600))
NOMINAL = (0.004, 0.0001)
_WINDOWS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw references and windows, print a table, write `.cache/bench/verdict_sessions_thresholds.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_sessions", description=__doc__)
    parser.add_argument("--references", type=int, default=200, help=f"of each cell, with {_WINDOWS} windows each")
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args(arguments)
    os.nice(19)
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    rows = [row for n, m in CELLS for row in _cell(options, n, m)]
    notes = [f"Seed {options.seed}; {options.references * _WINDOWS:,} windows a cell."]
    report.publish("verdict_sessions_thresholds", report.machine("numpy", "scipy"), rows, notes)
    return 0


def _cell(options: argparse.Namespace, n: int, m: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng([options.seed, n, m])
    found: dict[tuple[float, str], list[bool]] = {}
    for _ in range(options.references):
        column = NumberColumn(clustered(rng, n))
        cuts = reference_cuts(column)
        assert cuts is not None
        clustering = measure_clustering(column, cuts, m, LOOK_ALPHA)
        counts = summarise_number(column, cuts).counts
        for _ in range(_WINDOWS):
            c, d = pool_bins(counts, summarise_number(NumberColumn(clustered(rng, m)), cuts).counts)
            statistic = psi(c, d) / (1 / n + 1 / m)
            for alpha in NOMINAL:
                for way, quantile in _quantiles(clustering, len(c) - 1, alpha).items():
                    found.setdefault((alpha, way), []).append(statistic > quantile)
    print(f"  {n} against {m} rows done", flush=True)
    ways = dict.fromkeys(way for _, way in found)
    return [
        {"reference": n, "window": m, "nominal %": 100 * alpha}
        | {f"{way} %": 100 * float(np.mean(found[alpha, way])) for way in ways}
        for alpha in NOMINAL
    ]


def _quantiles(clustering: Clustering, degrees: int, alpha: float) -> dict[str, float]:
    weights = np.array(clustering.weights or [1.0] * degrees)
    first, second = float(weights.sum()), float((weights**2).sum())
    return {
        "taken as independent": float(chi2.isf(alpha, degrees)),
        "two cumulants": second / first * float(chi2.isf(alpha, first**2 / second)),
        "three cumulants and F": clustering.quantile(degrees, alpha),
    }


if __name__ == "__main__":
    sys.exit(main())
