"""What the workers count: prometheus_client values in memory-mapped files, one handle per model, looked up once.

Import this module only when `PROMETHEUS_MULTIPROC_DIR` says where the files go (see `gateway.metrics_folder`):
prometheus_client decides at import.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from gateway import metrics_folder as names
from gateway.registry import ModelCard
from gateway.registry.columns import class_text

_PREDICTIONS = Counter(names.PREDICTIONS.name, names.PREDICTIONS.about, names.PREDICTIONS.labels)
_ERRORS = Counter(names.PREDICTION_ERRORS.name, names.PREDICTION_ERRORS.about, names.PREDICTION_ERRORS.labels)
_PREPROCESSING, _INFERENCE, _POSTPROCESSING = (
    Histogram(spec.name, spec.about, spec.labels, buckets=names.DURATION_BUCKETS)
    for spec in (names.PREPROCESSING_SECONDS, names.INFERENCE_SECONDS, names.POSTPROCESSING_SECONDS)
)
_ROWS_IN_FLIGHT = Gauge(
    names.ROWS_IN_FLIGHT.name, names.ROWS_IN_FLIGHT.about, names.ROWS_IN_FLIGHT.labels, multiprocess_mode="livesum"
)
_LOAD_FAILURES = Counter(names.LOAD_FAILURES.name, names.LOAD_FAILURES.about, names.LOAD_FAILURES.labels)
_SHADOW_PREDICTIONS = Counter(
    names.SHADOW_PREDICTIONS.name, names.SHADOW_PREDICTIONS.about, names.SHADOW_PREDICTIONS.labels
)
_SHADOW_DROPPED = Counter(names.SHADOW_DROPPED.name, names.SHADOW_DROPPED.about, names.SHADOW_DROPPED.labels)


class ModelMetrics:
    """The metrics of one model version. Its children exist from the start, so that rates begin at zero."""

    def __init__(self, card: ModelCard) -> None:
        labels = (card.name, card.version)
        self.preprocessing = _PREPROCESSING.labels(*labels)
        self.inference = _INFERENCE.labels(*labels)
        self.postprocessing = _POSTPROCESSING.labels(*labels)
        self.rows_in_flight = _ROWS_IN_FLIGHT.labels(*labels)
        texts = [class_text(label) for label in card.classes]
        self._by_class = {text: _PREDICTIONS.labels(*labels, text) for text in texts}
        self._values = None if texts else _PREDICTIONS.labels(*labels, names.VALUE)

    def count_predictions(self, recorded: Sequence[str | float]) -> None:
        """Count answered and recorded predictions, by class where the model has classes."""
        if self._values is not None:
            self._values.inc(len(recorded))
            return
        for text, count in Tally(recorded).items():
            self._by_class[str(text)].inc(count)


def count_error(name: str, version: str, error_type: str) -> None:
    """Count a refused or failed request; name and version are "" when no model was found."""
    _ERRORS.labels(name, version, error_type).inc()


def count_load_failure(name: str, version: str) -> None:
    """Count an attempt to load a version that failed."""
    _LOAD_FAILURES.labels(name, version).inc()


def count_shadow_rows(name: str, version: str, rows: int) -> None:
    """Count rows that a shadow version scored and recorded."""
    _SHADOW_PREDICTIONS.labels(name, version).inc(rows)


def count_shadow_dropped(name: str, version: str, reason: str, rows: int) -> None:
    """Count rows that a shadow version did not score or record; `reason`: one of those in `metrics_folder`."""
    _SHADOW_DROPPED.labels(name, version, reason).inc(rows)
