"""Requests per second and latency of the gateway, beside bare Flask on the same workers.

Every answer that a load received must be in the prediction log, and the answers of a last round are compared
with it one by one; the benchmark fails when one is not there.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.load import Load, collect_answers, put_load
from benchmarks.servers import bare_flask, gateway
from demo.replay import traffic_rows
from demo.train import fraud_card, fraud_parts
from gateway.log import predictions
from gateway.log.reader import scan
from gateway.registry import ModelCard, Registry
from gateway.settings import GatewaySettings

BODIES = 256
CHECKED_ANSWERS = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/gateway.json`. 1 when an answer is missing from the log."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="per measurement (default: %(default)s)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16], help="(default: 1 16)")
    options = parser.parse_args(arguments)
    with report.scratch_folder() as scratch:
        registry = Registry(scratch / "models", scratch / "data" / "reference")
        print("training and registering the demo's random forest ...", flush=True)
        card = fraud_card(registry, time.time())
        bodies = [json.dumps(row.features).encode() for row in traffic_rows(card, fraud_parts(BODIES, 1).alike)]
        rows, faults = _measure(card, bodies, options.connections, options.seconds, scratch)
    facts = report.machine("flask", "gunicorn", "scikit-learn", "numpy")
    report.publish("gateway", facts, rows, [*_notes(options.seconds), *faults])
    return 1 if faults else 0


def _measure(
    card: ModelCard, bodies: list[bytes], connections: Sequence[int], seconds: int, scratch: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    bare: dict[int, Load] = {}
    with bare_flask(scratch) as server:
        for route, what in (("bare", "bare Flask, constant answer"), ("model", "bare Flask and the model")):
            for count in connections:
                _warm_up(f"{server.url}/{route}", bodies, count, scratch)
                load = _load(f"{server.url}/{route}", bodies, count, seconds, scratch)
                rows.append(_row(what, load, bare.setdefault(count, load), None))
    for durability in ("process", "power"):
        with gateway(scratch, durability=durability) as server:
            for count in connections:
                _warm_up(f"{server.url}/predict", bodies, count, scratch)
                before = _settled_rows(card, scratch)
                load = _load(f"{server.url}/predict", bodies, count, seconds, scratch)
                logged = _settled_rows(card, scratch) - before
                rows.append(_row(f"gateway, durability {durability}", load, bare[count], logged))
                # A request cut off by the end of the load may be logged without its answer having arrived.
                if not load.answered <= logged <= load.answered + load.refused + load.broken + count:
                    faults.append(f"FAULT: {load.answered} answered but {logged} logged ({durability}, {count})")
            faults += _missing_answers(card, server.url, bodies, scratch)
    return rows, faults


def _warm_up(url: str, bodies: list[bytes], connections: int, scratch: Path) -> None:
    """Caches are cold and segments not yet open: what users see is the state after the first second."""
    put_load(url, bodies, connections, 1, scratch)


def _load(url: str, bodies: list[bytes], connections: int, seconds: int, scratch: Path) -> Load:
    print(f"{url}: {connections} connection(s), {seconds} s ...", flush=True)
    return put_load(url, bodies, connections, seconds, scratch)


def _row(what: str, load: Load, bare: Load, logged: int | None) -> dict[str, Any]:
    return {
        "server": what,
        "connections": load.connections,
        "requests/s": load.per_second,
        "p50 ms": load.p50_ms,
        "p99 ms": load.p99_ms,
        "of bare Flask": load.per_second / bare.per_second,
        "answered": load.answered,
        "logged": logged,
        "refused": load.refused,
        "broken": load.broken,
        "client": load.client,
    }


def _missing_answers(card: ModelCard, url: str, bodies: list[bytes], scratch: Path) -> list[str]:
    """Answers of one round that the log does not hold with the same prediction, as sentences."""
    repeated = [bodies[number % len(bodies)] for number in range(CHECKED_ANSWERS)]
    answers = collect_answers(f"{url}/predict", repeated, connections=8)
    logged = _logged_predictions(card, scratch)
    missing = [a for a in answers if logged.get(a["request_id"]) != str(a["prediction"])]
    if missing or len(answers) != CHECKED_ANSWERS:
        return [f"FAULT: of {CHECKED_ANSWERS} requests {len(answers)} were answered, {len(missing)} of them not logged"]
    return []


def _settled_rows(card: ModelCard, scratch: Path) -> int:
    """The log's rows once they stop growing: requests under way at a load's end may still be written."""
    count = -1
    while (now := _logged_rows(card, scratch)) != count:
        count = now
        time.sleep(0.3)
    return count


def _logged_rows(card: ModelCard, scratch: Path) -> int:
    columns = predictions.columns(card)
    return sum(scan(path, columns).rows for path in _segments(card, scratch))


def _logged_predictions(card: ModelCard, scratch: Path) -> dict[str, str]:
    columns = predictions.columns(card)
    found = {}
    for path in _segments(card, scratch):
        for record in csv.DictReader(scan(path, columns).data.decode().splitlines()):
            found[record["request_id"]] = record["prediction"]
    return found


def _segments(card: ModelCard, scratch: Path) -> list[Path]:
    return predictions.segments(scratch / "data" / "live", card.name, card.version)


def _notes(seconds: int) -> list[str]:
    usual = GatewaySettings()
    return [
        f"{usual.workers} gunicorn gthread workers x {usual.threads} threads, the load generator on the same cores, "
        f"{seconds} s each after 1 s of warming up; one row of 30 features per request, keep-alive.",
        "The model is a random forest of 100 trees, scored by scikit-learn.",
        f"logged >= answered: every answer is in the log; {CHECKED_ANSWERS:,} answers per mode were compared by id and "
        "prediction.",
    ]


if __name__ == "__main__":
    sys.exit(main())
