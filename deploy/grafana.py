"""`python deploy/grafana.py`: print the Grafana dashboard, to be imported or provisioned.

A page of JSON that nobody can review is made of a page of rows that everybody can: what is shown, and by which query.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

#: Of the model that is chosen on top, the version that serves.
_MODEL = 'model_name="$model"'
_SERVING = f"and on (model_name, model_version) model_serving{{{_MODEL}}} == 1"
_PAGE = "http://127.0.0.1:9108/models/$model"
_WIDTH, _HEIGHT = 8, 7


@dataclass(frozen=True)
class Panel:
    """A graph: its title, its queries with their legends, and Grafana's name of the unit ("" for plain numbers)."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = ""


def _of(metric: str, labels: str = "") -> str:
    """A series of the model's serving version."""
    return f"{metric}{{{_MODEL}{', ' + labels if labels else ''}}} {_SERVING}"


def _age(metric: str) -> str:
    """Seconds since a moment that is a gauge."""
    return f"time() - ({_of(metric)})"


def _followed(name: str, labels: str = 'average=~"|weighted|positive"') -> tuple[tuple[str, str], ...]:
    """A figure realised, estimated, and as registered."""
    kinds = (("", "realised"), ("window_", "in the window"), ("estimated_", "estimated"), ("baseline_", "baseline"))
    return tuple((_of(f"model_{kind}{name}", labels), f"{word} {{{{average}}}}") for kind, word in kinds)


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            Panel("Open incidents", ((_of("model_incidents_open"), "{{severity}}"),)),
            Panel(
                "Drift",
                (
                    (_of("model_data_drift_detected"), "inputs"),
                    (_of("model_prediction_drift_detected"), "answers"),
                    (_of("model_concept_drift_detected"), "concept"),
                ),
            ),
            Panel("Retraining recommended", ((_of("model_retraining_recommended"), "recommended"),)),
        ),
    ),
    (
        "Performance: realised, estimated without labels, baseline",
        (
            Panel("Accuracy", _followed("accuracy"), "percentunit"),
            Panel("F1", _followed("f1_score"), "percentunit"),
            Panel("ROC AUC", _followed("roc_auc")),
            Panel("Mean absolute error", _followed("mean_absolute_error")),
            Panel(
                "The estimate's own error",
                (
                    (_of("model_estimate_error"), "{{metric}} {{average}}: estimated minus realised"),
                    (_of("model_estimate_outside_support_ratio"), "rows outside of the reference"),
                ),
            ),
            Panel(
                "Drop of accuracy from the baseline",
                (
                    (_of("model_accuracy_drop_percent"), "drop"),
                    (_of("model_accuracy_drop_lower_percent"), "at least"),
                ),
                "percent",
            ),
        ),
    ),
    (
        "Trend",
        (
            Panel(
                "Accuracy over 7 days",
                (
                    (_of("model_accuracy_7d"), "7 days"),
                    (_of("model_accuracy_7d_lower"), "lower end"),
                    (_of("model_accuracy_7d_upper"), "upper end"),
                    (_of("model_accuracy_previous_7d"), "the 7 days before"),
                ),
                "percentunit",
            ),
            Panel("Days of decline in a row", ((_of("model_quality_declining_days"), "days"),)),
            Panel(
                "Age of the kept history",
                ((f"time() - ({_of('model_history_scored_timestamp_seconds')})", "age"),),
                "s",
            ),
        ),
    ),
    (
        "Labels",
        (
            Panel("Coverage", ((_of("model_label_coverage_ratio"), "labelled"),), "percentunit"),
            Panel("Delay", ((_of("model_label_delay_seconds"), "quantile {{quantile}}"),), "s"),
            Panel("Age of the newest", ((_age("model_label_newest_timestamp_seconds"), "age"),), "s"),
            Panel(
                "Received, repeated, corrected, of no prediction",
                tuple(
                    (_of(f"model_labels_{word}"), word)
                    for word in ("received", "repeated", "corrected", "elsewhere", "orphaned")
                ),
            ),
        ),
    ),
    (
        "Inputs",
        (
            Panel(
                "Drift score",
                ((_of("model_drift_score"), "score"), (_of("model_drift_threshold"), "line")),
            ),
            Panel("Columns that moved", ((_of("model_drifted_columns_ratio"), "share"),), "percentunit"),
            Panel(
                "Features that moved most (above 1: drift)",
                ((f"topk(10, {_of('model_feature_drift_ratio')})", "{{feature}}"),),
            ),
            Panel("Alerts of the newest run", ((_of("model_alert_severity"), "{{alert}}"),)),
        ),
    ),
    (
        "Serving",
        (
            Panel(
                "Predictions a second",
                ((f"sum by (predicted_class) (rate(model_predictions_total{{{_MODEL}}}[5m]))", "{{predicted_class}}"),),
                "reqps",
            ),
            Panel(
                "Inference time",
                tuple(
                    (
                        f"histogram_quantile({quantile}, sum by (le) "
                        f"(rate(model_inference_duration_seconds_bucket{{{_MODEL}}}[5m])))",
                        f"p{round(100 * quantile)}",
                    )
                    for quantile in (0.5, 0.95, 0.99)
                ),
                "s",
            ),
            Panel(
                "Errors a second",
                ((f"sum by (error_type) (rate(model_prediction_errors_total{{{_MODEL}}}[5m]))", "{{error_type}}"),),
                "reqps",
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append(_row(title, top, len(panels) + 1))
        for place, panel in enumerate(row):
            down, across = divmod(place, 24 // _WIDTH)
            panels.append(_graph(panel, across * _WIDTH, top + 1 + down * _HEIGHT, len(panels) + 1))
        top += 1 + -(-len(row) // (24 // _WIDTH)) * _HEIGHT
    return {
        "title": "SentinelML",
        "uid": "sentinelml",
        "schemaVersion": 39,
        "tags": ["sentinelml"],
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": [_source_choice(), _model_choice()]},
        "links": [
            {
                "title": "Page of the model",
                "type": "link",
                "url": "http://127.0.0.1:9108/models/$model",
                "targetBlank": True,
            }
        ],
        "panels": panels,
    }


def _row(title: str, top: int, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"h": 1, "w": 24, "x": 0, "y": top},
        "panels": [],
    }


def _graph(panel: Panel, left: int, top: int, number: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": left, "y": top},
        # A gap is missing data: a line across it would claim to know.
        "fieldConfig": {"defaults": {"unit": panel.unit or "none", "custom": {"spanNulls": False}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": source, "expr": query, "legendFormat": legend}
            for i, (query, legend) in enumerate(panel.queries)
        ],
    }


def _source_choice() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _model_choice() -> dict[str, Any]:
    return {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "query": "label_values(model_serving, model_name)",
        "refresh": 2,
        "sort": 1,
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=2)
    print()
