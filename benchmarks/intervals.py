"""How often the intervals of quality hold the truth that they are to hold in 95 % of windows.

Windows are drawn from populations whose true figures are known from millions of rows; each is measured as a run
measures its labelled rows. Prints the table of docs/performance.md and writes `.cache/bench/intervals.json`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.cards import unfitted_card
from drift_engine.quality import judge_quality
from drift_engine.settings import DriftSettings
from drift_engine.table import NumberColumn, Table
from gateway.registry import Feature, Metric, ModelCard
from gateway.registry.intervals import wilson
from gateway.registry.performance import accuracy_drop, classification_metrics, regression_metrics

ROWS_MIN, ROWS_MAX = 100, 5000
#: What 95 % may come out as.
LOW, HIGH = 0.93, 0.97
TRUTH_ROWS = 2_000_000
Random = np.random.Generator
Key = tuple[str, str | None]
Measure = Callable[[Random, int], tuple[Metric, ...]]


@dataclass(frozen=True)
class Population:
    """`measure` draws so many rows and measures them."""

    name: str
    measure: Measure


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write. 1 when a figure's interval over all sizes is outside of 95 +- 2 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intervals", description=__doc__)
    parser.add_argument("--windows", type=int, default=1000, help="per figure and column (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for number, population in enumerate(POPULATIONS):
        rows += coverages(population, options.windows, options.seed + number)
        print(f"{population.name}: measured", file=sys.stderr, flush=True)
    rows += drop_coverages(options.windows, options.seed)
    missed = [row for row in rows if not LOW <= row[_ALL] / 100 <= HIGH]
    notes = [
        f"Percent of {options.windows:,} windows whose interval holds the truth, seed {options.seed}; a standard error "
        f"is {100 * (0.95 * 0.05 / options.windows) ** 0.5:.1f} points.",
        f"Outside of 95 +- 2 % over all sizes: {len(missed)} of {len(rows)}.",
        *(f"  {row['population']}, {row['figure']}: {row[_ALL]}" for row in missed),
    ]
    report.publish("intervals", report.machine("numpy", "scipy"), rows, notes)
    return 1 if missed else 0


_ALL = f"{ROWS_MIN} to {ROWS_MAX:,} rows"
_SMALLEST = f"{ROWS_MIN} rows"


def coverages(population: Population, windows: int, seed: int) -> list[dict[str, Any]]:
    """Of each figure: how often its interval holds, over windows of all sizes and of the smallest one."""
    rng = np.random.default_rng(seed)
    truth = {(m.name, m.average): m for m in population.measure(rng, TRUTH_ROWS)}
    found: dict[str, dict[Key, list[bool]]] = {}
    for column, sizes in ((_ALL, spread_sizes(windows)), (_SMALLEST, [ROWS_MIN] * windows)):
        held: dict[Key, list[bool]] = {key: [] for key in truth}
        for size in sizes:
            for m in population.measure(rng, size):
                if m.lower is not None and m.upper is not None:
                    held[m.name, m.average].append(m.lower <= truth[m.name, m.average].value <= m.upper)
        found[column] = held
    return [
        {
            "population": population.name,
            "figure": f"{name}, {average}" if average else name,
            "truth": truth[name, average].value,
            "interval": str(truth[name, average].method),
            _ALL: _percent(found[_ALL][name, average]),
            _SMALLEST: _percent(found[_SMALLEST][name, average]),
        }
        for name, average in truth
    ]


def spread_sizes(windows: int) -> NDArray[np.int64]:
    """From ROWS_MIN to ROWS_MAX, each ratio as often as any other."""
    return np.round(np.geomspace(ROWS_MIN, ROWS_MAX, windows)).astype(np.int64)


def drop_coverages(windows: int, seed: int) -> list[dict[str, Any]]:
    """Of the drop that concept drift is told by: against a baseline of 2,000 rows, both uncertain."""
    rng = np.random.default_rng(seed)
    sizes = {_ALL: spread_sizes(windows), _SMALLEST: np.full(windows, ROWS_MIN)}
    return [
        {"population": name, "figure": figure, "truth": truth, "interval": method}
        | {column: _percent([holds(rng, int(size)) for size in of_column]) for column, of_column in sizes.items()}
        for name, figure, truth, method, holds in (
            ("accuracy 0.90 to 0.855", "drop, %", 5.0, "score", _accuracy_drop_holds),
            ("errors 10 % larger, normal", "rise of mae, %", 10.0, "hall", _error_rise_holds),
        )
    ]


def _accuracy_drop_holds(rng: Random, rows: int) -> bool:
    right = int(rng.binomial(2000, 0.9))
    baseline = Metric("accuracy", right / 2000, *wilson(right, 2000), None, "wilson")
    drop = accuracy_drop(baseline, int(rng.binomial(rows, 0.855)), rows)
    assert drop is not None
    return drop.lower <= 5.0 <= drop.upper


def _error_rise_holds(rng: Random, rows: int) -> bool:
    def errors(count: int, scale: float) -> Table:
        columns = {"label": NumberColumn(np.zeros(count)), "prediction": NumberColumn(rng.normal(0, scale, count))}
        return Table(columns, count)

    settings = DriftSettings(performance_rows=ROWS_MAX)
    found = judge_quality(_regression_card(), errors(2000, 1.0), errors(rows, 1.1), settings).concept_drift
    assert found.lower is not None
    assert found.upper is not None
    return found.lower <= 10.0 <= found.upper


def _regression_card() -> ModelCard:
    return unfitted_card(
        "errors",
        (Feature("x", "number"),),
        task="regression",
        classes=(),
        positive_class=None,
        has_probabilities=False,
        prediction_is_argmax=False,
    )


def _binary(share: float, apart: float) -> Measure:
    """Scores of two normal distributions `apart` standard deviations, a well calibrated model, classes at 0.5."""

    def measure(rng: Random, rows: int) -> tuple[Metric, ...]:
        positive = rng.random(rows) < share
        evidence = rng.normal(apart * positive, 1.0)
        odds = share / (1 - share) * np.exp(apart * evidence - apart**2 / 2)
        score = odds / (1 + odds)
        names = np.array(["no", "yes"])
        return classification_metrics(
            names[positive.astype(int)],
            names[(score >= 0.5).astype(int)],
            np.column_stack([1 - score, score]),
            ["no", "yes"],
            "yes",
        )

    return measure


def _multiclass(shares: Sequence[float], apart: float) -> Measure:
    """Softmax of normal evidence for each class, classes by the largest."""

    def measure(rng: Random, rows: int) -> tuple[Metric, ...]:
        codes = rng.choice(len(shares), rows, p=shares)
        evidence = rng.normal(size=(rows, len(shares))) + apart * np.eye(len(shares))[codes]
        scores = np.exp(apart * evidence + np.log(shares))
        names = np.array([f"class {code}" for code in range(len(shares))])
        probabilities = scores / scores.sum(axis=1, keepdims=True)
        return classification_metrics(
            names[codes], names[probabilities.argmax(axis=1)], probabilities, names.tolist(), None
        )

    return measure


def _numbers(errors: Callable[[Random, NDArray[np.float64]], NDArray[np.float64]]) -> Measure:
    """Labels of standard deviation 2, and predictions that miss them by `errors` of the labels."""

    def measure(rng: Random, rows: int) -> tuple[Metric, ...]:
        labels = rng.normal(10, 2, rows)
        return regression_metrics(labels, labels + errors(rng, labels))

    return measure


POPULATIONS = (
    Population("binary, 40 % positive", _binary(0.4, 1.5)),
    Population("binary, 10 % positive", _binary(0.1, 2.0)),
    Population("3 classes", _multiclass([0.5, 0.3, 0.2], 1.5)),
    Population("10 classes, unequal", _multiclass(np.arange(1, 11) / 55, 2.0)),
    Population("regression, normal errors", _numbers(lambda rng, labels: rng.normal(0.2, 1, len(labels)))),
    Population("regression, errors that lean", _numbers(lambda rng, labels: rng.exponential(1.0, len(labels)) - 1)),
    Population(
        "regression, errors grow with the label", _numbers(lambda rng, labels: rng.normal(0, 0.1, len(labels)) * labels)
    ),
)


def _percent(held: Sequence[bool]) -> float:
    return round(100 * float(np.mean(held)), 1)


if __name__ == "__main__":
    sys.exit(main())
