"""How often the default rule errs without drift, and what it finds: simulated columns and real files.

Prints Markdown tables, those of docs/verdicts.md, and writes `.cache/bench/verdicts.json`. Every cell has a seed of its
own, made from `--seed` and the cell, so a part gives the same figures alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from benchmarks import report, verdict_files
from benchmarks.evidently_defaults import flags
from benchmarks.verdict_columns import KINDS, MIXED, Kind, Random
from benchmarks.verdict_shifts import SHIFTS, Shift, baseline_flags
from drift_engine.findings import rule_of
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import check_column
from drift_engine.statistics.summaries import Summary, summarise_pair
from drift_engine.table import Column

REFERENCES = (500, 1000, 5000, 50_000)
WINDOWS = (30, 50, 100, 300, 999, 1001, 5000, 50_000)
POWER_WINDOWS = (300, 1000, 5000)
POWER_REFERENCE = 5000
COLUMNS = len(MIXED)
ALPHA = 0.01
#: What a run of the false alarms judges: one column of a kind, or the mixed ones.
SETS: dict[str, tuple[str, ...]] = {name: (name,) for name in KINDS} | {f"{COLUMNS} mixed": MIXED}
SETTINGS = DriftSettings()
PARTS = ("false-alarms", "evidently", "power", "files")
#: Evidently's windows share a reference, so that the large ones can be afforded.
_WINDOWS_PER_REFERENCE = 10

Rows = list[dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for. 1 when false alarms are over the nominal rate."""
    options = _options(arguments)
    facts = report.machine("evidently", "numpy", "scipy", "pandas")
    facts["seed"] = options.seed
    print(f"seed {options.seed}; {facts['measured_at']}", flush=True)
    tables: dict[str, Rows] = {}
    faults: list[str] = []
    for part in options.parts:
        if part == "false-alarms":
            tables["false alarms"], faults = false_alarms(options.seed, options.windows, options.kinds)
        elif part == "evidently":
            tables["Evidently's defaults"] = evidently_alarms(options.seed, options.evidently_windows)
        elif part == "power":
            tables["power"] = power(options.seed, options.power_windows)
        else:
            tables["files"] = verdict_files.measure(options.data, options.splits, options.seed, _progress)
        name = next(reversed(tables))
        print(f"\n{name}\n\n{report.markdown(tables[name])}", flush=True)
    every = [{"table": name, **row} for name, rows in tables.items() for row in rows]
    report.write("verdicts", facts, every, faults)
    for fault in faults:
        print(f"OVER THE NOMINAL RATE: {fault}")
    return 1 if faults else 0


def false_alarms(seed: int, windows: int, names: Sequence[str]) -> tuple[Rows, list[str]]:
    """Share of runs with an alarm, without drift, by reference and window; and what is over 1 %.

    Over: a cell whose 99.9 % lower confidence bound (Clopper and Pearson) is above the nominal rate, or a kind of
    columns whose pooled share is.
    """
    numbers = {name: number for number, name in enumerate(SETS)}
    sets = {name: SETS[name] for name in names}
    pooled = dict.fromkeys(sets, 0)
    rows, faults = [], []
    for reference in REFERENCES:
        for window in WINDOWS:
            row: dict[str, Any] = {"reference": reference, "window": window}
            for name, kinds in sets.items():
                rng = np.random.default_rng((seed, reference, window, numbers[name]))
                alarms = sum(
                    _run_alarms(rng, [KINDS[kind] for kind in kinds], reference, window) for _ in range(windows)
                )
                pooled[name] += alarms
                row[name] = _percent(alarms, windows)
                lower = float(beta.ppf(0.001, alarms, windows - alarms + 1)) if alarms else 0.0
                if lower > ALPHA:
                    faults.append(f"{name}, reference {reference}, window {window}: {row[name]}")
            rows.append(row)
            _progress(f"false alarms, reference {reference:,}, window {window:,}")
    total = windows * len(rows)
    rows.append({"reference": "all", "window": "all", **{name: _percent(pooled[name], total) for name in sets}})
    faults += [f"{name}, pooled: {_percent(pooled[name], total)}" for name in sets if pooled[name] > ALPHA * total]
    return rows, faults


def evidently_alarms(seed: int, windows: int) -> Rows:
    """Evidently's defaults on the mixed columns: the share of columns flagged, of runs with one, with half of them."""
    kinds = [KINDS[name] for name in MIXED]
    rows = []
    for reference in REFERENCES:
        for window in WINDOWS:
            rng = np.random.default_rng((seed, reference, window, 99))
            flagged = []
            before: list[Column] = []
            for number in range(windows):
                if number % _WINDOWS_PER_REFERENCE == 0:
                    before = [kind.rows(rng, reference) for kind in kinds]
                flagged.append(sum(flags(old, kind.rows(rng, window)) for old, kind in zip(before, kinds, strict=True)))
            rows.append(
                {
                    "reference": reference,
                    "window": window,
                    "runs with a flagged column": _percent(sum(count > 0 for count in flagged), windows),
                    "runs with half of them flagged": _percent(sum(2 * count >= COLUMNS for count in flagged), windows),
                    "columns flagged": _percent(sum(flagged), windows * COLUMNS),
                }
            )
            _progress(f"Evidently, reference {reference:,}, window {window:,}")
    return rows


def power(seed: int, windows: int) -> Rows:
    """Share of runs that find a shift, for K-S and chi-square and for the rule, by rows of the window.

    Only the columns that moved are drawn: false alarms of the others, which would count as finds, are left out.
    """
    rows = []
    for number, shift in enumerate(SHIFTS):
        row: dict[str, Any] = {"shift": shift.name}
        found = []
        for window in POWER_WINDOWS:
            rng = np.random.default_rng((seed, window, number))
            found.append(np.mean([_finds(rng, shift, window) for _ in range(windows)], axis=0))
        row["K-S, chi-square, Bonferroni"] = " / ".join(f"{shares[0]:.2f}" for shares in found)
        row["this rule"] = " / ".join(f"{shares[1]:.2f}" for shares in found)
        rows.append(row)
        _progress(f"power, {shift.name}: {row['K-S, chi-square, Bonferroni']} against {row['this rule']}")
    return rows


def rule_flags(reference: Summary, window: Summary, alpha: float) -> bool:
    """Does the default rule say drift of a column that got `alpha` of the budget?"""
    _, checks = check_column(reference, window, rule_of("any", alpha, SETTINGS))
    return any(check.detected for check in checks)


def summaries(reference: Column, window: Column) -> tuple[Summary, Summary]:
    """What both sides are reduced to. The reference has a value."""
    found = summarise_pair(reference, window)
    assert found is not None
    return found[1:]


def _run_alarms(rng: Random, kinds: Sequence[Kind], reference: int, window: int) -> bool:
    # All columns are drawn, so that a cell's draws do not depend on the rule.
    drawn = [kind.counts(rng, reference, window) for kind in kinds]
    return any(rule_flags(before, now, ALPHA / len(kinds)) for before, now in drawn)


def _finds(rng: Random, shift: Shift, window: int) -> tuple[bool, bool]:
    alpha = ALPHA / COLUMNS
    pairs = [(kind.rows(rng, POWER_REFERENCE), change(rng, kind.rows(rng, window))) for kind, change in shift.changes]
    return (
        _any(baseline_flags, pairs, alpha),
        any(rule_flags(*summaries(before, now), alpha) for before, now in pairs),
    )


def _any(
    decides: Callable[[Column, Column, float], bool], pairs: Iterable[tuple[Column, Column]], alpha: float
) -> bool:
    return any(decides(before, now, alpha) for before, now in pairs)


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.2f} %"


def _progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}", file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__)
    parser.add_argument("--windows", type=int, default=1000, help="windows per cell of false alarms (default: 1000)")
    parser.add_argument("--kinds", nargs="+", choices=SETS, default=list(SETS), help="of false alarms (default: all)")
    parser.add_argument("--power-windows", type=int, default=1000, help="windows per shift and size (default: 1000)")
    parser.add_argument("--evidently-windows", type=int, default=100, help="of Evidently per cell (default: 100)")
    parser.add_argument("--splits", type=int, default=1000, help="random splits of each real file (default: 1000)")
    parser.add_argument("--data", type=Path, default=report.ROOT.parent / "shared" / "data", help="the real files")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="(default: all)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
