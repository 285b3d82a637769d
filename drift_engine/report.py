"""The report page: our summary first, then Evidently's plots; or the summary alone, which then says why."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from drift_engine import evidently_report
from drift_engine.explaining.explain import segment_words, since_words
from drift_engine.findings import Subject
from drift_engine.labels.words import label_words
from drift_engine.pages import environment
from drift_engine.results.incidents import Incident, Incidents
from drift_engine.results.schema import SCALE_PHRASES, ColumnFinding, Result
from drift_engine.sentences import better_or_worse
from drift_engine.settings import DriftSettings
from drift_engine.subjects import answer_subjects, input_subjects
from drift_engine.table import Table
from drift_engine.verdict import decisive, measure, verdict
from gateway.registry import ModelCard

_BODY = "<body>"


@dataclass(frozen=True)
class Samples:
    """The rows that plots are drawn from; the labelled ones are None where quality was not judged."""

    reference: Table
    window: Table
    reference_labelled: Table | None
    window_labelled: Table | None


def report_page(result: Result, card: ModelCard, samples: Samples | None, incidents: Incidents | None = None) -> str:
    """A self-contained HTML page. Without samples, or when Evidently draws nothing, it holds our figures alone.

    Args:
        incidents: of the model version, after this run; None where they are not known.
    """
    lasting = incidents.open if incidents is not None else ()
    if samples is None:
        return _page(result, "", lasting)
    try:
        rendered = evidently_report.render(_comparison(result, card, samples))
    except evidently_report.NothingToDraw as error:
        return _page(result, f"The plots are missing: {error}.", lasting)
    if _BODY not in rendered.html:
        return _page(result, "The plots are missing: Evidently's page has changed its form.", lasting)
    summary = _summary(result, "", rendered.omitted, samples, lasting)
    return rendered.html.replace(_BODY, f"{_BODY}\n{summary}", 1)


def _comparison(result: Result, card: ModelCard, samples: Samples) -> evidently_report.Comparison:
    # By name and type alone: the weights are in the findings.
    settings = DriftSettings()
    inputs = input_subjects(card, settings)
    return evidently_report.Comparison(
        card=card,
        judged=(
            *_in_order(result.data_drift.columns, inputs),
            *_in_order(result.prediction_drift.findings, answer_subjects(card, settings)),
        ),
        reference=samples.reference,
        window=samples.window,
        reference_labelled=samples.reference_labelled,
        window_labelled=samples.window_labelled,
        columns_max=int(result.config["plot_columns_max"]),
    )


def _in_order(findings: Sequence[ColumnFinding], subjects: Sequence[Subject]) -> list[tuple[Subject, ColumnFinding]]:
    """The subjects in the order of their findings, strongest first."""
    by_name = {subject.name: subject for subject in subjects}
    return [(by_name[finding.column], finding) for finding in findings]


def _page(result: Result, notice: str, incidents: tuple[Incident, ...]) -> str:
    title = f"{result.model_name} {result.model_version}: {verdict(result).headline}"
    summary = Markup(_summary(result, notice, (), None, incidents))
    return _environment().get_template("page.html.j2").render(summary=summary, title=title)


def _summary(
    result: Result, notice: str, omitted: tuple[str, ...], samples: Samples | None, incidents: tuple[Incident, ...]
) -> str:
    return (
        _environment()
        .get_template("summary.html.j2")
        .render(
            r=result,
            verdict=verdict(result),
            notice=notice,
            omitted=omitted,
            samples=samples,
            incidents=incidents,
        )
    )


@functools.cache
def _environment() -> jinja2.Environment:
    return environment(
        decisive=decisive,
        measure=measure,
        better_or_worse=better_or_worse,
        scale_phrase=SCALE_PHRASES.__getitem__,
        since_words=since_words,
        segment_words=segment_words,
        label_words=label_words,
    )
