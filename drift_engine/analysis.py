"""What a run finds: everything in a result that its inputs and settings decide. No clock, no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift_engine.alerts import decide_retraining, raise_alerts
from drift_engine.clustering import independence
from drift_engine.data_quality.assess import assess_log, assess_table
from drift_engine.explain import Explainer
from drift_engine.findings import Judged, Subject, any_detected, data_drift, unjudged
from drift_engine.live_log import LiveRows
from drift_engine.quality import Quality, judge_quality, no_quality
from drift_engine.reference import Reference
from drift_engine.results.quality import LabelCounts
from drift_engine.results.schema import (
    Alert,
    ConceptDrift,
    DataDrift,
    DataQuality,
    Independence,
    InputFile,
    Outcome,
    Performance,
    PredictionDrift,
    Retraining,
    Rows,
    Window,
)
from drift_engine.scales import JudgedScale, drawn_from, judge_scales, scales_of, strongest, summarise, too_few
from drift_engine.settings import DriftSettings
from drift_engine.subjects import ANSWERS_SHARE, INPUTS_SHARE, answer_subjects, input_subjects
from drift_engine.table import Table
from gateway.registry import ModelCard


@dataclass(frozen=True)
class Findings:
    """The findings of one run, as `Result` has them.

    Attributes:
        quality_rows: positions in the live rows' `quality` of those that it was measured on.
        drawn_from: position in the live table of the first row that the plots show.
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
    scales: dict[str, Any]
    independence: Independence | None = None
    inputs: tuple[InputFile, ...] = ()
    data_quality: DataQuality | None = None
    labels: LabelCounts | None = None
    drawn_from: int = 0
    quality_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def analyse(card: ModelCard, window: Window, settings: DriftSettings, reference: Reference, live: LiveRows) -> Findings:
    """Judge the rows of `live` on every time scale of the run; quality is measured on its newest labelled rows."""
    quality = _quality(card, settings, reference, live)
    not_judged = {"not finite answer": quality.not_finite} if quality.not_finite else {}
    rows = Rows(int(live.in_window.sum()), live.dropped | not_judged, live.corrupt, reference.table.rows)
    inputs, answers = input_subjects(card, settings.importance_share), answer_subjects(card)
    scales = judge_scales((inputs, answers), scales_of(window, settings), reference, live, settings)
    explainers = _Explainers(inputs, scales, reference, live, settings)
    found = _findings(
        _reason(scales, settings),
        rows,
        scales,
        explainers.explained(strongest([(item.scale, item.inputs) for item in scales]), inputs, INPUTS_SHARE),
        explainers.explained(strongest([(item.scale, item.answers) for item in scales]), answers, ANSWERS_SHARE),
        quality,
        settings,
        live.inputs,
    )
    # The window itself is the first scale.
    own = scales[0]
    current, findings = live.table.after(own.first), [item.finding for item in own.inputs]
    faults = assess_table(inputs, findings, reference.table, current, own.scale.alpha, settings)
    return dataclasses.replace(found, data_quality=assess_log(card, window, live, faults), labels=live.labels)


class _Explainers:
    """Explains findings on the rows of the time scale that each is of. `inputs`: what may be a segment."""

    def __init__(
        self,
        inputs: Sequence[Subject],
        scales: Sequence[JudgedScale],
        reference: Reference,
        live: LiveRows,
        settings: DriftSettings,
    ) -> None:
        self._settings = settings
        self._alphas = {item.scale.name: item.scale.alpha for item in scales}
        self._explainers = {
            item.scale.name: Explainer(
                inputs, reference.table, live.table.after(item.first), live.times[item.first :], settings
            )
            for item in scales
        }

    def explained(self, judged: Sequence[Judged], subjects: Sequence[Subject], share: float) -> tuple[Judged, ...]:
        """The same findings, the first `explained_columns_max` of those that moved with onset and segments.

        Args:
            share: of the run's budget, for all of `subjects`.
        """
        by_name = {subject.name: subject for subject in subjects}
        most = self._settings.explained_columns_max
        return tuple(
            self._explain(item, by_name[item.finding.column], share)
            if position < most and item.finding.detected
            else item
            for position, item in enumerate(judged)
        )

    def _explain(self, item: Judged, subject: Subject, share: float) -> Judged:
        scale = item.finding.scale
        return self._explainers[scale].explained(item, subject, self._alphas[scale] * share * subject.weight)


def no_analysis(card: ModelCard, window: Window, settings: DriftSettings, reason: str) -> Findings:
    """The findings of a run that could not look: nothing is known, and `reason` says why."""
    nothing = Table({}, 0)
    inputs = unjudged(input_subjects(card, settings.importance_share), nothing, reason)
    answers = unjudged(answer_subjects(card), nothing, reason)
    scales = tuple(JudgedScale(scale, 0, 0, inputs, answers) for scale in scales_of(window, settings))
    quality = no_quality(card, settings, reason)
    found = _findings(reason, Rows(0, {}, 0, 0), scales, inputs, answers, quality, settings, ())
    return dataclasses.replace(found, outcome="failed", independence=None)


def _quality(card: ModelCard, settings: DriftSettings, reference: Reference, live: LiveRows) -> Quality:
    quality = judge_quality(card, reference.baseline, live.quality, settings)
    # Of the older predictions those without a label are not there; they count all the same.
    performance = dataclasses.replace(quality.performance, labelled_ratio=live.labels.coverage)
    return dataclasses.replace(quality, performance=performance)


def _reason(scales: Sequence[JudgedScale], settings: DriftSettings) -> str | None:
    """Why there is no verdict on the inputs; None when any scale has one."""
    if any(item.finding.detected is not None for scale in scales for item in scale.inputs):
        return None
    rows = max(scale.rows for scale in scales)
    return too_few(rows, settings) if rows < settings.minimum_rows else "no column has enough values to be judged"


def _findings(
    reason: str | None,
    rows: Rows,
    scales: tuple[JudgedScale, ...],
    inputs: tuple[Judged, ...],
    answers: tuple[Judged, ...],
    quality: Quality,
    settings: DriftSettings,
    files: tuple[InputFile, ...],
) -> Findings:
    alpha = sum(item.scale.alpha for item in scales)
    data = data_drift(inputs, alpha * INPUTS_SHARE, settings)
    found = tuple(item.finding for item in answers)
    prediction = PredictionDrift(any_detected(found), alpha * ANSWERS_SHARE, found)
    concept = quality.concept_drift
    alerts = raise_alerts(data, prediction, quality.performance, concept)
    return Findings(
        outcome="ok" if reason is None else "insufficient_data",
        reason=reason,
        rows=rows,
        data_drift=data,
        prediction_drift=prediction,
        performance=quality.performance,
        concept_drift=concept,
        alerts=alerts,
        retraining=decide_retraining(data, prediction, concept, alerts),
        scales=summarise(scales),
        independence=independence([(item.finding.column, item.clustering) for item in inputs + answers]),
        inputs=files,
        drawn_from=drawn_from(scales, inputs + answers),
        quality_rows=quality.rows,
    )
