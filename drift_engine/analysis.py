"""What a run finds: everything in a result that its inputs and settings decide. No clock, no files."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift_engine.data_quality.assess import assess_log, assess_table
from drift_engine.diagnosis import diagnosis
from drift_engine.early import early_signs
from drift_engine.estimation import estimate_quality
from drift_engine.explaining.explain import Explainer
from drift_engine.findings import Judged, Subject, any_detected, data_drift, unjudged
from drift_engine.quality import Quality, judge_quality, no_performance, no_quality, performance_of
from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.log_files import in_order
from drift_engine.reading.refusals import Refusals
from drift_engine.reference import Reference
from drift_engine.results.quality import Estimate, LabelCounts, Trend
from drift_engine.results.schema import (
    ConceptDrift,
    DataDrift,
    DataQuality,
    Independence,
    InputFile,
    JointDrift,
    Outcome,
    Performance,
    PredictionDrift,
    Rows,
    Window,
)
from drift_engine.scales import (
    JudgedScale,
    drawn_from,
    joint_scale,
    judge_all_together,
    judge_scales,
    scales_of,
    strongest,
    summarise,
    too_few,
)
from drift_engine.settings import DriftSettings
from drift_engine.statistics.clustering import independence
from drift_engine.subjects import ANSWERS_SHARE, INPUTS_SHARE, answer_subjects, input_subjects
from drift_engine.table import Table
from drift_engine.trend import with_trend
from gateway.registry import ModelCard


@dataclass(frozen=True)
class Findings:
    """The findings of one run, as `Result` has them. Alerts and the retraining decision follow from the whole result.

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
    scales: dict[str, Any]
    independence: Independence | None = None
    inputs: tuple[InputFile, ...] = ()
    data_quality: DataQuality | None = None
    labels: LabelCounts | None = None
    diagnosis: str = ""
    window_performance: Performance | None = None
    estimated: Estimate | None = None
    drawn_from: int = 0
    quality_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def analyse(
    card: ModelCard,
    window: Window,
    settings: DriftSettings,
    reference: Reference,
    live: LiveRows,
    refused: Refusals,
    trend: Trend | None = None,
) -> Findings:
    """Judge the rows of `live` on every time scale of the run; quality is measured on its newest labelled rows.

    Args:
        refused: what was asked in the window and is not among the rows.
        trend: of the days before the window's end, from the kept history.
    """
    quality = _quality(card, settings, reference, live)
    quality = dataclasses.replace(quality, concept_drift=with_trend(quality.concept_drift, trend))
    dropped = _dropped(live.dropped, refused.dropped, {"not finite answer": quality.not_finite})
    rows = Rows(int(live.in_window.sum()), dropped, live.corrupt + refused.corrupt, reference.table.rows)
    inputs, answers = input_subjects(card, settings), answer_subjects(card, settings)
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
        in_order((*live.inputs, *refused.inputs)),
        judge_all_together(inputs, joint_scale(window, settings), reference, live, settings),
    )
    found = _explained(card, found, reference, live.quality.take(quality.rows))
    # The window itself is the first scale.
    own = scales[0]
    current, findings = live.table.after(own.first), [item.finding for item in own.inputs]
    faults = assess_table(inputs, findings, reference.table, current, own.scale.alpha, settings)
    return dataclasses.replace(
        found,
        data_quality=assess_log(card, window, live, refused, faults),
        labels=live.labels,
        window_performance=performance_of(card, live.table.take(live.in_window), settings),
        estimated=_estimated(card, settings, reference, live, quality),
    )


def _dropped(*counts: Mapping[str, int]) -> dict[str, int]:
    """The counts by reason, summed up; without what is 0."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return {reason: count for reason, count in total.items() if count}


def _explained(card: ModelCard, found: Findings, reference: Reference, labelled: Table) -> Findings:
    """The findings with what they mean together; signs of concept drift only where labels give no verdict."""
    concept = found.concept_drift
    data, answers = found.data_drift, found.prediction_drift
    if concept.detected is None:
        concept = dataclasses.replace(concept, early=early_signs(card, data, answers, reference.baseline, labelled))
    said = diagnosis(data.detected, answers.detected, concept.detected, regression=card.task == "regression")
    return dataclasses.replace(found, concept_drift=concept, diagnosis=said)


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
    inputs = unjudged(input_subjects(card, settings), nothing, reason)
    answers = unjudged(answer_subjects(card, settings), nothing, reason)
    scales = tuple(JudgedScale(scale, 0, 0, inputs, answers) for scale in scales_of(window, settings))
    quality = no_quality(card, settings, reason)
    found = _findings(reason, Rows(0, {}, 0, 0), scales, inputs, answers, quality, settings, ())
    return dataclasses.replace(
        found, outcome="failed", independence=None, window_performance=no_performance(card, reason)
    )


def _quality(card: ModelCard, settings: DriftSettings, reference: Reference, live: LiveRows) -> Quality:
    quality = judge_quality(card, reference.baseline, live.quality, settings)
    # Of the older predictions those without a label are not there; they count all the same.
    performance = dataclasses.replace(quality.performance, labelled_ratio=live.labels.coverage)
    return dataclasses.replace(quality, performance=performance)


def _estimated(
    card: ModelCard, settings: DriftSettings, reference: Reference, live: LiveRows, quality: Quality
) -> Estimate:
    """Of the window's rows, or of as many of the newest as quality is measured on where there are fewer.

    It is held against the labelled rows that quality was measured on: labels come late, and a window has few itself.
    """
    in_window = len(live.times) - int(live.in_window.sum())
    newest = max(0, len(live.times) - settings.performance_rows)
    rows = live.table.after(min(in_window, newest))
    # Errors of a regression are estimated from its inputs, which only the rows of the span have.
    labelled = None if card.task == "regression" else live.quality.take(quality.rows)
    return estimate_quality(card, reference.baseline, rows, settings, labelled)


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
    joint: JointDrift | None = None,
) -> Findings:
    alpha = sum(item.scale.alpha for item in scales)
    data = data_drift(inputs, alpha * INPUTS_SHARE, settings, joint)
    found = tuple(item.finding for item in answers)
    prediction = PredictionDrift(any_detected(found), alpha * ANSWERS_SHARE, found)
    return Findings(
        outcome="ok" if reason is None else "insufficient_data",
        reason=reason,
        rows=rows,
        data_drift=data,
        prediction_drift=prediction,
        performance=quality.performance,
        concept_drift=quality.concept_drift,
        scales=summarise(scales),
        independence=independence([(item.finding.column, item.clustering) for item in inputs + answers]),
        inputs=files,
        drawn_from=drawn_from(scales, inputs + answers),
        quality_rows=quality.rows,
    )
