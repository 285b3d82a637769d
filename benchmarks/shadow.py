"""What a shadow costs the answers: none, the gateway's (a process), and what a thread in the worker would have cost.

A logistic regression serves; the demo's random forest of 100 trees shadows, which computes for milliseconds a row. The
three take turns, so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from flask import Flask
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gateway.serving.app
from benchmarks import report
from benchmarks.load import Load, put_load
from benchmarks.servers import gateway as started
from demo.generate import FEATURES, LABEL
from demo.replay import traffic_rows
from demo.train import FRAUD, fit_and_register, fraud_card, fraud_parts, serve
from gateway.registry import Registry
from gateway.registry.changes import Changes
from gateway.serving.models import Models
from gateway.serving.prediction import Prediction
from gateway.serving.shadow.feed import ShadowFeed

BODIES = 256
PRODUCT, THREAD = "gateway.serving.app:create_app()", "benchmarks.shadow:with_a_thread()"


class ThreadedFeed(ShadowFeed):
    """The obvious way: one thread of the worker scores what was answered. Nothing is recorded, so it does less."""

    def __init__(self, models: Models) -> None:
        super().__init__(models)
        self._answered: queue.Queue[Prediction] = queue.Queue(1000)
        threading.Thread(target=self._score, daemon=True).start()

    def offer(self, prediction: Prediction) -> None:
        """Queue it, if there is room."""
        if self._models.serving.shadows and not self._answered.full():
            self._answered.put_nowait(prediction)

    def _score(self) -> None:
        while True:
            prediction = self._answered.get()
            self._models.serving.shadows[prediction.served.card.name].model.answer(prediction.rows)


def with_a_thread() -> Flask:
    """The gateway with `ThreadedFeed`."""
    gateway.serving.app.ShadowFeed = ThreadedFeed  # type: ignore[misc]
    return gateway.serving.app.create_app()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/shadow.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shadow", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="per measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=1, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    with report.scratch_folder() as scratch:
        registry = Registry(scratch / "models", scratch / "data" / "reference")
        bodies = _register(registry)
        changes = Changes(registry, lambda name, version: None, time.time)
        found: dict[str, list[Load]] = {}
        for number in range(options.rounds):
            for what, app in (("no shadow", PRODUCT), ("a process (the gateway)", PRODUCT), ("a thread", THREAD)):
                print(f"round {number + 1}: {what} ...", flush=True)
                changes.end_shadow(FRAUD) if what == "no shadow" else changes.shadow(FRAUD, "1")
                with started(scratch, app=app) as server:
                    put_load(f"{server.url}/predict", bodies, options.connections, 3, scratch)
                    load = put_load(f"{server.url}/predict", bodies, options.connections, options.seconds, scratch)
                found.setdefault(what, []).append(load)
    report.publish("shadow", report.machine("scikit-learn"), _rows(found), _notes(options))
    return 0


def _register(registry: Registry) -> list[bytes]:
    """The forest as version 1, the regression as version 2, which serves; bodies to ask them."""
    parts = fraud_parts(BODIES, 1)
    forest = fraud_card(registry, time.time())
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000))
    serve(registry, fit_and_register(registry, FRAUD, model, parts, FEATURES, LABEL, time.time()), time.time())
    return [json.dumps(row.features).encode() for row in traffic_rows(forest, parts.alike)]


def _rows(found: dict[str, list[Load]]) -> list[dict[str, Any]]:
    def middle(loads: list[Load], name: str) -> float:
        return float(statistics.median(getattr(load, name) for load in loads))

    return [
        {
            "shadow": what,
            "requests/s": middle(loads, "per_second"),
            "p50 ms": middle(loads, "p50_ms"),
            "p99 ms": middle(loads, "p99_ms"),
            "refused": sum(load.refused for load in loads),
        }
        for what, loads in found.items()
    ]


def _notes(options: argparse.Namespace) -> list[str]:
    return [
        f"medians of {options.rounds} rounds of {options.seconds} s each, {options.connections} kept-alive "
        "connection(s), the load generator on the same cores."
    ]


if __name__ == "__main__":
    sys.exit(main())
