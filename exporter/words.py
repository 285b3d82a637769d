"""Figures and moments as people read them. What is not known is a dash, never a 0."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.registry import Metric

UNKNOWN = "-"
_METRICS = {
    "f1_score": "F1",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R\u00b2",
}
_AVERAGES = {"positive": "positive class"}


def metric_words(name: str, average: str | None) -> str:
    """A performance figure's name.

    >>> metric_words("f1_score", "positive"), metric_words("accuracy", None)
    ('F1, positive class', 'accuracy')
    """
    words = _METRICS.get(name, name.replace("_", " "))
    return f"{words}, {_AVERAGES.get(average, average)}" if average else words


def value_text(value: float | None) -> str:
    """A figure to three or four digits.

    >>> value_text(0.91), value_text(1234.5), value_text(None), value_text(0.00012)
    ('0.910', '1234', '-', '0.00012')
    """
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:.4g}"


def metric_text(metric: Metric | None) -> str:
    """A figure with its interval.

    >>> metric_text(Metric("accuracy", 0.91, 0.89, 0.93))
    '0.910 (0.890 to 0.930)'
    """
    if metric is None:
        return UNKNOWN
    if metric.lower is None or metric.upper is None:
        return value_text(metric.value)
    return f"{value_text(metric.value)} ({value_text(metric.lower)} to {value_text(metric.upper)})"


def share_text(share: float | None) -> str:
    """A share in percent.

    >>> share_text(0.0042), share_text(0.311), share_text(1.0), share_text(None)
    ('0.42 %', '31 %', '100 %', '-')
    """
    if share is None:
        return UNKNOWN
    value = 100 * share
    if value == 0 or value >= 9.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"


def milliseconds_text(value: float | None) -> str:
    """A latency.

    >>> milliseconds_text(0.5312), milliseconds_text(1234.5), milliseconds_text(None)
    ('0.53 ms', '1,234 ms', '-')
    """
    if value is None:
        return UNKNOWN
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.2g} ms"


def seconds_text(seconds: float | None) -> str:
    """A time span, or that it is not known."""
    return UNKNOWN if seconds is None else duration(seconds)


def window_text(start: str, end: str) -> str:
    """A window for people, in UTC.

    >>> window_text("2026-11-20T15:00:00.000000Z", "2026-11-20T15:05:00.000000Z")
    '2026-11-20 15:00:00 to 15:05:00'
    """
    first, last = (text[:19].replace("T", " ") for text in (start, end))
    return f"{first} to {last[11:] if first[:10] == last[:10] else last}"


def moment_text(seconds: float | None) -> str:
    """A moment for people, in UTC, to the second.

    >>> moment_text(0)
    '1970-01-01 00:00:00'
    """
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def time_text(text: str | None) -> str:
    """A moment as files have it, for people: to the minute, in UTC.

    >>> time_text("2026-11-20T15:00:59.000000Z"), time_text(None)
    ('2026-11-20 15:00', '-')
    """
    return UNKNOWN if text is None else text[:16].replace("T", " ")


def age_text(seconds: float) -> str:
    """How long ago, in one unit.

    >>> age_text(59), age_text(150), age_text(7200), age_text(172800), age_text(-90)
    ('59 s ago', '2 min ago', '2 h ago', '2 days ago', 'in the future: check the clocks')
    """
    if seconds < -60:
        return "in the future: check the clocks"
    return f"{duration(max(0.0, seconds))} ago"


def duration(seconds: float) -> str:
    """A time span, in one unit.

    >>> duration(59), duration(150), duration(7200), duration(172800)
    ('59 s', '2 min', '2 h', '2 days')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} days"


def sentence(text: str, capital: bool = True) -> str:
    """A reason as a sentence.

    >>> sentence("no labels yet"), sentence("")
    ('No labels yet.', 'No reason was given.')
    """
    text = text.strip().rstrip(".") or "no reason was given"
    return (text[0].upper() + text[1:] if capital else text) + "."
