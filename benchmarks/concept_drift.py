"""How soon concept drift is found, and how often where there is none: simulated days, and real files with late labels.

Prints Markdown tables, those of docs/concept_drift.md, and writes `.cache/bench/concept_drift.json`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import concept_trend, report
from benchmarks.concept_files import Evening, Stream, replay, streams

PARTS = ("healthy", "declines", "files")
#: More false alarms a year than this, of a model whose days are alike or differ within limits, are a fault.
FALSE_ALARMS_A_YEAR_MAX = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for. 1 when a healthy model is called declining too often."""
    options = _options(arguments)
    facts = report.machine("numpy", "scikit-learn")
    facts["seed"] = options.seed
    print(f"seed {options.seed}; {facts['measured_at']}", flush=True)
    tables: dict[str, list[dict[str, Any]]] = {}
    for part in options.parts:
        if part == "healthy":
            tables["healthy models"] = concept_trend.healthy(options.years, options.seed, _progress)
        elif part == "declines":
            tables["declining models"] = concept_trend.declines(options.runs, options.seed, _progress)
        else:
            tables["real files"] = _files(options.data, options.every)
        name = next(reversed(tables))
        print(f"\n{name}\n\n{report.markdown(tables[name])}", flush=True)
    faults = [
        f"{row['stream']}, {row['labels a day']} labels a day: {row['false alarms a year']} false alarms a year"
        for row in tables.get("healthy models", [])
        if float(row["false alarms a year"]) > FALSE_ALARMS_A_YEAR_MAX
    ]
    report.write("concept_drift", facts, [{"table": t, **row} for t, rows in tables.items() for row in rows], faults)
    for fault in faults:
        print(f"TOO OFTEN: {fault}")
    return 1 if faults else 0


def _files(folder: Path, every: int) -> list[dict[str, Any]]:
    rows = []
    for stream in streams(lambda name: folder / name).values():
        with tempfile.TemporaryDirectory() as root:
            evenings = []
            for evening in replay(stream, Path(root), every):
                evenings.append(evening)
                _progress(f"{stream.name}, day {evening.day}: {evening.result.concept_drift.reason}")
        rows.append(_row(stream, evenings))
    return rows


def _row(stream: Stream, evenings: list[Evening]) -> dict[str, Any]:
    known = [evening for evening in evenings if evening.result.concept_drift.detected is not None]
    found = [evening for evening in known if evening.result.concept_drift.detected]
    falling = [e for e in evenings if (trend := e.result.concept_drift.trend) is not None and trend.declining]
    early = [evening for evening in evenings if evening.result.concept_drift.early]
    return {
        "file": stream.name,
        "days": len(stream.days),
        "rows a day": round(sum(len(day) for day in stream.days) / len(stream.days)),
        "labels late by": f"{stream.delay_days} days",
        "changed on day": "" if stream.changed_on is None else stream.changed_on,
        "judged": len(known),
        "concept drift": len(found),
        "first on day": _first(found),
        "declining": len(falling),
        "first declining": _first(falling),
        "early signs": len(early),
    }


def _first(evenings: list[Evening]) -> str:
    return str(evenings[0].day) if evenings else ""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.concept_drift", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which tables")
    parser.add_argument("--years", type=int, default=60, help="simulated years per accuracy of a healthy model")
    parser.add_argument("--runs", type=int, default=100, help="simulated declines per cell")
    parser.add_argument("--every", type=int, default=1, help="look at a file on every so many days")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the real files")
    return parser.parse_args(arguments)


def _progress(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
