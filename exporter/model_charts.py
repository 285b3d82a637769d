"""The charts of a model's page, out of its kept days."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drift_engine.results.days import DayRecord
from drift_engine.results.incidents import Incident
from drift_engine.results.schema import Severity
from exporter.charts import (
    Course,
    Part,
    Point,
    Stretch,
    histogram,
    line_chart,
    shortened,
    stacked_days,
    timeline,
)
from exporter.drawing import Chart, Key
from exporter.incidents import incident_text
from exporter.parameters import Span
from exporter.statistics import Statistics
from exporter.words import UNKNOWN, metric_text, metric_words, milliseconds_text, share_text, value_text
from gateway.clock import parse_utc
from gateway.registry import Metric

#: Classes that are drawn by themselves; the rest are drawn together.
_CLASSES_MAX = 6
_CLASS_LENGTH_MAX = 30
_INCIDENTS_MAX = 12
_GRADES: tuple[Severity, ...] = ("critical", "high", "warning")
_CONFIDENCE_BINS = 20
_DAY_SECONDS = 86_400.0


def performance(span: Span, records: Sequence[DayRecord], followed: str, baseline: Metric | None) -> Chart | None:
    """The figure that quality is followed by, day by day: realised with its interval, and estimated."""
    days = span.each()
    place = {day: number for number, day in enumerate(days)}
    realised = [(record, record.performance.metric(followed)) for record in records]
    estimated = [(record, record.estimated.metric(followed) if record.estimated else None) for record in records]
    words = metric_words(followed, None)

    def course(style: str, text: str, found: Sequence[tuple[DayRecord, Metric | None]]) -> Course:
        points = [
            Point(place[record.day], metric.value, metric.lower, metric.upper, f"{record.day}: {metric_text(metric)}")
            for record, metric in found
            if metric is not None
        ]
        return Course(style, text, tuple(points))

    rows = [
        (record.day, metric_text(real), metric_text(guess), f"{record.labels.labelled:,} of {record.predictions:,}")
        for (record, real), (_, guess) in zip(realised, estimated, strict=True)
    ]
    return line_chart(
        "performance",
        f"{words[0].upper()}{words[1:]} by day of prediction",
        f"{words}, realised with its 95 % interval and as estimated without labels, {span.since} to {span.until}",
        days,
        (
            course("estimated", "estimated without labels", estimated),
            course("realised", "realised, with 95 % interval", realised),
        ),
        (baseline.value, f"baseline {value_text(baseline.value)}") if baseline else None,
        (("Day", "Realised", "Estimated", "Labelled"), *rows),
    )


def coverage(span: Span, records: Sequence[DayRecord]) -> Chart | None:
    """How many of each day's predictions have a label by now."""
    labelled = _by_day(span, records, lambda record: record.labels.labelled)
    open_ = _by_day(span, records, lambda record: record.predictions - record.labels.labelled)
    rows = [
        (record.day, f"{record.predictions:,}", f"{record.labels.labelled:,}", share_text(record.labels.coverage))
        for record in records
    ]
    return stacked_days(
        "coverage",
        "Labels by day of prediction",
        f"predictions with and without a label, {span.since} to {span.until}",
        span.each(),
        (Part("part0", "with a label", labelled), Part("rest", "without", open_)),
        (("Day", "Predictions", "Labelled", "Coverage"), *rows),
    )


def predictions(span: Span, records: Sequence[DayRecord], totals: Statistics) -> Chart | None:
    """Rows of each day, by predicted class where there are classes."""
    named = list(totals.classes)[:_CLASSES_MAX]
    parts = _class_parts(totals, lambda rows: _by_day(span, records, rows))
    if not parts:
        parts = [Part("part0", "predictions", _by_day(span, records, lambda record: record.predictions))]
    rows = [
        (
            record.day,
            f"{record.predictions:,}",
            value_text(record.confidence_mean),
            ", ".join(f"{_class_text(name)}: {count:,}" for name, count in list(record.classes.items())[:_CLASSES_MAX])
            or UNKNOWN,
        )
        for record in records
    ]
    return stacked_days(
        "predictions",
        "Predictions by day" + (" and class" if named else ""),
        f"rows answered, {span.since} to {span.until}",
        span.each(),
        parts,
        (("Day", "Predictions", "Mean confidence", "Classes"), *rows),
    )


def class_mix(span: Span, records: Sequence[DayRecord], totals: Statistics) -> Chart | None:
    """The share of each class in a day's predictions; None for regression."""
    named = list(totals.classes)[:_CLASSES_MAX]
    if not named:
        return None

    def share(rows: Callable[[DayRecord], int]) -> list[float]:
        return _by_day(span, records, lambda r: 100 * rows(r) / r.predictions if r.predictions else 0)

    table = [
        (record.day, *(share_text(record.classes.get(name, 0) / record.predictions) for name in named))
        for record in records
        if record.predictions
    ]
    return stacked_days(
        "mix",
        "Share of the classes, percent",
        f"share of each predicted class, {span.since} to {span.until}",
        span.each(),
        _class_parts(totals, share),
        (("Day", *(_class_text(name) for name in named)), *table),
        unit=" %",
    )


def answers(span: Span, records: Sequence[DayRecord]) -> Chart | None:
    """The median answer of a regression model, day by day; None for a classifier."""
    place = {day: number for number, day in enumerate(span.each())}
    there = [(record, record.answers) for record in records if record.answers is not None]
    points = [
        Point(place[record.day], found.p50, None, None, f"{record.day}: median {value_text(found.p50)}")
        for record, found in there
    ]
    table = [
        (record.day, *(value_text(value) for value in (found.minimum, found.p50, found.mean, found.maximum)))
        for record, found in there
    ]
    return line_chart(
        "answers",
        "Median answer by day",
        f"the median of the predicted values, {span.since} to {span.until}",
        span.each(),
        (Course("realised", "median of the answers", tuple(points)),),
        None,
        (("Day", "Smallest", "Median", "Mean", "Largest"), *table),
    )


def confidence(span: Span, totals: Statistics) -> Chart | None:
    """How sure the model was of its answers; None where it gives no probabilities."""
    return histogram(
        "confidence",
        "Confidence of the answers",
        f"rows by confidence, {span.since} to {span.until}",
        totals.confidence_counts,
        (0.0, 1.0),
        _CONFIDENCE_BINS,
    )


def latency(span: Span, totals: Statistics) -> Chart | None:
    """The gateway's own time per request by day."""
    place = {day: number for number, day in enumerate(span.each())}

    def course(quantile: str) -> Course:
        found = [(day.day, getattr(day.latency_ms, quantile)) for day in totals.per_day]
        points = [
            Point(place[day], value, None, None, f"{day}, {quantile}: {milliseconds_text(value)}")
            for day, value in found
            if value is not None
        ]
        return Course(quantile, quantile, tuple(points))

    rows = [
        (day.day, *(milliseconds_text(value) for value in (day.latency_ms.p50, day.latency_ms.p95, day.latency_ms.p99)))
        for day in totals.per_day
    ]
    return line_chart(
        "latency",
        "Latency by day, milliseconds",
        f"time in the gateway, {span.since} to {span.until}",
        span.each(),
        (course("p99"), course("p95"), course("p50")),
        None,
        (("Day", "p50", "p95", "p99"), *rows),
    )


def incidents(span: Span, found: Sequence[Incident]) -> Chart | None:
    """When incidents lasted, those of the newest windows first."""
    first = parse_utc(f"{span.since}T00:00:00Z")
    stretches, rows = [], []
    recent = [item for item in found if item.resolved_at is None or parse_utc(item.resolved_at) >= first]
    shown = recent[:_INCIDENTS_MAX]
    for incident in shown:
        end = parse_utc(incident.resolved_at) if incident.resolved_at else first + span.days * _DAY_SECONDS
        text = incident_text(incident)
        said = f"{text}: {incident.first_seen_at[:16]} to {(incident.resolved_at or 'now')[:16]}"
        start = (parse_utc(incident.first_seen_at) - first) / _DAY_SECONDS
        stretches.append(Stretch(text, start, (end - first) / _DAY_SECONDS, f"grade-{incident.worst}", said))
        rows.append((text, incident.worst, incident.first_seen_at[:16], (incident.resolved_at or "open")[:16]))
    return timeline(
        "incidents",
        "When they lasted",
        f"incidents by time, {span.since} to {span.until}",
        span.each(),
        stretches,
        tuple(Key(f"grade-{grade}", grade) for grade in _GRADES if grade in {incident.worst for incident in shown}),
        (("Incident", "Worst", "First seen", "Resolved"), *rows),
    )


def _by_day(span: Span, records: Sequence[DayRecord], value: Callable[[DayRecord], float]) -> list[float]:
    """One value per day of the span; days without a record had no predictions."""
    found = {record.day: value(record) for record in records}
    return [found.get(day, 0) for day in span.each()]


def _class_parts(totals: Statistics, values: Callable[[Callable[[DayRecord], int]], list[float]]) -> list[Part]:
    """The largest classes, each in its colour, and the rest together. `values`: what is drawn, of a class's rows."""
    named = list(totals.classes)[:_CLASSES_MAX]
    parts = [Part(f"part{number}", _class_text(name), values(_rows_of(name))) for number, name in enumerate(named)]
    if len(totals.classes) > len(named):
        shown = set(named)
        parts.append(Part("rest", "other classes", values(lambda record: _other_rows(record, shown))))
    return parts


def _rows_of(name: str) -> Callable[[DayRecord], int]:
    return lambda record: record.classes.get(name, 0)


def _other_rows(record: DayRecord, shown: set[str]) -> int:
    return sum(count for name, count in record.classes.items() if name not in shown)


def _class_text(name: str) -> str:
    return shortened(name, _CLASS_LENGTH_MAX) if name else '""'
