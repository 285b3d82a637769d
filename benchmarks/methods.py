"""False alarms and power of the selectable methods: windows drawn like the reference, and windows that moved.

Every window has its own reference. The rate of a cell is to be at most the nominal one; `low` is the lower bound of
its 99.9 % interval, which must not exceed it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import beta

from benchmarks import report
from drift_engine.statistics.methods import Allowance, shape_by
from drift_engine.table import Column, NumberColumn, text_column_of_codes

METHODS = ("psi", "wasserstein", "jensenshannon", "ks", "chisquare")
Draw = Callable[[np.random.Generator, int], Column]


def _number(draw: Callable[[np.random.Generator, int], Any]) -> Draw:
    return lambda random, rows: NumberColumn(np.asarray(draw(random, rows), dtype=np.float64))


def _levels(shares: Sequence[float]) -> Draw:
    names = [f"level {place}" for place in range(len(shares))]
    return lambda random, rows: text_column_of_codes(random.choice(len(shares), rows, p=shares).astype(np.int32), names)


_RARE = [0.5, 0.3, 0.1, 0.05, 0.03, 0.01, 0.005, 0.003, 0.0015, 0.0005]
#: Six kinds of columns, and each of them moved.
KINDS: dict[str, tuple[Draw, Draw]] = {
    "gaussian": (
        _number(lambda random, rows: random.normal(size=rows)),
        _number(lambda random, rows: random.normal(0.5, size=rows)),
    ),
    "lognormal": (
        _number(lambda random, rows: random.lognormal(size=rows)),
        _number(lambda random, rows: random.lognormal(0.5, size=rows)),
    ),
    "heavy tail": (
        _number(lambda random, rows: random.pareto(2.5, rows)),
        _number(lambda random, rows: 1.5 * random.pareto(2.5, rows)),
    ),
    "zero-inflated": (
        _number(lambda random, rows: random.exponential(size=rows) * (random.random(rows) < 0.3)),
        _number(lambda random, rows: random.exponential(size=rows) * (random.random(rows) < 0.5)),
    ),
    "few values": (
        _number(lambda random, rows: random.binomial(6, 0.3, rows)),
        _number(lambda random, rows: random.binomial(6, 0.38, rows)),
    ),
    "category, rare levels": (_levels(_RARE), _levels([0.4, 0.4, *_RARE[2:]])),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/methods.json`. 1 when a cell errs more often than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--windows", type=int, default=1000, help="per cell (default: %(default)s)")
    parser.add_argument("--alpha", type=float, default=0.01, help="nominal rate (default: %(default)s)")
    parser.add_argument("--references", type=int, nargs="+", default=[500, 5000], help="(default: 500 5000)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 300, 1000, 5000], help="(default: 50 ... 5000)")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, help="(default: all)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    rows = [
        _cell(method, kind, n, m, options.windows, options.alpha, options.seed)
        for method in options.methods
        for kind in KINDS
        for n in options.references
        for m in options.sizes
    ]
    failed = [row for row in rows if row["low"] > options.alpha]
    notes = [
        f"{options.windows:,} windows per cell, nominal {options.alpha:g}, seed {options.seed}, no effect floor.",
        f"Cells whose lower 99.9 % bound exceeds the nominal rate: {len(failed)} of {len(rows)}; "
        f"pooled false alarms {np.mean([row['false alarms'] for row in rows]):.4f}.",
    ]
    report.publish("methods", report.machine("numpy", "scipy"), rows, notes)
    return 1 if failed else 0


def _cell(method: str, kind: str, n: int, m: int, windows: int, alpha: float, seed: int) -> dict[str, Any]:
    same, moved = KINDS[kind]
    random = np.random.default_rng([seed, METHODS.index(method), list(KINDS).index(kind), n, m])
    # minimum_rows=2: what is shown is the law, not the engine's minimum.
    allowance = Allowance(alpha, 0.0, 2, seed)

    def alarms(window: Draw, count: int) -> int:
        pairs = (shape_by(method, same(random, n), window(random, m), allowance) for _ in range(count))
        return sum(check.detected is True for check in pairs)

    # Power needs no tail of a law: a fifth of the windows tell it well enough.
    tried = max(1, windows // 5)
    false, true = alarms(same, windows), alarms(moved, tried)
    return {
        "method": method,
        "column": kind,
        "reference": n,
        "window": m,
        "false alarms": false / windows,
        "low": _lower_bound(false, windows),
        "power": true / tried,
    }


def _lower_bound(alarms: int, windows: int) -> float:
    """Clopper and Pearson's one-sided 99.9 % bound."""
    return float(beta.ppf(0.001, alarms, windows - alarms + 1)) if alarms else 0.0


if __name__ == "__main__":
    sys.exit(main())
