"""The gauges of labels, estimates, trend, kept history and incidents. What is not known is absent, never 0."""

from __future__ import annotations

from collections.abc import Iterable

from drift_engine.results import Result
from drift_engine.results.days import DayRecord
from drift_engine.results.incidents import Incidents
from drift_engine.results.quality import Estimate, LabelCounts, Trend
from drift_engine.results.schema import Severity
from exporter.gauges import Gauges
from gateway.clock import parse_utc
from gateway.registry import Metric

#: Name of a performance figure in results and cards -> the gauge that carries it.
PERFORMANCE = {
    "accuracy": ("model_accuracy", "Share of labelled rows predicted right"),
    "precision": ("model_precision", "Precision on the labelled rows"),
    "recall": ("model_recall", "Recall on the labelled rows"),
    "f1_score": ("model_f1_score", "F1 score on the labelled rows"),
    "roc_auc": ("model_roc_auc", "Area under the ROC curve on the labelled rows"),
    "log_loss": ("model_log_loss", "Mean negative log-likelihood of the labels"),
    "brier": ("model_brier_score", "Brier score of the probabilities"),
    "mae": ("model_mean_absolute_error", "Mean absolute error on the labelled rows"),
    "rmse": ("model_root_mean_squared_error", "Root mean squared error on the labelled rows"),
    "r2": ("model_r2_score", "Coefficient of determination on the labelled rows"),
    "bias": ("model_bias", "Mean of prediction minus label on the labelled rows"),
}
_ORPHANED = "Labels received that name no prediction of any version of the model"
#: An incident is no notice, and every grade goes back to 0.
_INCIDENT_SEVERITIES: tuple[Severity, ...] = ("warning", "high", "critical")


def performance_gauges(
    gauges: Gauges, labels: dict[str, str], metrics: Iterable[Metric], kind: str = "", about: str = ""
) -> None:
    """Performance figures. `kind` comes into the name ("model_baseline_accuracy"), `about` after the description."""
    for metric in metrics:
        if metric.name in PERFORMANCE:
            name, said = PERFORMANCE[metric.name]
            if kind:
                name, said = name.replace("model_", f"model_{kind}_", 1), f"{said}: {about}"
            gauges.add(name, said, {**labels, "average": metric.average or ""}, metric.value)


def quality_gauges(gauges: Gauges, labels: dict[str, str], result: Result) -> None:
    """What a run that did not fail says of labels and quality, whether or not it had rows enough for a verdict."""
    if result.outcome == "failed":
        return
    if result.performance.outcome == "ok":
        performance_gauges(gauges, labels, result.performance.metrics)
    window = result.window_performance
    if window is not None and window.outcome == "ok":
        performance_gauges(gauges, labels, window.metrics, "window", "those of the newest window")
    if result.labels is not None:
        _labels(gauges, labels, result.labels)
    if result.estimated is not None and result.estimated.reason is None:
        _estimate(gauges, labels, result.estimated)
    if result.concept_drift.trend is not None:
        _trend(gauges, labels, result.concept_drift.trend)


def history_gauges(gauges: Gauges, labels: dict[str, str], newest: DayRecord) -> None:
    """How old the kept history is, and what only it knows: which labels name no prediction at all."""
    gauges.add(
        "model_history_scored_timestamp_seconds",
        "When the newest day of the kept history was last scored",
        labels,
        parse_utc(newest.scored_at),
    )
    gauges.add("model_labels_orphaned", _ORPHANED, labels, newest.labels.orphaned)


def incident_gauges(gauges: Gauges, labels: dict[str, str], incidents: Incidents) -> None:
    """What is open at the moment."""
    for severity in _INCIDENT_SEVERITIES:
        gauges.add(
            "model_incidents_open",
            "Open incidents of that severity",
            {**labels, "severity": severity},
            sum(incident.severity == severity for incident in incidents.open),
        )


def _labels(gauges: Gauges, labels: dict[str, str], counts: LabelCounts) -> None:
    gauges.add(
        "model_label_coverage_ratio",
        "Share of the predictions that quality was looked for in whose label is known",
        labels,
        counts.coverage,
    )
    for name, about, value in (
        ("received", "Label lines received for these predictions", counts.received),
        ("repeated", "Label lines that said again what was known", counts.repeated),
        ("corrected", "Predictions whose label a later line changed", counts.corrected),
        ("elsewhere", "Labels received in the window for none of these predictions", counts.elsewhere),
        ("orphaned", _ORPHANED, counts.orphaned),
    ):
        gauges.add(f"model_labels_{name}", about, labels, value)
    if counts.delay_seconds is not None:
        delay = counts.delay_seconds
        for quantile, seconds in (("0.5", delay.p50), ("0.9", delay.p90), ("0.99", delay.p99), ("1", delay.maximum)):
            gauges.add(
                "model_label_delay_seconds",
                "From a prediction to the receipt of its label, by quantile",
                {**labels, "quantile": quantile},
                seconds,
            )
    if counts.newest_received_at is not None:
        gauges.add(
            "model_label_newest_timestamp_seconds",
            "When the newest label of these predictions was received",
            labels,
            _moment(counts.newest_received_at),
        )


def _estimate(gauges: Gauges, labels: dict[str, str], estimate: Estimate) -> None:
    performance_gauges(gauges, labels, estimate.metrics, "estimated", "estimated without labels")
    gauges.add(
        "model_estimate_trusted",
        "1 where the reference supports the estimate, 0 where too many rows lie outside of it",
        labels,
        estimate.trusted,
    )
    gauges.add(
        "model_estimate_outside_support_ratio",
        "Share of the rows that lie outside of what the reference shows",
        labels,
        estimate.outside_support,
    )
    for test in estimate.back_test:
        of_figure = {**labels, "metric": test.metric, "average": test.average or ""}
        gauges.add(
            "model_estimate_error",
            "Estimated minus realised, on rows whose labels have come since",
            of_figure,
            test.error,
        )
        gauges.add(
            "model_estimate_covered",
            "1 where the realised figure lies in the estimate's 95 % interval",
            of_figure,
            test.covered,
        )


def _trend(gauges: Gauges, labels: dict[str, str], trend: Trend) -> None:
    if trend.metric not in PERFORMANCE:
        return
    name, about = PERFORMANCE[trend.metric]
    for suffix, words, value in (
        ("_7d", "over the newest 7 days with labels", trend.value_7d),
        ("_7d_lower", "over 7 days, lower end of the 95 % interval", trend.lower_7d),
        ("_7d_upper", "over 7 days, upper end of the 95 % interval", trend.upper_7d),
        ("_previous_7d", "over the 7 days before those", trend.value_previous_7d),
    ):
        gauges.add(f"{name}{suffix}", f"{about}: {words}", labels, value)
    gauges.add(
        "model_quality_declining",
        "1 when quality declines for 3 days or more, beyond chance; absent when that cannot be told",
        labels,
        trend.declining,
    )
    gauges.add(
        "model_quality_declining_days",
        "The newest days in a row on which quality was worse than the day before",
        labels,
        trend.declining_days,
    )


def _moment(text: str) -> float | None:
    try:
        return parse_utc(text)
    except ValueError:
        return None
