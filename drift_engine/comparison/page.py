"""The report of a comparison: our figures first, then Evidently's plots of a sample."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from drift_engine import evidently_report
from drift_engine.comparison.schema import Comparison
from drift_engine.comparison.tables import ReferenceTable
from drift_engine.comparison.text import headline, moved_columns
from drift_engine.findings import Subject
from drift_engine.pages import environment
from drift_engine.results.schema import ColumnFinding
from drift_engine.settings import DriftSettings
from drift_engine.table import Table, sample

_BODY = "<body>"


def comparison_page(
    comparison: Comparison,
    reference: ReferenceTable,
    current: Table,
    subjects: tuple[tuple[Subject, ...], tuple[Subject, ...]],
    settings: DriftSettings,
) -> str:
    """A self-contained HTML page. Where Evidently draws nothing it holds our figures alone, and says why."""
    inputs, answers = subjects
    judged = (
        *_paired(inputs, comparison.data_drift.columns),
        *_paired(answers, comparison.prediction_drift.findings),
    )
    if comparison.outcome != "ok":
        return _alone(comparison, reference, f"No plots: {comparison.reason}.")
    try:
        drawn = evidently_report.render(
            evidently_report.Comparison(
                card=None,
                judged=judged,
                reference=sample(reference.table, settings.plot_sample_rows, settings.seed),
                window=sample(current, settings.plot_sample_rows, settings.seed),
                reference_labelled=None,
                window_labelled=None,
                columns_max=settings.plot_columns_max,
            )
        )
    except evidently_report.NothingToDraw as error:
        return _alone(comparison, reference, f"The plots are missing: {error}.")
    if _BODY not in drawn.html:
        return _alone(comparison, reference, "The plots are missing: Evidently's page has changed its form.")
    return drawn.html.replace(_BODY, f"{_BODY}\n{_summary(comparison, reference, drawn.omitted)}", 1)


def _paired(subjects: Sequence[Subject], findings: Sequence[ColumnFinding]) -> list[tuple[Subject, ColumnFinding]]:
    by_name = {subject.name: subject for subject in subjects}
    return [(by_name[finding.column], finding) for finding in findings]


def _alone(comparison: Comparison, reference: ReferenceTable, notice: str) -> str:
    summary = Markup(_summary(comparison, reference, (notice,)))
    return environment().get_template("page.html.j2").render(summary=summary, title=headline(comparison))


def _summary(comparison: Comparison, reference: ReferenceTable, notices: Sequence[str]) -> str:
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            c=comparison,
            reference=reference.file,
            headline=headline(comparison),
            moved=moved_columns(comparison),
            notices=notices,
        )
    )
