"""What a result says of labels and of the model's quality beside the figures themselves: how, how long, how sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.registry import Metric


@dataclass(frozen=True)
class Quantiles:
    """Of a distribution of seconds: its smallest and largest value and three quantiles."""

    minimum: float
    p50: float
    p90: float
    p99: float
    maximum: float


@dataclass(frozen=True)
class LabelCounts:
    """The labels of the predictions that quality was looked for in.

    Attributes:
        since: quality looked at predictions from this time on (RFC 3339 in UTC).
        predictions: so many predictions, `labelled` of which have a label; `coverage` is their ratio, None without any.
        received: lines of the label log that name one of these predictions, repeats and corrections among them.
        repeated: lines that say again what an earlier one said of the same prediction, without effect.
        corrected: predictions whose label a later line changed.
        elsewhere: labels received in the window that name none of these predictions: older ones, or unknown ones.
        orphaned: those of `elsewhere` that no prediction of any version of the model has; None where nobody looked.
        delay_seconds: from a prediction to the receipt of its newest label; None without labels.
        newest_received_at: when the newest of these labels was received; `newest_age_seconds` before the window's end.
    """

    since: str
    predictions: int
    labelled: int
    coverage: float | None
    received: int
    repeated: int
    corrected: int
    elsewhere: int
    orphaned: int | None
    delay_seconds: Quantiles | None
    newest_received_at: str | None
    newest_age_seconds: float | None


@dataclass(frozen=True)
class Confusion:
    """Labelled rows by true and by predicted class.

    Attributes:
        classes: as text, the model's own first, in its order; then any other that a label named.
        counts: shape (true classes, predicted classes).
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class EstimateError:
    """An estimate held against what came out, on rows whose labels have come since: the estimate's own error.

    `error` is estimated minus realised; `covered`: the realised figure lies in the estimate's interval.
    """

    metric: str
    average: str | None
    rows: int
    estimated: float
    realised: float
    error: float
    covered: bool


@dataclass(frozen=True)
class Estimate:
    """Quality as it would be if the relation of inputs and target were as in the reference: without any label.

    By construction blind to concept drift, so it is always shown with `caution`.

    Attributes:
        method: "cbpe" (confidence-based, calibrated probabilities) or "dle" (direct loss estimation).
        reason: why there is no estimate, in words; None where `metrics` holds one.
        rows: of the window, estimated from.
        metrics: with 95 % intervals (of what labels would show), same names and averages as the realised ones.
        trusted: False where too many rows lie outside of what the reference supports; `caution` says so.
        outside_support: share of the rows whose score or inputs the reference does not show; None if unknown.
        back_test: the same estimate on the labelled rows, against what their labels say.
    """

    method: Literal["cbpe", "dle"]
    reason: str | None
    rows: int
    metrics: tuple[Metric, ...]
    trusted: bool
    caution: str
    outside_support: float | None
    back_test: tuple[EstimateError, ...] = ()

    def metric(self, name: str, average: str | None = None) -> Metric | None:
        """The figure of that name and average, or None where there is no estimate of it."""
        return next((m for m in self.metrics if (m.name, m.average) == (name, average)), None)


@dataclass(frozen=True)
class Trend:
    """Quality over days, from the kept history: is it declining?

    Attributes:
        metric: "accuracy", or "mae" for regression (whose rise is a decline).
        value_7d: over the 7 days to the last day whose labels have come as far as is usual, by the predictions' days;
            with its 95 % interval.
        value_previous_7d: over the 7 days before those.
        change: value_7d minus value_previous_7d; `p_value` two-sided, for "no change".
        declining_days: on so many of the newest days in a row the 7-day figure was worse than the day before.
        declining: on 3 days or more, and worse than the 7 days before beyond chance; None: not enough data.
        sentence: all that in words.
    """

    metric: str
    value_7d: float | None
    lower_7d: float | None
    upper_7d: float | None
    value_previous_7d: float | None
    change: float | None
    p_value: float | None
    rows_7d: int
    rows_previous_7d: int
    declining_days: int
    declining: bool | None
    sentence: str
