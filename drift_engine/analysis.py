"""What a run finds: everything in a result that its inputs and settings decide. No clock, no files."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drift_engine.alerts import decide_retraining, raise_alerts
from drift_engine.findings import Judged, any_detected, data_drift, judge, unjudged
from drift_engine.live_log import LiveRows
from drift_engine.quality import Quality, judge_quality, no_quality
from drift_engine.reference import Reference
from drift_engine.results.schema import (
    Alert,
    ConceptDrift,
    DataDrift,
    InputFile,
    Outcome,
    Performance,
    PredictionDrift,
    Retraining,
    Rows,
    Window,
)
from drift_engine.settings import DriftSettings
from drift_engine.subjects import ANSWERS_SHARE, INPUTS_SHARE, answer_subjects, input_subjects
from drift_engine.table import Table
from gateway.registry import ModelCard


@dataclass(frozen=True)
class Findings:
    """The findings of one run, as `Result` has them.

    `quality_rows`: positions in the live table of the rows that quality was measured on.
    """

    outcome: Outcome
    reason: str | None
    rows: Rows
    data_drift: DataDrift
    prediction_drift: PredictionDrift
    performance: Performance
    concept_drift: ConceptDrift
    alerts: tuple[Alert, ...]
    retraining: Retraining
    inputs: tuple[InputFile, ...] = ()
    quality_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def analyse(card: ModelCard, window: Window, settings: DriftSettings, reference: Reference, live: LiveRows) -> Findings:
    """Judge the rows of `live` that lie in the window; quality is measured on its newest labelled rows."""
    current = live.table.take(live.in_window)
    budget = settings.run_budget(window.kind == "scheduled")
    quality = judge_quality(card, reference.baseline, live.table, settings)
    inputs, answers = input_subjects(card, settings.importance_share), answer_subjects(card)
    not_judged = {"not finite answer": quality.not_finite} if quality.not_finite else {}
    rows = Rows(current.rows, live.dropped | not_judged, live.corrupt, reference.table.rows)
    if current.rows < settings.minimum_rows:
        reason: str | None = f"{current.rows} rows of {settings.minimum_rows} needed"
        judged = [unjudged(subjects, current, str(reason)) for subjects in (inputs, answers)]
    else:
        judged = [
            judge(inputs, reference.table, current, budget * INPUTS_SHARE, settings),
            judge(answers, reference.table, current, budget * ANSWERS_SHARE, settings),
        ]
        reason = None if _any_verdict(judged[0]) else "no column has enough values to be judged"
    outcome: Outcome = "ok" if reason is None else "insufficient_data"
    return _findings(outcome, reason, rows, judged[0], judged[1], quality, budget, settings, live.inputs)


def no_analysis(card: ModelCard, window: Window, settings: DriftSettings, reason: str) -> Findings:
    """The findings of a run that could not look: nothing is known, and `reason` says why."""
    budget = settings.run_budget(window.kind == "scheduled")
    nothing = Table({}, 0)
    return _findings(
        "failed",
        reason,
        Rows(0, {}, 0, 0),
        unjudged(input_subjects(card, settings.importance_share), nothing, reason),
        unjudged(answer_subjects(card), nothing, reason),
        no_quality(card, settings, reason),
        budget,
        settings,
        (),
    )


def _findings(
    outcome: Outcome,
    reason: str | None,
    rows: Rows,
    inputs: tuple[Judged, ...],
    answers: tuple[Judged, ...],
    quality: Quality,
    budget: float,
    settings: DriftSettings,
    files: tuple[InputFile, ...],
) -> Findings:
    data = data_drift(inputs, budget * INPUTS_SHARE, settings)
    found = tuple(item.finding for item in answers)
    prediction = PredictionDrift(any_detected(found), budget * ANSWERS_SHARE, found)
    concept = quality.concept_drift
    alerts = raise_alerts(data, prediction, quality.performance, concept)
    return Findings(
        outcome=outcome,
        reason=reason,
        rows=rows,
        data_drift=data,
        prediction_drift=prediction,
        performance=quality.performance,
        concept_drift=concept,
        alerts=alerts,
        retraining=decide_retraining(data, prediction, concept, alerts),
        inputs=files,
        quality_rows=quality.rows,
    )


def _any_verdict(judged: tuple[Judged, ...]) -> bool:
    return any(item.finding.detected is not None for item in judged)
