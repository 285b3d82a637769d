"""The same work for every server that is compared: what it is asked, that it answers rightly, how fast."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from benchmarks.load import collect_answers, put_load
from benchmarks.peers.catalogue import Dialect, Row
from benchmarks.recorded import Recorded
from benchmarks.targets import Measurement, Round
from demo.generate import FEATURES
from demo.train import fraud_card, fraud_parts
from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import load_verified

#: Different single rows, sent in turn.
SINGLES = 256
BATCH_ROWS = 1_000
BATCHES = 8
#: For batches: enough that no worker waits for its next request.
BATCH_CONNECTIONS = 8
#: A compiled form may differ from scikit-learn in the last bits of single precision.
_TOLERANCE = 1e-6


class WrongAnswer(Exception):
    """A server does not answer what scikit-learn answers."""


@dataclass(frozen=True)
class Work:
    """What every server is asked, and what scikit-learn itself answers to the first row and to the first batch.

    Attributes:
        model: the registered model as a joblib file.
        single, batch: probabilities, shape (rows, classes).
    """

    card: ModelCard
    model: Path
    singles: list[Row]
    batches: list[list[Row]]
    single: NDArray[Any]
    batch: NDArray[Any]


def prepare(scratch: Path) -> Work:
    """Train and register the demo's random forest in `scratch`; rows from the population that it was fitted on."""
    registry = Registry(scratch / "models", scratch / "data" / "reference")
    card = fraud_card(registry, time.time())
    estimator = load_verified(registry.folder(card.name, card.version), card)
    # Rows without missing values, for which some of the servers have no word; a few in a hundred have one.
    table = fraud_parts(2 * BATCHES * BATCH_ROWS, 1).alike[list(FEATURES)].dropna()
    rows: list[Row] = [dict(zip(FEATURES, values, strict=True)) for values in table.to_numpy().tolist()]
    model = scratch / "model.joblib"
    joblib.dump(estimator, model)
    return Work(
        card=card,
        model=model,
        singles=rows[:SINGLES],
        batches=[rows[at : at + BATCH_ROWS] for at in range(0, BATCHES * BATCH_ROWS, BATCH_ROWS)],
        single=estimator.predict_proba(table[:1]),
        batch=estimator.predict_proba(table[:BATCH_ROWS]),
    )


def check_answers(url: str, dialect: Dialect, work: Work) -> None:
    """Ask for one row and for one batch. Raises WrongAnswer unless the probabilities are scikit-learn's."""
    asked = (
        (dialect.one_path, dialect.one_body(work.singles[0]), work.single),
        (dialect.many_path, dialect.many_body(work.batches[0]), work.batch),
    )
    for path, body, expected in asked:
        answers = collect_answers(url + path, [body], 1)
        if not answers:
            raise WrongAnswer(f"{path} refused {len(expected)} rows")
        found = np.array(dialect.probabilities(answers[0]))
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=_TOLERANCE):
            raise WrongAnswer(f"{path} answered {len(expected)} rows otherwise than scikit-learn")


@dataclass(frozen=True)
class Contestant:
    """A running server, the way it is asked, and the log of its answers if it keeps one."""

    title: str
    url: str
    dialect: Dialect
    recorded: Recorded | None = None


@dataclass(frozen=True)
class Loads:
    """The loads that are put on two servers in turn, `rounds` times for `seconds` on each."""

    scratch: Path
    connections: Sequence[int]
    rounds: int
    seconds: int

    def singles(self, ours: Contestant, theirs: Contestant, work: Work) -> Iterator[Round]:
        """One row a request, at each number of connections."""
        for connections in self.connections:
            yield from self._rounds(ours, theirs, work, 1, connections)

    def batches(self, ours: Contestant, theirs: Contestant, work: Work) -> Iterator[Round]:
        """`BATCH_ROWS` rows a request."""
        yield from self._rounds(ours, theirs, work, BATCH_ROWS, BATCH_CONNECTIONS)

    def _rounds(self, ours: Contestant, theirs: Contestant, work: Work, rows: int, connections: int) -> Iterator[Round]:
        print(f"{theirs.title}: {rows:,} row(s) a request, {connections} connection(s) ...", flush=True)
        for number in range(self.rounds):
            # Who comes first changes: a machine may be getting slower, or faster.
            first, second = (ours, theirs) if number % 2 == 0 else (theirs, ours)
            found = {asked.title: self._measured(asked, work, rows, connections) for asked in (first, second)}
            yield Round(found[ours.title], found[theirs.title])

    def _measured(self, asked: Contestant, work: Work, rows: int, connections: int) -> Measurement:
        dialect, recorded = asked.dialect, asked.recorded
        if rows == 1:
            url, bodies = asked.url + dialect.one_path, [dialect.one_body(row) for row in work.singles]
        else:
            url, bodies = asked.url + dialect.many_path, [dialect.many_body(batch) for batch in work.batches]
        # Caches are cold and files not yet open: what users see is the state after the first second.
        put_load(url, bodies, connections, 1, self.scratch)
        before = recorded.settled_rows() if recorded is not None else 0
        load = put_load(url, bodies, connections, self.seconds, self.scratch)
        logged = recorded.settled_rows() - before if recorded is not None else None
        return Measurement(asked.title, rows, load, logged)
