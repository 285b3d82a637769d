"""Can any request make the gateway fail, or be recorded without being answered? `python -m benchmarks.fuzz`

Two parts, each against a gateway of its own with three models: `contract` are requests that schemathesis makes from
/openapi.json, right and wrong ones, with all its checks; `hostile` are requests put together by hypothesis that may be
wrong in every byte. Prints a table, replaces its entries of `.cache/bench/fuzz.json`, and exits with 1 for any 5xx, any
refusal that is no problem document, any finding of schemathesis, any row without its 2xx and any 2xx without its rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from benchmarks import contract, hostile, report
from benchmarks.answers import Answers, Logged, logged
from benchmarks.servers import Server, gateway
from gateway.registry import ModelCard, Registry
from gateway.registry.register import register

#: Small, so that requests beyond them are small too.
INSTANCES_MAX = 20
BODY_BYTES_MAX = 100_000
#: A request whose end never comes is refused after this long.
RECEIVE_SECONDS = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts. 1 when something is not as promised."""
    parser = _parser()
    options = parser.parse_args(arguments)
    parts: dict[str, Callable[[Server, list[ModelCard], Path], tuple[Answers, str]]] = {
        "contract": lambda server, _, scratch: contract.run(server.port, options.examples, options.seed, scratch),
        "hostile": lambda server, cards, _: (
            hostile.run(server.port, cards, options.cases, options.seed, BODY_BYTES_MAX),
            "",
        ),
    }
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    rows = []
    holds = True
    for name in options.parts or parts:
        row, faults = _part(name, parts[name])
        rows.append(row)
        holds &= not faults
        print("\n".join(faults), flush=True)
    _publish(rows, options.seed)
    return 0 if holds else 1


def _part(
    name: str, run: Callable[[Server, list[ModelCard], Path], tuple[Answers, str]]
) -> tuple[dict[str, Any], list[str]]:
    """One part's row of the table, and what was not as promised."""
    with report.scratch_folder() as scratch:
        cards = _models(Registry(scratch / "models", scratch / "data" / "reference"), scratch)
        begun = time.monotonic()
        with gateway(
            scratch,
            instances_max=str(INSTANCES_MAX),
            body_bytes_max=str(BODY_BYTES_MAX),
            receive_seconds=str(RECEIVE_SECONDS),
        ) as server:
            workers = server.workers()
            answers, findings = run(server, cards, scratch)
            same_workers = server.workers() == workers
        seconds = time.monotonic() - begun
        found = logged(scratch / "data" / "live", cards)
        faults = judge(answers, found) + [findings] * bool(findings)
        if not same_workers:
            faults.append("a worker ended")
        if "Traceback" in server.log.read_text(errors="replace"):
            faults.append("an exception in the gateway's log")
    return _row(name, answers, found, seconds), faults


def judge(answers: Answers, found: Logged) -> list[str]:
    """What is not as promised, in words."""
    faults = list(answers.faults)
    if answers.server_errors:
        faults.append(f"{answers.server_errors} answers with 5xx")
    if extra := found.rows - answers.rows:
        faults.append(f"{extra.total()} rows in the log without an answer, such as {next(iter(extra))}")
    if lost := answers.rows - found.rows:
        faults.append(f"{lost.total()} answered rows not in the log, such as {next(iter(lost))}")
    if found.labels != answers.labels:
        faults.append(f"{answers.labels} labels answered, {found.labels} in the log")
    return faults


def _models(registry: Registry, scratch: Path) -> list[ModelCard]:
    """A model of numbers, one with every type of feature, and a regression."""
    rng = np.random.default_rng(20_261)
    rows = 2000
    table = pd.DataFrame(rng.normal(size=(rows, 5)), columns=[f"x{index}" for index in range(5)])
    mixed = pd.DataFrame(
        {
            "amount": np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(3, 1, rows)),
            "visits": rng.integers(0, 20, rows),
            "job": rng.choice(np.array(["clerk", "=1+1", 'a, "b"', None], dtype=object), rows),
            "known": rng.random(rows) < 0.5,
        }
    )
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), ["amount", "visits"]),
            ("levels", OneHotEncoder(handle_unknown="ignore"), ["job", "known"]),
        ]
    )
    risen = (table["x0"] + rng.normal(scale=0.5, size=rows) > 0).astype(int)
    back = np.where(mixed["visits"] + 5 * mixed["known"] + rng.normal(0, 2, rows) > 10, "yes", "no")
    price = 3 * table["x0"] - table["x1"] + 10
    kinds: list[tuple[str, Any, pd.DataFrame, Any]] = [
        ("numbers", LogisticRegression(), table, risen),
        ("mixed", make_pipeline(columns, LogisticRegression(max_iter=1000)), mixed, back),
        ("prices", LinearRegression(), table, price),
    ]
    cards = []
    for name, model, features, target in kinds:
        model_file, table_file = scratch / f"{name}.skops", scratch / f"{name}.csv"
        skops.io.dump(model.fit(features[:1000], target[:1000]), model_file)
        features.assign(target=target)[1000:].to_csv(table_file, index=False)
        cards.append(register(model_file, table_file, "target", name, registry=registry, now=time.time()))
    return cards


def _row(name: str, answers: Answers, found: Logged, seconds: float) -> dict[str, Any]:
    return {
        "part": name,
        "cases": answers.cases,
        "answers": ", ".join(f"{status}: {count:,}" for status, count in sorted(answers.statuses.items())),
        "5xx": answers.server_errors,
        "no answer": answers.unanswered,
        "rows answered": answers.rows.total(),
        "rows logged": found.rows.total(),
        "labels answered": answers.labels,
        "labels logged": found.labels,
        "seconds": seconds,
    }


def _publish(rows: list[dict[str, Any]], seed: int) -> None:
    facts = report.machine("flask", "gunicorn", "hypothesis", "schemathesis")
    print(f"\n{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, {facts['measured_at']}, seed {seed}\n")
    print(report.markdown(rows))
    path = report.RESULTS / "fuzz.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept |= {row["part"]: {"machine": facts, "seed": seed, "row": row} for row in rows}
    path.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"\nwritten to {path.relative_to(report.ROOT)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("parts", nargs="*", help="of contract, hostile (default: both)")
    parser.add_argument(
        "--examples", type=int, default=1600, help="contract: random requests per operation (default: %(default)s)"
    )
    parser.add_argument("--cases", type=int, default=12_000, help="hostile: requests (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20_261_121, help="of everything that is random")
    return parser


if __name__ == "__main__":
    sys.exit(main())
