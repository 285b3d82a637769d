"""The gauges of one moment, built from the newest results. Names and labels are an interface: dashboards use them.

A figure that is not known is absent, never 0: with too little data there is no verdict to show.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from prometheus_client.core import GaugeMetricFamily

from drift_engine.results import Latest, Result
from drift_engine.results.schema import DataDrift, DataQuality, Outcome, QualityKind, Severity
from exporter.gauges import Gauges
from exporter.quality_gauges import history_gauges, incident_gauges, performance_gauges, quality_gauges
from exporter.sources import LogState, ModelState
from gateway.log.outcomes import Outcome as LogCommand

#: Names of the drift engine's alerts. Fixed, so that an alert that is over goes back to 0 instead of away.
ALERTS = (
    "data_drift_score",
    "drifted_columns",
    "column_drift",
    "prediction_drift",
    "performance",
    "concept_drift",
    "estimated_performance",
    "performance_trend",
)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


def model_gauges(models: Iterable[ModelState]) -> list[GaugeMetricFamily]:
    """The gauges of every model version that serves or has a result."""
    gauges = Gauges()
    for model in models:
        labels = {"model_name": model.model_name, "model_version": model.model_version}
        gauges.add("model_serving", "1 for the version that answers now, else 0", labels, model.serving)
        if model.card is not None:
            performance_gauges(gauges, labels, model.card.baseline, "baseline", "when registered")
        if model.answer is not None:
            _run(gauges, labels, model.answer.latest, model.answer.result)
            _verdicts(gauges, labels, model.answer.result)
            quality_gauges(gauges, labels, model.answer.result)
        if model.newest_day is not None:
            history_gauges(gauges, labels, model.newest_day)
        if model.incidents is not None:
            incident_gauges(gauges, labels, model.incidents)
    return gauges.families()


def log_gauges(
    log: LogState | None, commands: Iterable[LogCommand], disk_used_ratio: float | None
) -> list[GaugeMetricFamily]:
    """The gauges of the prediction and label logs; of the chain none before there is a log.

    Args:
        commands: how sealing, verifying and expiring ended last.
        disk_used_ratio: how full the logs' disk is, from 0 to 1; None when that is not known.
    """
    gauges = Gauges()
    gauges.add(
        "sentinel_log_disk_used_ratio",
        "How full the disk of the logs is, from 0 to 1; when it is full, predictions are refused",
        {},
        disk_used_ratio,
    )
    for outcome in commands:
        labels: dict[str, str] = {"command": outcome.command}
        gauges.add(
            "sentinel_log_command_timestamp_seconds",
            "When a command of the logs (seal, verify, expire) last ended, whatever its outcome",
            labels,
            outcome.ended_at,
        )
        gauges.add(
            "sentinel_log_command_last_success_timestamp_seconds",
            "When a command of the logs last ended without a fault",
            labels,
            outcome.last_success_at,
        )
        gauges.add(
            "sentinel_log_command_succeeded",
            "1 when a command's newest run did all it had to, 0 when it failed; verify: 0 when it found damage",
            labels,
            outcome.succeeded,
        )
    if log is not None:
        gauges.add("sentinel_log_chain_length", "Entries in the manifest chain of the logs", {}, log.chain_length)
        gauges.add(
            "sentinel_log_unsealed_segments",
            "Log segments without an entry in the chain: being written, or waiting for the next seal",
            {},
            log.unsealed_segments,
        )
        if log.chain_length:
            gauges.add(
                "sentinel_log_chain_head_info",
                "SHA-256 of the newest entry of the manifest chain: a witness of all before it, for make verify",
                {"sha256": log.chain_head},
                1,
            )
    return gauges.families()


def _run(gauges: Gauges, labels: dict[str, str], latest: Latest, result: Result) -> None:
    """What is true of a run whatever its outcome."""
    gauges.add(
        "model_drift_run_timestamp_seconds",
        "When the newest drift run finished, whatever its outcome",
        labels,
        latest.finished_at,
    )
    gauges.add(
        "model_drift_last_success_timestamp_seconds",
        "When the newest drift run with a verdict finished",
        labels,
        latest.last_ok_finished_at,
    )
    gauges.add(
        "model_drift_run_duration_seconds", "How long the newest drift run took", labels, result.duration_seconds
    )
    for outcome in get_args(Outcome):
        gauges.add(
            "model_drift_outcome",
            "1 for the outcome of the newest drift run, 0 for the others",
            {**labels, "outcome": outcome},
            result.outcome == outcome,
        )
    if result.outcome != "failed":
        gauges.add("model_window_rows", "Intact rows in the newest run's window", labels, result.rows.read)
        gauges.add(
            "model_labeled_ratio",
            "Share of the window's rows whose label is known",
            labels,
            result.performance.labelled_ratio,
        )
    if result.data_quality is not None:
        _data_quality(gauges, labels, result.data_quality)


def _data_quality(gauges: Gauges, labels: dict[str, str], quality: DataQuality) -> None:
    for kind in get_args(QualityKind):
        grades = [SEVERITIES.index(finding.severity) for finding in quality.findings if finding.kind == kind]
        of_kind = {**labels, "kind": kind}
        gauges.add(
            "model_data_quality_findings", "Findings of that kind in the newest run's window", of_kind, len(grades)
        )
        gauges.add(
            "model_data_quality_severity",
            "Gravest finding of that kind in the newest run: 0 none, 1 notice, 2 warning, 3 high",
            of_kind,
            max(grades, default=0),
        )


def _verdicts(gauges: Gauges, labels: dict[str, str], result: Result) -> None:
    """The verdicts; all absent unless the run's outcome is "ok"."""
    if result.outcome != "ok":
        return
    _data_drift(gauges, labels, result.data_drift)
    gauges.add(
        "model_prediction_drift_detected",
        "1 when the model's answers drifted from the reference",
        labels,
        result.prediction_drift.detected,
    )
    concept = result.concept_drift
    gauges.add(
        "model_concept_drift_detected",
        "1 when quality dropped from the baseline by more than allowed",
        labels,
        concept.detected,
    )
    if concept.metric == "accuracy":
        gauges.add(
            "model_accuracy_drop_percent",
            "Relative drop of accuracy from the baseline; negative when it rose",
            labels,
            concept.drop_percent,
        )
        gauges.add(
            "model_accuracy_drop_lower_percent",
            "Lower bound of the drop of accuracy: it is at least this large with 97.5 % confidence",
            labels,
            concept.lower,
        )
    for alert in ALERTS:
        gravest = max((SEVERITIES.index(a.severity) for a in result.alerts if a.name == alert), default=0)
        gauges.add(
            "model_alert_severity",
            "Gravest alert of that name in the newest run: 0 none, 1 notice, 2 warning, 3 high, 4 critical",
            {**labels, "alert": alert},
            gravest,
        )
    if result.retraining.decision != "unknown":
        gauges.add(
            "model_retraining_recommended",
            "1 when retraining is recommended",
            labels,
            result.retraining.decision == "recommended",
        )


def _data_drift(gauges: Gauges, labels: dict[str, str], drift: DataDrift) -> None:
    gauges.add("model_data_drift_detected", "1 when the model's inputs drifted", labels, drift.detected)
    gauges.add("model_drifted_columns_ratio", "Share of the columns that drifted", labels, drift.drifted_ratio)
    gauges.add(
        "model_drift_score",
        "Weighted mean of the columns' PSI beyond what chance explains",
        labels,
        drift.score,
    )
    gauges.add("model_drift_threshold", "The line for model_drift_score", labels, drift.threshold)
    for finding in drift.columns:
        feature = {**labels, "feature": finding.column}
        gauges.add(
            "model_feature_drift_ratio",
            "A feature's largest check (shape, location, spread, missing, novel) over what it allows; drift above 1",
            feature,
            finding.drift_ratio,
        )
        # Only the shape check: it has one unit and one direction in every column, so scores compare.
        shape = finding.check("shape")
        if shape is not None:
            method = {**feature, "method": shape.method}
            gauges.add(
                "model_feature_drift_score",
                "How far a feature's distribution is from the reference; higher is farther",
                method,
                shape.score,
            )
            gauges.add(
                "model_feature_drift_threshold",
                "What chance and the effect floor allow for model_feature_drift_score at this many rows",
                method,
                shape.threshold,
            )
