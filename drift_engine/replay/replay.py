"""A replay from beginning to end: read the log, ask the version, compare, write. Nothing is promoted or logged.

Write order: `changes.csv`, `replay.html`, then `replay.json`, the commit point: a folder without it is no replay.
"""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from drift_engine.errors import DriftError
from drift_engine.paired.compare import CannotCompare, compare, deciding_figures
from drift_engine.paired.schema import PairedComparison
from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.logged import (
    ALIKE,
    Refused,
    answers_of,
    differing,
    labels_of,
    labels_usable,
    moment_text,
    read_log,
    refused_by,
    registry_columns,
    score_rows,
    take_rows,
)
from drift_engine.reading.parsing import moment
from drift_engine.replay.changes import changes_document, largest_rows
from drift_engine.replay.page import replay_page
from drift_engine.replay.schema import Replay, Share, Spread, encode
from drift_engine.replay.where import segments_of
from drift_engine.results.quality import Confusion
from drift_engine.retraining.schema import DOCUMENT as MODEL_REPORT
from drift_engine.retraining.schema import ModelReport
from drift_engine.run import Progress
from gateway.clock import utc_text
from gateway.files import make_dirs, write_atomically
from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import load_verified
from gateway.registry.columns import class_text
from gateway.registry.inference import Answers
from gateway.registry.intervals import wilson
from gateway.settings import Paths

PAGE, DOCUMENT, CHANGES = "replay.html", "replay.json", "changes.csv"
#: With fewer labelled rows nothing is said of which version is right.
LABELLED_MIN = 100
_BINS = 40
_LIBRARIES = ("scikit-learn", "numpy", "scipy")


class NothingToReplay(DriftError):
    """No logged row, or none that the version takes."""


@dataclass(frozen=True)
class Order:
    """What was asked for: a version, the one whose log is replayed, and which part of it (RFC 3339 in UTC)."""

    card: ModelCard
    log: ModelCard
    since: str
    until: str
    rows_max: int
    seed: int


@dataclass(frozen=True)
class _Asked:
    """The replayed rows: what was logged, what the version says now, and how far that is from it, per row.

    `change`: signed where it has a sign; `what` it is of. `changed`: predictions that differ.
    """

    live: LiveRows
    logged: Answers
    now: Answers
    change: NDArray[np.float64]
    what: str
    changed: NDArray[np.bool_]


def new_replay_id(started: float) -> str:
    """A name that sorts by time and does not collide, e.g. 20261120T151139.123456Z-1a2b3c."""
    moment = datetime.fromtimestamp(started, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{moment}-{secrets.token_hex(3)}"


def replay(paths: Paths, order: Order, *, replay_id: str, now: float, progress: Progress) -> tuple[Replay, Path]:
    """Ask a version what was logged; write and return the replay, and its folder.

    Raises:
        NothingToReplay: no logged row, or none that the version takes.
        RegistryError: its artifact is not the registered one, or it cannot score the rows.
        OSError: it cannot be written.
    """
    registry = Registry(paths.models, paths.reference)
    progress.stage("loading the version")
    model = load_verified(registry.folder(order.card.name, order.card.version), order.card)
    progress.stage(f"reading the log of version {order.log.version}")
    live = read_log(
        paths, order.log, since=order.since, until=order.until, rows_max=order.rows_max, progress=progress.files
    )
    if live.table.rows == 0:
        raise NothingToReplay(f"the log of {order.log.name} {order.log.version} holds no row of that time")
    refused = refused_by(order.card, live.table)
    taken = take_rows(live, ~refused.rows)
    if taken.table.rows == 0:
        raise NothingToReplay(
            f"{order.card.name} {order.card.version} would refuse all {live.table.rows:,} logged rows: "
            + "; ".join(f"{reason} ({count:,})" for reason, count in refused.reasons.items())
        )
    progress.stage(f"asking version {order.card.version} about {taken.table.rows:,} rows")
    asked = _ask(model, order, taken)
    progress.stage("comparing")
    compared, notes = _compare(paths, order, asked), _notes(paths, order)
    rows = largest_rows(asked.change, asked.changed)
    found = _describe(
        order, asked, replay_id, now, compared, notes, len(rows), refused, live.dropped, live.corrupt
    )  # fmt: skip
    document = changes_document(order.log, take_rows(asked.live, rows), asked.logged, asked.now, asked.change, rows)
    folder = paths.reports / order.card.name / order.card.version / "replays" / replay_id
    make_dirs(folder)
    write_atomically(folder / CHANGES, document)
    write_atomically(folder / PAGE, replay_page(found).encode())
    write_atomically(folder / DOCUMENT, encode(found))
    return found, folder


def _ask(model: Any, order: Order, live: LiveRows) -> _Asked:
    logged = answers_of(order.log, live.table)
    now = _in_order_of(order, score_rows(model, order.card, registry_columns(order.card.features, live.table)))
    if order.log.task == "regression":
        change = now.predictions - logged.predictions
        changed = ~np.isclose(logged.predictions, now.predictions, rtol=ALIKE, atol=ALIKE)
        return _Asked(live, logged, now, change, "prediction", changed)
    changed = np.asarray(logged.predictions != now.predictions, dtype=np.bool_)
    if logged.probabilities is None or now.probabilities is None:
        return _Asked(live, logged, now, changed.astype(np.float64), "prediction (1: another class)", changed)
    moved = now.probabilities - logged.probabilities
    if order.log.positive_class is not None:
        place = order.log.classes.index(order.log.positive_class)
        what = f"probability of {class_text(order.log.positive_class)}"
        return _Asked(live, logged, now, moved[:, place], what, changed)
    return _Asked(live, logged, now, np.abs(moved).sum(axis=1) / 2, "total variation of the probabilities", changed)


def _in_order_of(order: Order, answers: Answers) -> Answers:
    """The version's probabilities in the order of the log's classes."""
    if answers.probabilities is None:
        return answers
    places = [order.card.classes.index(label) for label in order.log.classes]
    return Answers(answers.predictions, answers.probabilities[:, places], answers.confidence, answers.is_argmax)


def _compare(paths: Paths, order: Order, asked: _Asked) -> tuple[PairedComparison | None, str | None]:
    """Which of the two was right, on rows that the version was not fitted on; or why that is not said."""
    if order.card.version == order.log.version:
        return None, "a version is not compared with itself"
    known = labels_usable(order.log, asked.live.table)
    since = unfitted_since(paths, order.card)
    if since is not None:
        known &= asked.live.times >= since
    if (count := int(known.sum())) < LABELLED_MIN:
        where = " that it was not fitted on" if since is not None else ""
        return None, f"{count:,} labelled rows{where}; {LABELLED_MIN} are needed to say which version is right"
    truth = labels_of(asked.live.table)[known]
    sides = [_some(answers, known) for answers in (asked.logged, asked.now)]
    try:
        deciding = deciding_figures(order.log)[0]
        return compare(order.log, truth, *sides, deciding=deciding, seed=order.seed), None
    except CannotCompare as error:
        return None, str(error)


def unfitted_since(paths: Paths, card: ModelCard) -> int | None:
    """From when on (microseconds) a retrained version was not fitted on what was logged; None where it is not known."""
    path = paths.reports / card.name / card.version / MODEL_REPORT
    try:
        report = msgspec.json.decode(path.read_bytes(), type=ModelReport)
    except (OSError, ValueError):
        return None
    if report.artifact_sha256 != card.artifact.record.sha256 or report.judged.first is None:
        return None
    return moment(report.judged.first)


def _some(answers: Answers, rows: NDArray[np.bool_]) -> Answers:
    shares = None if answers.probabilities is None else answers.probabilities[rows]
    sure = None if answers.confidence is None else answers.confidence[rows]
    return Answers(answers.predictions[rows], shares, sure, answers.is_argmax)


def _notes(paths: Paths, order: Order) -> tuple[str, ...]:
    if order.card.version == order.log.version:
        return ()
    if (since := unfitted_since(paths, order.card)) is not None:
        return (
            f"version {order.card.version} was fitted on labelled rows from before {moment_text(since)}: which version "
            "is right is told of later rows alone",
        )
    return (
        "whether the version was fitted on some of these rows is not known; if it was, it looks better here than it is",
    )


def _describe(
    order: Order,
    asked: _Asked,
    replay_id: str,
    now: float,
    compared: tuple[PairedComparison | None, str | None],
    notes: tuple[str, ...],
    largest: int,
    refused: Refused,
    dropped: dict[str, int],
    corrupt: int,
) -> Replay:
    card, log, live = order.card, order.log, asked.live
    size = np.abs(asked.change) if log.task == "regression" else asked.changed.astype(np.float64)
    itself = card.version == log.version
    return Replay(
        replay_id=replay_id,
        model_name=card.name,
        model_version=card.version,
        log_version=log.version,
        made_at=utc_text(now),
        since=moment_text(live.times[0]),
        until=moment_text(live.times[-1]),
        rows=live.table.rows,
        refused_rows=int(refused.rows.sum()),
        refused=refused.reasons,
        changed=_share(int(asked.changed.sum()), live.table.rows),
        differing=int(differing(log, live.table, asked.now).sum()) if itself else None,
        largest_difference=_largest_difference(asked),
        confusion=None if log.task == "regression" else _confusion(log, asked),
        spread=_spread(asked),
        segments=segments_of(log.features, live.table, size),
        comparison=compared[0],
        comparison_reason=compared[1],
        largest=largest,
        notes=notes,
        dropped=dropped,
        corrupt=corrupt,
        artifact_sha256=card.artifact.record.sha256,
        inputs=live.inputs,
        seed=order.seed,
        libraries={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _LIBRARIES},
    )


def _share(count: int, rows: int) -> Share:
    return Share(count, rows, count / rows, *wilson(count, rows))


def _largest_difference(asked: _Asked) -> float:
    """Of any number in the answers; where there is none, 1 for another class."""
    before, now = asked.logged.probabilities, asked.now.probabilities
    moved = np.abs(asked.change) if before is None or now is None else np.abs(now - before)
    return float(moved.max(initial=0.0))


def _confusion(log: ModelCard, asked: _Asked) -> Confusion:
    classes = tuple(class_text(label) for label in log.classes)
    place = {text: code for code, text in enumerate(classes)}
    before, now = ([place[text] for text in side.predictions] for side in (asked.logged, asked.now))
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (before, now), 1)
    return Confusion(classes, tuple(tuple(int(count) for count in row) for row in counts))


def _spread(asked: _Asked) -> Spread:
    change = asked.change
    shares = (0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0)
    low, p01, p10, p50, p90, p99, high = (float(value) for value in np.quantile(change, shares))
    # A histogram needs some width, also when nothing moved.
    reach = max(abs(low), abs(high)) or 1.0
    counts, edges = np.histogram(change, bins=_BINS, range=(-reach, reach))
    return Spread(
        asked.what, float(change.mean()), low, p01, p10, p50, p90, p99, high,
        edges=tuple(float(edge) for edge in edges), counts=tuple(int(count) for count in counts),
    )  # fmt: skip
