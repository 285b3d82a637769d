"""What the page of one model version shows, as plain data: verdict, quality, labels, incidents, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drift_engine.results.actions import Action
from drift_engine.results.days import DayRecord
from drift_engine.results.incidents import Incident
from drift_engine.results.quality import Estimate, EstimateError, LabelCounts
from drift_engine.results.schema import Performance
from exporter import model_charts
from exporter.drawing import Chart
from exporter.incidents import by_urgency
from exporter.library import Card
from exporter.parameters import Span
from exporter.statistics import Statistics, add_up
from exporter.versions import Version
from exporter.words import metric_text, metric_words, share_text, value_text
from gateway.registry import Metric

#: A larger confusion matrix is left to the JSON.
_CONFUSION_CLASSES_MAX = 12
_ACTIONS_MAX = 10


@dataclass(frozen=True)
class Figure:
    """One performance figure as the table has it, each cell in words."""

    name: str
    realised: str
    window: str
    estimated: str
    back_test: str
    baseline: str


@dataclass(frozen=True)
class ModelPage:
    """One model version over the days of `span`. A chart is None where there is nothing to draw."""

    card: Card
    span: Span
    versions: Sequence[Version]
    actions: Sequence[Action]
    totals: Statistics
    figures: tuple[Figure, ...]
    labels: LabelCounts | None
    orphaned: int | None
    confusion: tuple[tuple[str, ...], ...]
    open: tuple[Incident, ...]
    resolved: tuple[Incident, ...]
    incidents_as_of: str | None
    performance: Chart | None
    coverage: Chart | None
    timeline: Chart | None
    charts: tuple[Chart, ...]


def build(
    card: Card, span: Span, records: Sequence[DayRecord], versions: Sequence[Version], actions: Sequence[Action]
) -> ModelPage:
    """The page of `card.model`. `records`: its kept days within `span`, oldest first, as are the `actions`."""
    model, result = card.model, card.result
    totals = add_up(records)
    kept = model.incidents
    found = by_urgency(kept.incidents if kept else ())
    followed = _followed(card, records)
    drawn = (
        model_charts.predictions(span, records, totals),
        model_charts.class_mix(span, records, totals),
        model_charts.answers(span, records),
        model_charts.confidence(span, totals),
        model_charts.latency(span, totals),
    )
    return ModelPage(
        card=card,
        span=span,
        versions=versions,
        actions=actions[: -_ACTIONS_MAX - 1 : -1],
        totals=totals,
        figures=_figures(
            result.performance if result else None,
            result.window_performance if result else None,
            result.estimated if result else None,
            _baseline(card),
        ),
        labels=result.labels if result else None,
        orphaned=_orphaned(card),
        confusion=_confusion(result.performance if result else None),
        open=tuple(incident for incident in found if incident.state == "open"),
        resolved=tuple(incident for incident in found if incident.state == "resolved"),
        incidents_as_of=kept.last_window_end if kept else None,
        performance=model_charts.performance(span, records, followed, _named(_baseline(card), followed)),
        coverage=model_charts.coverage(span, records),
        timeline=model_charts.incidents(span, found),
        charts=tuple(chart for chart in drawn if chart is not None),
    )


def _followed(card: Card, records: Sequence[DayRecord]) -> str:
    """The figure that quality is followed by: as the newest run has it, else as the days or the baseline do."""
    concept = card.result.concept_drift if card.result else None
    if concept is not None and concept.trend is not None:
        return concept.trend.metric
    if concept is not None and concept.metric is not None:
        return concept.metric
    measured = [metric.name for record in records for metric in record.performance.metrics]
    known = [*measured, *(metric.name for metric in _baseline(card))]
    return next((name for name in known if name in ("accuracy", "mae")), "accuracy")


def _orphaned(card: Card) -> int | None:
    """Labels of no prediction of any version: the kept history counts them, on its newest day."""
    newest, result = card.model.newest_day, card.result
    if newest is not None and newest.labels.orphaned is not None:
        return newest.labels.orphaned
    return result.labels.orphaned if result is not None and result.labels is not None else None


def _baseline(card: Card) -> tuple[Metric, ...]:
    if card.model.card is not None:
        return card.model.card.baseline
    return card.result.performance.baseline if card.result else ()


def _figures(
    realised: Performance | None, window: Performance | None, estimated: Estimate | None, baseline: Sequence[Metric]
) -> tuple[Figure, ...]:
    """Every figure that is known in any way, those of the baseline first; none before the first of the others."""
    columns = (
        realised.metrics if realised else (),
        window.metrics if window else (),
        estimated.metrics if estimated else (),
    )
    if not any(columns) and not baseline:
        return ()
    keys = dict.fromkeys((m.name, m.average) for metrics in (baseline, *columns) for m in metrics)
    tested = {(test.metric, test.average): test for test in (estimated.back_test if estimated else ())}
    return tuple(
        Figure(
            name=metric_words(*key),
            realised=metric_text(_named(columns[0], *key)),
            window=metric_text(_named(columns[1], *key)),
            estimated=metric_text(_named(columns[2], *key)),
            back_test=_back_test(tested.get(key)),
            baseline=metric_text(_named(baseline, *key)),
        )
        for key in keys
    )


def _named(metrics: Sequence[Metric], name: str, average: str | None = None) -> Metric | None:
    return next((metric for metric in metrics if (metric.name, metric.average) == (name, average)), None)


def _back_test(test: EstimateError | None) -> str:
    if test is None:
        return ""
    sign = "+" if test.error >= 0 else "-"
    return f"{sign}{value_text(abs(test.error))} on {test.rows:,} labelled rows"


def _confusion(performance: Performance | None) -> tuple[tuple[str, ...], ...]:
    """The matrix as rows of a table, its first row the headings; empty where it is unknown or too large."""
    confusion = performance.confusion if performance else None
    if confusion is None or len(confusion.classes) > _CONFUSION_CLASSES_MAX:
        return ()
    head = ("True class", *(f"said {name}" for name in confusion.classes), "right")
    return (head, *(_confusion_row(confusion.classes, i, row) for i, row in enumerate(confusion.counts)))


def _confusion_row(classes: tuple[str, ...], place: int, row: tuple[int, ...]) -> tuple[str, ...]:
    rows = sum(row)
    right = share_text(row[place] / rows) if rows and place < len(row) else share_text(None)
    return (classes[place], *(f"{count:,}" for count in row), right)
