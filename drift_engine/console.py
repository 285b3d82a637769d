"""What a person sees at the terminal: progress while it runs, then the verdict and what it rests on."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from drift_engine.explaining.explain import segment_words, since_words
from drift_engine.labels.words import label_words
from drift_engine.results.incidents import Incidents
from drift_engine.results.quality import Estimate
from drift_engine.results.schema import ColumnFinding, DataQuality, Performance, Result
from drift_engine.run import Committed
from drift_engine.sentences import printable
from drift_engine.verdict import drifted, verdict
from gateway.registry import Metric

_TONES = {"good": "bold green", "bad": "bold red", "unknown": "bold yellow"}
_COLUMNS_SHOWN_MAX = 12
_FAULTS_SHOWN_MAX = 6
_REASONS_SHOWN_MAX = 3
_INCIDENTS_SHOWN_MAX = 3
_METRICS_SHOWN = ("accuracy", "f1_score", "roc_auc", "mae", "rmse", "r2")


def print_summary(committed: Committed, stream: TextIO | None = None) -> None:
    """The run in words on `stream` (standard output): verdict, columns, quality, rows, report."""
    console = Console(file=stream or sys.stdout, soft_wrap=True, highlight=False)
    result = committed.result
    said = verdict(result)
    console.print(_headline(result, said.headline, said.detail, _TONES[said.tone]))
    window = result.window
    console.print(f"window {window.start} to {window.end} ({window.kind})", style="dim", markup=False)
    _print_columns(console, drifted(result))
    if result.data_drift.joint is not None:
        console.print(f"together: {printable(result.data_drift.joint.sentence)}", markup=False)
    if result.outcome != "failed":
        if result.data_quality is not None:
            _print_faults(console, result.data_quality)
        console.print(_quality_line(result), markup=False)
        if result.estimated is not None:
            console.print(_estimated_line(result.estimated), markup=False)
        if result.labels is not None:
            console.print(f"labels: {label_words(result.labels)}", markup=False)
        _print_diagnosis(console, result)
        console.print(_rows_line(result), markup=False)
        if result.independence is not None and result.independence.clustered:
            console.print(f"how sure: {result.independence.sentence}", markup=False)
        _print_retraining(console, result)
    _print_incidents(console, committed.incidents)
    console.print(f"report: {committed.report}", markup=False)


def one_line(committed: Committed) -> str:
    """The run in one plain line, for logs."""
    result = committed.result
    said = verdict(result)
    detail = f": {said.detail}" if said.detail else ""
    return f"{result.model_name} {result.model_version} {said.headline}{detail} [{committed.report}]"


class TerminalProgress:
    """Progress as a bar on standard error where that is a terminal, as plain lines otherwise."""

    def __init__(self, title: str) -> None:
        self._title = title
        # The stream itself, not whatever sys.stderr is later: drawing silences that for a while.
        console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(escape(title), total=None, count="")

    def __enter__(self) -> TerminalProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, name: str) -> None:
        """A stage begins."""
        if self._bar is None:
            print(f"{self._title}: {name}", file=sys.stderr, flush=True)
        else:
            self._bar.update(self._task, description=escape(f"{self._title}: {name}"), total=None, count="")

    def files(self, done: int, total: int) -> None:
        """So many of the log's files are read."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, count=f"{done}/{total} files")


def _headline(result: Result, headline: str, detail: str, style: str) -> Text:
    text = Text.assemble((headline, style))
    if detail:
        text.append(f": {printable(detail)}")
    text.append(f"  ({result.model_name} {result.model_version})", style="dim")
    return text


def _print_columns(console: Console, findings: tuple[ColumnFinding, ...]) -> None:
    shown = findings[:_COLUMNS_SHOWN_MAX]
    width = max((len(printable(finding.column)) for finding in shown), default=0)
    for finding in shown:
        line = Text(f"  {printable(finding.column):<{width}}  ")
        line.append(f"{finding.drift_ratio or 0.0:>8.2f} x allowed", style="red")
        seen = f"{finding.seen}: " if finding.seen else ""
        line.append(f"  {seen}{printable(finding.sentence)}")
        console.print(line)
        if told := _explanation(finding):
            console.print(f"  {'':<{width}}  {printable(told)}", style="dim", markup=False)
    if len(findings) > len(shown):
        console.print(f"  and {len(findings) - len(shown)} more", markup=False)


def _explanation(finding: ColumnFinding) -> str:
    """Since when and where; empty for a column that was not explained."""
    since = [since_words(finding.onset)] if finding.onset else []
    return "; ".join([*since, *(segment_words(segment) for segment in finding.segments)])


def _print_faults(console: Console, quality: DataQuality) -> None:
    """What is wrong with the data; nothing where nothing is."""
    for finding in quality.findings[:_FAULTS_SHOWN_MAX]:
        place = f" in {finding.column}" if finding.column else ""
        line = Text(
            f"data quality, {finding.severity}: {finding.kind}{printable(place)}: {printable(finding.sentence)}"
        )
        console.print(line)
    if len(quality.findings) > _FAULTS_SHOWN_MAX:
        console.print(f"  and {len(quality.findings) - _FAULTS_SHOWN_MAX} more data quality findings", markup=False)


def _print_diagnosis(console: Console, result: Result) -> None:
    """What kind of drift it is and what that means; what is known before labels; quality over days."""
    if result.diagnosis:
        console.print(f"what it means: {result.diagnosis}", markup=False)
    for sign in result.concept_drift.early:
        console.print(f"early sign, no verdict: {printable(sign)}", markup=False)
    if result.concept_drift.trend is not None:
        console.print(f"over days: {result.concept_drift.trend.sentence}", markup=False)


def _quality_line(result: Result) -> str:
    performance: Performance = result.performance
    if performance.outcome != "ok":
        return f"quality: unknown, {performance.reason}"
    figures = []
    for metric in performance.metrics:
        if metric.name in _METRICS_SHOWN and metric.average in (None, "positive"):
            figures.append(f"{metric.name} {metric.value:.4g}{_baseline(performance, metric)}")
    return f"quality on {performance.labelled_rows} labelled rows: " + ", ".join(figures)


def _estimated_line(estimate: Estimate) -> str:
    """Estimated figures, how far labels have borne them out, and whether to trust them."""
    if estimate.reason is not None:
        return f"estimated quality: none, {printable(estimate.reason)}"
    figures = []
    for metric in estimate.metrics:
        if metric.name in _METRICS_SHOWN and metric.average in (None, "positive"):
            tested = [e for e in estimate.back_test if (e.metric, e.average) == (metric.name, metric.average)]
            missed = f" (off by {tested[0].error:+.2g} on {tested[0].rows} labelled rows)" if tested else ""
            figures.append(f"{metric.name} {metric.value:.4g}{missed}")
    trust = "" if estimate.trusted else f"; {printable(estimate.caution)}"
    return f"estimated quality of {estimate.rows} rows, without labels: {', '.join(figures)}{trust}"


def _baseline(performance: Performance, metric: Metric) -> str:
    known = [m.value for m in performance.baseline if (m.name, m.average) == (metric.name, metric.average)]
    return f" (baseline {known[0]:.4g})" if known else ""


def _rows_line(result: Result) -> str:
    rows = result.rows
    dropped = "".join(f", {count} dropped ({reason})" for reason, count in rows.dropped.items())
    return (
        f"rows: {rows.read} read{dropped}, {rows.corrupt} corrupt lines; reference {rows.reference}{_reference(result)}"
    )


def _reference(result: Result) -> str:
    """How the reference was chosen where it is not the registered file; and that it is too small."""
    used = result.reference
    if used is None:
        return ""
    chosen = "" if used.kind == "file" else f" ({used.asked})"
    return f"{chosen}; {used.warning}" if used.warning else chosen


def _print_retraining(console: Console, result: Result) -> None:
    """The decision; and where something is to be done or watched, why."""
    decided = result.retraining
    console.print(f"retraining: {decided.decision}", markup=False)
    if decided.decision in ("watch", "recommended"):
        for told in (*decided.reasons[:_REASONS_SHOWN_MAX], *decided.evidence):
            console.print(f"  {printable(told)}", markup=False)


def _print_incidents(console: Console, incidents: Incidents | None) -> None:
    """What lasts over scheduled runs; nothing where nothing does."""
    lasting = incidents.open if incidents is not None else ()
    for incident in lasting[:_INCIDENTS_SHOWN_MAX]:
        about = f" of {incident.subject}" if incident.subject else ""
        line = (
            f"incident, {incident.severity}: {incident.alert.replace('_', ' ')}{about}, first seen "
            f"{incident.first_seen_at[:19]}Z, last seen {incident.last_seen_at[:19]}Z: {incident.cause}"
        )
        console.print(printable(line), markup=False)
    if len(lasting) > _INCIDENTS_SHOWN_MAX:
        console.print(f"  and {len(lasting) - _INCIDENTS_SHOWN_MAX} more open incidents", markup=False)
