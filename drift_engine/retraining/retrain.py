"""Retraining from beginning to end: read, split, fit, judge both, register, report. Nothing is promoted here.

The report's files are written before the version becomes visible, so there is no version without its report. Killed at
any moment, this leaves either no candidate or a whole one; a report whose version never came is overwritten by the next
retraining, which takes the same number.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from drift_engine.live_log import LiveRows
from drift_engine.logged import differing, moment_text, score_rows, take_rows
from drift_engine.paired.compare import compare, deciding_figures
from drift_engine.paired.schema import PairedComparison
from drift_engine.results.schema import InputFile
from drift_engine.retraining.evidence import calibration, class_figures, metrics_of, slices_of
from drift_engine.retraining.fit import fit_candidate, frozen_parts, scorable
from drift_engine.retraining.labelled_log import LabelledLog, read_labelled_log
from drift_engine.retraining.page import model_report_page
from drift_engine.retraining.rows import (
    LabelledRows,
    Limits,
    equal_rows,
    labelled_rows,
    refuse_few_of_a_class,
    split_in_time,
    together,
    widened,
)
from drift_engine.retraining.schema import DOCUMENT, PAGE, ModelReport, RowsUsed, encode
from drift_engine.retraining.train_table import TrainTable, read_train
from drift_engine.run import Progress
from gateway.files import make_dirs, write_atomically
from gateway.registry import Feature, ModelCard, Registry, RegistryError
from gateway.registry.artifact import load_verified
from gateway.registry.compatibility import refuse_unlike
from gateway.registry.frames import frame_of
from gateway.registry.inference import Answers, score
from gateway.registry.register import register_successor
from gateway.registry.table import Column
from gateway.settings import Paths

_LIBRARIES = ("scikit-learn", "numpy", "scipy", "pandas")
_PARAMETERS_LENGTH_MAX = 4000
_NOT_CHECKED = (
    "inputs unlike those of the newest labelled rows",
    "rows without a label, which may differ from those that have one",
    "speed and memory: make shadow shows them under real requests",
    "whether groups of people are treated alike",
)


@dataclass(frozen=True)
class Order:
    """What was asked for.

    Attributes:
        card: the champion.
        train: the original training table, if it is to be fitted on, too.
        deciding: the figure that decides; None for the first of `paired.compare.deciding_figures`.
    """

    card: ModelCard
    train: Path | None
    deciding: str | None
    limits: Limits
    seed: int


@dataclass(frozen=True)
class _Source:
    """Labelled rows of one version's log, in order of time."""

    name: str
    live: LiveRows


@dataclass(frozen=True)
class _ToFit:
    """The rows to fit: where they come from, what was left out, and the files that were read for them."""

    rows: LabelledRows
    used: tuple[RowsUsed, ...]
    labels_after_split: int
    left_out: dict[str, int]
    notes: tuple[str, ...]
    inputs: tuple[InputFile, ...]


@dataclass(frozen=True)
class _Judged:
    """Both models on the rows that neither was fitted on."""

    live: LiveRows
    rows: LabelledRows
    champion: Answers
    candidate: Answers
    comparison: PairedComparison


def retrain(paths: Paths, order: Order, *, now: float, progress: Progress) -> ModelReport:
    """Fit, judge and register a candidate, and write its model report beside its future results.

    Raises:
        TooFewRows: with what is lacking.
        CannotRetrain, RegistryError, CannotCompare: in one sentence; nothing was registered then.
    """
    registry, card = Registry(paths.models, paths.reference), order.card
    progress.stage("loading the champion")
    champion = load_verified(registry.folder(card.name, card.version), card)
    train = None if order.train is None else read_train(order.train, champion, card)
    progress.stage(f"reading the log of version {card.version}")
    log = read_labelled_log(paths, card, rows_max=order.limits.rows_max, progress=progress.files)
    live = log.live
    cut = split_in_time(live, order.limits)
    older, newest = take_rows(live, np.arange(cut)), take_rows(live, np.arange(cut, live.table.rows))
    rows = labelled_rows(card, newest)
    to_fit = _rows_to_fit(paths, registry, order, train, older, newest, progress)
    refuse_few_of_a_class(card, to_fit.rows, rows, order.limits)

    features = widened(card.features, [to_fit.rows, rows])
    progress.stage(f"fitting on {to_fit.rows.rows:,} rows")
    candidate = fit_candidate(champion, card, features, to_fit.rows, order.seed)
    features, losses = scorable(candidate, card, features, rows.columns)
    progress.stage(f"judging both on {rows.rows:,} rows")
    judged = _judge(order, champion, candidate, features, newest, rows)
    notes = (*to_fit.notes, *losses, *_notes_on(champion, card, judged), *_duplicates(features, train, rows))
    reports: list[ModelReport] = []

    def before_commit(successor: ModelCard) -> None:
        report = _report(order, successor, candidate, judged, to_fit, log, notes)
        _write(paths, report)
        reports.append(report)

    register_successor(
        candidate,
        card,
        features,
        rows.columns,
        _target_column(card, rows),
        registry=registry,
        now=now,
        before_commit=before_commit,
        progress=_as_steps(progress),
    )
    return reports[0]


def _rows_to_fit(
    paths: Paths,
    registry: Registry,
    order: Order,
    train: TrainTable | None,
    older: LiveRows,
    newest: LiveRows,
    progress: Progress,
) -> _ToFit:
    """The table first, then the logs' rows in order of time; of too many the newest."""
    card, split = order.card, int(newest.times[0])
    others, left_out, notes, inputs = _other_versions(paths, registry, order, split, progress)
    found = [_Source(f"log of version {card.version}", older), *others]
    sources = _newest_of(found, order.limits.rows_max)
    if (count := _count(sources)) < _count(found):
        notes += (f"only the newest {count:,} of {_count(found):,} logged rows are fitted (--rows-max)",)
    logged = together([labelled_rows(card, source.live) for source in sources])
    by_time = np.argsort(np.concatenate([source.live.times for source in sources]), kind="stable")
    received = np.concatenate([_received(source.live) for source in sources])
    used = [_used(card, source) for source in sources]
    parts = [logged.take(by_time)]
    if train is not None and order.train is not None:
        room = max(0, order.limits.rows_max - count)
        table = train.labelled.take(np.arange(max(0, train.labelled.rows - room), train.labelled.rows))
        if table.rows < train.labelled.rows:
            notes += (f"of {order.train.name} only the last {table.rows:,} rows are fitted (--rows-max)",)
        parts.insert(0, table)
        used.insert(0, RowsUsed(order.train.name, table.rows, None, None, table.classes(card), train.sha256))
        if train.left_out:
            left_out["of the table, without a target"] = train.left_out
    late = int(np.sum(received >= split))
    return _ToFit(together(parts), tuple(used), late, left_out, notes, inputs)


def _newest_of(sources: Sequence[_Source], rows_max: int) -> list[_Source]:
    """The newest `rows_max` rows of all sources together; those without any are left out."""
    times = np.concatenate([source.live.times for source in sources])
    kept = np.zeros(len(times), dtype=np.bool_)
    kept[np.argsort(times, kind="stable")[-rows_max:]] = True
    ends = np.cumsum([len(source.live.times) for source in sources])[:-1]
    return [
        replace(source, live=take_rows(source.live, mask))
        for source, mask in zip(sources, np.split(kept, ends), strict=True)
        if mask.any()
    ]


def _count(sources: Sequence[_Source]) -> int:
    return sum(source.live.table.rows for source in sources)


def _other_versions(
    paths: Paths, registry: Registry, order: Order, split: int, progress: Progress
) -> tuple[list[_Source], dict[str, int], tuple[str, ...], tuple[InputFile, ...]]:
    """Labelled rows that other versions of the model answered before the split: they may be fitted, never judged.

    The champion may have been fitted on them itself, so it must not be judged on them.
    """
    sources: list[_Source] = []
    left_out: dict[str, int] = {}
    notes: list[str] = []
    inputs: dict[str, InputFile] = {}
    for version in registry.versions(order.card.name):
        if version == order.card.version:
            continue
        try:
            other = registry.card(order.card.name, version)
            refuse_unlike(order.card, other)
        except RegistryError as error:
            notes.append(f"the log of version {version} is not used: {error}")
            continue
        progress.stage(f"reading the log of version {version}")
        until = moment_text(split)
        log = read_labelled_log(paths, other, rows_max=order.limits.rows_max, until=until, progress=progress.files)
        inputs |= {file.path: file for file in log.inputs if file.log == "predictions"}
        if log.live.table.rows:
            sources.append(_Source(f"log of version {version}", log.live))
            left_out |= {f"of version {version}, {reason}": count for reason, count in log.left_out.items()}
    return sources, left_out, tuple(notes), tuple(inputs.values())


def _judge(
    order: Order, champion: Any, candidate: Any, features: Sequence[Feature], newest: LiveRows, rows: LabelledRows
) -> _Judged:
    card = order.card
    before = score_rows(champion, card, rows.columns)
    after = score(candidate, frame_of(features, [column.inputs() for column in rows.columns]), card.classes)
    deciding = order.deciding or deciding_figures(card)[0]
    comparison = compare(card, rows.truth, before, after, deciding=deciding, seed=order.seed)
    return _Judged(newest, rows, before, after, comparison)


def _notes_on(champion: Any, card: ModelCard, judged: _Judged) -> tuple[str, ...]:
    notes = []
    if judged.comparison.dependence is not None:
        notes.append(judged.comparison.dependence)
    if changed := int(differing(card, judged.live.table, judged.champion).sum()):
        notes.append(
            f"version {card.version} answers {changed:,} of the judged rows otherwise now than it did when they were "
            "logged; what it answers now is compared (make replay shows where)"
        )
    if frozen := frozen_parts(champion):
        notes.append(f"{', '.join(frozen)} inside the pipeline is frozen: it keeps what it learned before")
    return tuple(notes)


def _duplicates(features: Sequence[Feature], train: TrainTable | None, judged: LabelledRows) -> tuple[str, ...]:
    if train is None or not (count := equal_rows(features, judged, train.labelled)):
        return ()
    return (
        f"{count:,} of the {judged.rows:,} judged rows stand in the training table, too, value for value: if they are "
        "the same events and not merely alike, the candidate has seen what it was judged on",
    )


def _report(
    order: Order,
    successor: ModelCard,
    candidate: Any,
    judged: _Judged,
    to_fit: _ToFit,
    log: LabelledLog,
    notes: tuple[str, ...],
) -> ModelReport:
    card, truth, sides = order.card, judged.rows.truth, (judged.champion, judged.candidate)
    is_classifier = card.task != "regression"
    return ModelReport(
        model_name=card.name,
        model_version=successor.version,
        champion=card.version,
        made_at=successor.created_at,
        task=card.task,
        estimator=successor.estimator,
        parameters=str(candidate)[:_PARAMETERS_LENGTH_MAX],
        comparison=judged.comparison,
        fitted=to_fit.used,
        judged=_used(card, _Source(f"log of version {card.version}", judged.live)),
        labels_after_split=to_fit.labels_after_split,
        left_out=log.left_out | to_fit.left_out,
        champion_metrics=metrics_of(card, truth, judged.champion, order.seed),
        candidate_metrics=metrics_of(card, truth, judged.candidate, order.seed),
        classes=class_figures(card, truth, *sides) if is_classifier else (),
        slices=slices_of(card, judged.live.times, truth, *sides),
        champion_calibration=calibration(card, truth, judged.champion),
        candidate_calibration=calibration(card, truth, judged.candidate),
        notes=notes,
        not_checked=_NOT_CHECKED,
        artifact_sha256=successor.artifact.record.sha256,
        champion_artifact_sha256=card.artifact.record.sha256,
        reference_sha256=successor.reference.sha256,
        inputs=(*log.inputs, *to_fit.inputs),
        seed=order.seed,
        libraries={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _LIBRARIES},
    )


def _write(paths: Paths, report: ModelReport) -> None:
    folder = paths.reports / report.model_name / report.model_version
    make_dirs(folder)
    write_atomically(folder / PAGE, model_report_page(report).encode())
    write_atomically(folder / DOCUMENT, encode(report))


def _used(card: ModelCard, source: _Source) -> RowsUsed:
    rows, times = labelled_rows(card, source.live), source.live.times
    first, last = (moment_text(times[0]), moment_text(times[-1])) if len(times) else (None, None)
    return RowsUsed(source.name, rows.rows, first, last, rows.classes(card))


def _received(live: LiveRows) -> Any:
    assert live.received is not None  # `read_log` asks for the keys
    return live.received


def _target_column(card: ModelCard, rows: LabelledRows) -> Column:
    known = np.zeros(rows.rows, dtype=np.bool_)
    if card.task == "regression":
        return Column(card.target, "number", rows.truth, known, "numbers")
    return Column(card.target, "category", rows.truth, known, "texts")


def _as_steps(progress: Progress) -> Callable[[str], AbstractContextManager[None]]:
    """Progress as registering tells it."""

    @contextlib.contextmanager
    def step(what: str) -> Iterator[None]:
        progress.stage(what)
        yield

    return step
