"""What the joint check finds, how often it errs, and what it costs: docs/verdicts.md, "All inputs together".

30 normal columns against a reference of 5,000 rows. Without drift rows are independent, or come in sessions of 20 in
which each column is correlated by a half. What is broken is the relation of two columns, whose own values stay as they
were; or single columns shift. Beside the check stand the rule of single columns, and what the same classifier says by
five folds of a cross-validation with the interval of independent ones.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import beta, rankdata

from benchmarks import report
from drift_engine.findings import Subject, judge
from drift_engine.joint import JointRule, judge_jointly, learn
from drift_engine.settings import DriftSettings
from drift_engine.table import Floats, NumberColumn, Table

COLUMNS, REFERENCE = 30, 5000
SESSION_ROWS, SESSION_CORRELATION = 20, 0.5
SETTINGS = DriftSettings()
SUBJECTS = tuple(Subject(f"x{place}", f"x{place}", "number", 1 / COLUMNS) for place in range(COLUMNS))
#: (name, correlation of the first two columns in the reference, in the window, columns that move by 0.2 SD)
SHIFTS = (
    ("correlation 0.8 to 0 in 2 of 30 columns", 0.8, 0.0, 0),
    ("correlation 0.8 to 0.4 in 2", 0.8, 0.4, 0),
    ("mean 0.2 SD in 1", 0.0, 0.0, 1),
    ("mean 0.2 SD in 10", 0.0, 0.0, 10),
)
ALPHA = 0.01
_FOLDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, judge, print tables, write `.cache/bench/verdict_joint*.json`. 1 when it errs over its nominal rate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_joint", description=__doc__)
    parser.add_argument("--windows", type=int, default=400, help="clean windows of each size")
    parser.add_argument("--fold-windows", type=int, default=100, help="of them told by folds, too")
    parser.add_argument("--power-windows", type=int, default=100, help="of each shift and size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 1000, 5000], help="rows of a window")
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args(arguments)
    os.nice(19)
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    facts = report.machine("numpy", "scipy", "scikit-learn")
    notes = [f"Seed {options.seed}; reference {REFERENCE:,} rows, {COLUMNS} columns."]
    report.publish("verdict_joint_power", facts, [_power(options, *shift) for shift in SHIFTS], notes)
    clean = [_clean(options, in_sessions, size) for in_sessions in (False, True) for size in options.sizes]
    report.publish("verdict_joint_false_alarms", facts, clean, notes)
    return 1 if any(row["lower bound %"] > 100 * ALPHA for row in clean if row["rows are"] == "independent") else 0


def _clean(options: argparse.Namespace, in_sessions: bool, size: int) -> dict[str, Any]:
    """How often the AUC is beyond what chance allows at 1 %, without its floor, and how widely it is spread."""
    rng = np.random.default_rng([options.seed, size, in_sessions])
    ours, folds = [], []
    began = time.process_time()
    spent = 0.0
    for number in range(options.windows):
        before, now = (_rows(rng, count, 0.0, in_sessions) for count in (REFERENCE, size))
        started = time.process_time()
        ours.append(_standardised(before, now))
        spent += time.process_time() - started
        if number < options.fold_windows:
            folds.append(_by_folds(before, now))
    alarms = int(np.count_nonzero(np.array(ours) > -ndtri(ALPHA)))
    print(
        f"  {'sessions' if in_sessions else 'independent'}, {size} rows: {time.process_time() - began:.0f} s",
        flush=True,
    )
    return {
        "rows are": "in sessions of 20" if in_sessions else "independent",
        "window": size,
        "windows": options.windows,
        "beyond 1 %": f"{100 * alarms / options.windows:.2f} %",
        "lower bound %": 100 * float(beta.ppf(0.001, alarms, options.windows - alarms + 1)) if alarms else 0.0,
        "spread, in standard errors": float(np.std(ours)),
        "spread of folds": float(np.std(folds)) if folds else None,
        "folds beyond 1 %": f"{100 * float(np.mean(np.array(folds) > -ndtri(ALPHA))):.0f} %" if folds else None,
        "CPU s": spent / options.windows,
    }


def _power(options: argparse.Namespace, name: str, before: float, now: float, moved: int) -> dict[str, Any]:
    """Share of windows in which the rule of single columns, and the joint check, find it at 1 %; by size."""
    row: dict[str, Any] = {"shift": name}
    found = []
    for size in options.sizes:
        rng = np.random.default_rng([options.seed, size, len(name)])
        found.append(np.mean([_finds(rng, size, before, now, moved) for _ in range(options.power_windows)], axis=0))
    for place, way in enumerate(("single columns", "joint check")):
        row[way] = " / ".join(f"{shares[place]:.2f}" for shares in found)
    print(f"  {name}: {row['single columns']} against {row['joint check']}", flush=True)
    return row


def _finds(rng: np.random.Generator, size: int, before: float, now: float, moved: int) -> tuple[bool, bool]:
    reference, window = _rows(rng, REFERENCE, before, False), _rows(rng, size, now, False)
    window[:, :moved] += 0.2
    tables = _table(reference), _table(window)
    alone = judge(SUBJECTS, *tables, ALPHA, SETTINGS)
    rule = JointRule(ALPHA, SETTINGS.joint_floor, SETTINGS.joint_rows, SETTINGS.seed)
    return any(item.finding.detected for item in alone), bool(judge_jointly(SUBJECTS, *tables, rule).detected)


def _standardised(reference: Floats, window: Floats) -> float:
    """By how many standard errors the AUC is above a half."""
    rule = JointRule(ALPHA, 0.0, SETTINGS.joint_rows, SETTINGS.seed)
    found = judge_jointly(SUBJECTS, _table(reference), _table(window), rule)
    assert found.auc is not None
    assert found.standard_error is not None
    return (found.auc - 0.5) / found.standard_error


def _by_folds(reference: Floats, window: Floats) -> float:
    """The same of the mean AUC over folds, each told by a classifier that learned from the others."""
    features = np.concatenate([reference, window])
    is_window = np.arange(len(features)) >= len(reference)
    fold = np.empty(len(features), dtype=np.int64)
    for side in (~is_window, is_window):
        fold[side] = np.random.default_rng(1).permutation(int(side.sum())) % _FOLDS
    figures = []
    for number in range(_FOLDS):
        held = fold == number
        model = learn(features[~held], is_window[~held], [False] * COLUMNS, SETTINGS.seed)
        ranks = rankdata(model.decision_function(features[held]))
        rows, m = len(ranks), int(is_window[held].sum())
        auc = (ranks[is_window[held]].sum() - m * (m + 1) / 2) / (m * (rows - m))
        figures.append((auc - 0.5, ranks.var(ddof=1) / (rows * m * (rows - m))))
    differences, variances = np.array(figures).T
    return float(differences.mean() / np.sqrt(variances.sum()) * _FOLDS)


def _rows(rng: np.random.Generator, rows: int, correlation: float, in_sessions: bool) -> Floats:
    """Shape (rows, columns). `correlation`: of the first two columns."""
    values = rng.normal(size=(rows, COLUMNS))
    if in_sessions:
        common = np.repeat(rng.normal(size=(-(-rows // SESSION_ROWS), COLUMNS)), SESSION_ROWS, axis=0)[:rows]
        values = np.sqrt(SESSION_CORRELATION) * common + np.sqrt(1 - SESSION_CORRELATION) * values
    values[:, 1] = correlation * values[:, 0] + np.sqrt(1 - correlation**2) * values[:, 1]
    return values


def _table(values: Floats) -> Table:
    columns = {subject.column: NumberColumn(values[:, place]) for place, subject in enumerate(SUBJECTS)}
    return Table(columns, len(values))


if __name__ == "__main__":
    sys.exit(main())
