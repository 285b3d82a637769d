"""What the rules of incidents cost and save: incidents that flapping alerts make, and how late real ones open.

Simulated windows of five minutes through the engine's own fold: `python -m benchmarks.incidents`. docs/incidents.md
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks import report
from drift_engine.incidents.fold import fold
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.results.incidents import Incidents
from drift_engine.results.schema import (
    Alert,
    ColumnFinding,
    ConceptDrift,
    DataDrift,
    Performance,
    PredictionDrift,
    Result,
    Retraining,
    Rows,
    Window,
)
from drift_engine.results.store import run_time
from gateway.clock import utc_text

STEP = 300.0
DAY = 288
MONTH = 30 * DAY
#: (N, M, K): opens in N of M windows, resolves after K. The first is no rule at all: every alert is one.
RULES = ((1, 1, 1), (2, 3, 3), (2, 3, 12), (3, 5, 3), (3, 5, 12), (3, 5, 36), (5, 8, 12))
#: Share of the windows in which an alert shows that is about nothing, or too weak to show every time.
FLAPPING = (0.001, 0.01, 0.05, 0.2)
#: The same of a trouble that is real.
REAL = (0.3, 0.5, 0.8, 1.0)
#: A real one lasts so long.
TROUBLE = 3 * DAY


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables and write `.cache/bench/incidents.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incidents", description=__doc__)
    parser.add_argument("--months", type=int, default=6, help="simulated months per cell of the first table")
    parser.add_argument("--troubles", type=int, default=40, help="troubles of three days per cell of the second")
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args(arguments)
    facts = report.machine("numpy") | {"seed": options.seed}
    chatter = [_chatter(rule, options) for rule in RULES]
    troubles = [_troubles(rule, options) for rule in RULES]
    print("Incidents that open a month, by the share of windows that show the alert, independently\n")
    print(report.markdown(chatter))
    print("\nTroubles of three days, by the share of their windows that show them: minutes from their begin until the")
    print("incident opens (median / 95 %), and incidents that one trouble makes\n")
    print(report.markdown(troubles))
    report.write("incidents", facts, [*chatter, *troubles], ())
    return 0


def _chatter(rule: tuple[int, int, int], options: argparse.Namespace) -> dict[str, Any]:
    row: dict[str, Any] = {"rule": _words(rule)}
    for share in FLAPPING:
        shown = _draw((options.seed, 1, int(1000 * share)), options.months * MONTH, share)
        row[f"{100 * share:g} %"] = f"{_folded(shown, rule).opened_total / options.months:.1f}"
    return row


def _troubles(rule: tuple[int, int, int], options: argparse.Namespace) -> dict[str, Any]:
    row: dict[str, Any] = {"rule": _words(rule)}
    for share in REAL:
        delays, counts = [], []
        for number in range(options.troubles):
            found = _folded(_draw((options.seed, 2, int(1000 * share), number), TROUBLE, share), rule)
            first = min(incident.opened_at for incident in found.incidents)
            delays.append((int(first[8:10]) - 1) * 1440 + int(first[11:13]) * 60 + int(first[14:16]))
            counts.append(found.opened_total)
        median, late = np.quantile(delays, (0.5, 0.95))
        row[f"{100 * share:g} %"] = f"{median:.0f} / {late:.0f}, {np.mean(counts):.1f}"
    return row


def _words(rule: tuple[int, int, int]) -> str:
    opens, among, resolves = rule
    return "every alert" if rule == (1, 1, 1) else f"{opens} of {among}, resolved after {resolves}"


def _draw(seed: tuple[int, ...], windows: int, share: float) -> Iterable[bool]:
    return (np.random.default_rng(seed).random(windows) < share).tolist()


def _folded(shown: Iterable[bool], rule: tuple[int, int, int]) -> Incidents:
    rules = IncidentSettings(open_windows=rule[0], open_of=rule[1], resolve_windows=rule[2])
    state: Incidents | None = None
    quiet, loud = _result(()), _result((Alert("column_drift", "warning", "amount: median 1 -> 2", "amount"),))
    for number, seen in enumerate(shown):
        start = number * STEP
        window = Window(utc_text(start), utc_text(start + STEP), "scheduled")
        found = dataclasses.replace(loud if seen else quiet, window=window, run_id=f"{run_time(start)}-000000")
        state = fold(state, found, rules)
        # Only how many there were is asked; months of resolved ones would be sorted again in each window.
        state = dataclasses.replace(state, incidents=_wanted(state))
    assert state is not None
    return state


def _wanted(state: Incidents) -> tuple[Any, ...]:
    """The open ones and the very first."""
    return tuple({item.id: item for item in (*state.open, *state.incidents[-1:])}.values())


def _result(alerts: tuple[Alert, ...]) -> Result:
    """A window in which the column `amount` could be judged, and which saw these alerts."""
    column = ColumnFinding("amount", "number", 300, 0, 1.0, (), 1.0, bool(alerts), "none", "", "")
    return Result(
        run_id="",
        model_name="simulated",
        model_version="1",
        outcome="ok",
        reason=None,
        window=Window("", "", "scheduled"),
        rows=Rows(300, {}, 0, 5000),
        data_drift=DataDrift(bool(alerts), "psi", 0.0, 0.1, 0.01, 1, 0, 0.0, (column,)),
        prediction_drift=PredictionDrift(False, 0.01, ()),
        performance=Performance("insufficient_data", "no labels", 0, None, (), ()),
        concept_drift=ConceptDrift(None, "none", None, None, None, None, 5.0, None, "no labels"),
        alerts=alerts,
        retraining=Retraining("none", ()),
        inputs=(),
        reference_sha256="",
        config={},
        libraries={},
        seed=0,
        started_at="",
        finished_at="",
        duration_seconds=0.0,
    )


if __name__ == "__main__":
    sys.exit(main())
