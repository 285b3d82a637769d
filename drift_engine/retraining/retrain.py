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
from dataclasses import dataclass
from typing import Any

import numpy as np

from drift_engine.paired.compare import compare, deciding_figures
from drift_engine.paired.schema import PairedComparison
from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.logged import differing, score_rows, take_rows
from drift_engine.retraining.evidence import calibration, class_figures, metrics_of, slices_of
from drift_engine.retraining.fit import fit_candidate, frozen_parts, scorable
from drift_engine.retraining.labelled_log import LabelledLog, read_labelled_log
from drift_engine.retraining.page import model_report_page
from drift_engine.retraining.rows import (
    LabelledRows,
    Order,
    equal_rows,
    labelled_rows,
    refuse_few_of_a_class,
    split_in_time,
    widened,
)
from drift_engine.retraining.rows_to_fit import RowsToFit, Source, rows_to_fit, used_of
from drift_engine.retraining.schema import DOCUMENT, PAGE, ModelReport, encode
from drift_engine.retraining.train_table import TrainTable, read_train
from drift_engine.run import Progress
from gateway.files import make_dirs, write_atomically
from gateway.registry import Feature, ModelCard, Registry
from gateway.registry.artifact import load_verified
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
    to_fit = rows_to_fit(paths, registry, order, train, older, newest, progress)
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
    to_fit: RowsToFit,
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
        judged=used_of(card, Source(f"log of version {card.version}", judged.live)),
        labels_after_split=to_fit.labels_after_split,
        left_out=log.left_out | to_fit.left_out,
        champion_metrics=metrics_of(card, truth, judged.champion),
        candidate_metrics=metrics_of(card, truth, judged.candidate),
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
