"""What the demo prints: readable without colours, in colour on a terminal."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.rule import Rule
from rich.table import Table

from demo.generate import Shift
from demo.replay import Tally
from drift_engine.results import Result
from gateway.registry import Metric, ModelCard

if TYPE_CHECKING:
    from demo.play import Phase

#: Seconds between two lines of progress where the output is not a terminal.
LINE_EVERY_SECONDS = 10.0


def serving(console: Console, card: ModelCard, url: str) -> None:
    """Say which model the demo talks to."""
    baseline = _headline(card.baseline, card)
    figure = f", {baseline.name} {baseline.value:.3f} on its reference" if baseline else ""
    console.print(
        f"Model [bold]{card.name}[/] version {card.version}: {card.estimator}, {len(card.features)} features{figure}.\n"
        f"It serves at {url}/models/{card.name}/predict",
        highlight=False,
        soft_wrap=True,
    )


def left_out(console: Console, columns: dict[str, str]) -> None:
    """Say which columns the model does not get, and why."""
    for column, reason in columns.items():
        console.print(f"  left out: {escape(column)}, {reason}", style="dim", highlight=False)


@contextlib.contextmanager
def sending(console: Console, title: str, about: str, rows: int) -> Iterator[Callable[[Tally], None]]:
    """Announce a phase, yield what shows its progress, and close it with its count."""
    console.print()
    console.print(Rule(f"[bold]{title}[/]", align="left"))
    console.print(f"{rows:,} rows: {about}", markup=False, highlight=False)
    last = Tally(total=rows)

    try:
        with _bar(console, rows) if console.is_terminal else _lines(console) as update:

            def on_progress(tally: Tally) -> None:
                nonlocal last
                last = tally
                update(tally)

            yield on_progress
    finally:
        counts(console, last)


def counts(console: Console, tally: Tally) -> None:
    """The closing count of a replay."""
    refused, unanswered = tally.refused.total(), tally.unanswered.total()
    sentence = f"{tally.sent:,} rows sent, {tally.answered:,} answered, {refused:,} refused"
    if unanswered:
        sentence += f", {unanswered:,} without an answer"
    sentence += f"; {tally.labels_sent:,} labels sent"
    if tally.retries:
        sentence += f"; {tally.retries:,} tries repeated while the gateway was away"
    console.print(sentence, highlight=False)
    _reasons(console, "refused", tally.refused)
    _reasons(console, "no answer", tally.unanswered)
    _reasons(console, "label refused", tally.labels_refused)


def outcome(console: Console, card: ModelCard, phases: Sequence[Phase], exporter_url: str) -> None:
    """Both phases side by side, and where to read on."""
    console.print()
    console.print(Rule("[bold]What the drift engine saw[/]", align="left"))
    table = Table(show_edge=False, pad_edge=False, show_lines=True)
    table.add_column("")
    for phase in phases:
        table.add_column(phase.title, ratio=1)
    table.add_row("sent", *(escape(phase.about) for phase in phases))
    table.add_row("rows", *(_rows(phase.tally) for phase in phases))
    table.add_row("verdict", *(_coloured(verdict(phase.result), phase.result.data_drift.detected) for phase in phases))
    table.add_row("predictions", *(_moved(phase.result.prediction_drift.detected) for phase in phases))
    table.add_row("quality", *(escape(_quality(phase.result, card)) for phase in phases))
    table.add_row("concept", *(_concept(phase.result) for phase in phases))
    console.print(table)
    console.print()
    for phase in phases:
        console.print(f"{phase.title}: {verdict(phase.result)}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  {phase.folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"All reports: {exporter_url}/", markup=False, highlight=False, soft_wrap=True)


def verdict(result: Result) -> str:
    """The verdict on the data in one line: what moved, strongest first."""
    drift = result.data_drift
    if result.outcome != "ok" or drift.detected is None:
        return f"no verdict: {result.reason or result.outcome}"
    if not drift.detected:
        return f"no drift in {drift.columns_tested} columns"
    moved = [finding.column for finding in drift.columns if finding.detected]
    named = ", ".join(moved[:6]) + (f" and {len(moved) - 6} more" if len(moved) > 6 else "")
    return f"drift in {len(moved)} of {drift.columns_tested} columns: {named}"


def shift_in_words(shift: Shift, fraud_share: float) -> str:
    """What the generator changed, so that the reader can hold the verdict against it."""
    parts = []
    if shift.covariate:
        parts.append(f"{' and '.join(shift.covariate_columns)} moved by {shift.covariate:g} SD")
    if shift.missing_share:
        parts.append(f"{shift.missing_share * 100:g} % of {' and '.join(shift.missing_columns)} lost")
    if shift.fraud_share is not None:
        parts.append(
            f"{shift.fraud_share * 100:g} % frauds instead of {fraud_share * 100:g} %, "
            "so the columns they differ in move a little, too"
        )
    if shift.concept:
        parts.append("frauds look different from before")
    if shift.volume != 1:
        parts.append(f"{shift.volume:g} times as many rows")
    return "; ".join(parts) or "nothing changed"


@contextlib.contextmanager
def _bar(console: Console, rows: int) -> Iterator[Callable[[Tally], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("sending", total=rows, more="")

        def update(tally: Tally) -> None:
            settled = tally.answered + tally.refused.total() + tally.unanswered.total()
            more = f"{tally.labels_sent:,} labels"
            if tally.refused:
                more += f", {tally.refused.total():,} refused"
            description = "sending" if settled < tally.total else "waiting for labels"
            progress.update(task, completed=settled, description=description, more=more)

        yield update


@contextlib.contextmanager
def _lines(console: Console) -> Iterator[Callable[[Tally], None]]:
    printed_at = time.monotonic()

    def update(tally: Tally) -> None:
        nonlocal printed_at
        if time.monotonic() - printed_at >= LINE_EVERY_SECONDS:
            printed_at = time.monotonic()
            console.print(
                f"  {tally.answered:,} of {tally.total:,} rows answered, {tally.labels_sent:,} labels sent",
                highlight=False,
            )

    yield update


def _reasons(console: Console, what: str, reasons: Counter[str]) -> None:
    for reason, times in reasons.most_common(5):
        console.print(f"  {what} {times:,} times: {reason}", style="yellow", markup=False, highlight=False)
    if len(reasons) > 5:
        console.print(f"  and {len(reasons) - 5} more reasons", style="yellow", highlight=False)


def _rows(tally: Tally) -> str:
    refused = f", {tally.refused.total():,} refused" if tally.refused else ""
    return f"{tally.answered:,} answered{refused}, {tally.labels_sent:,} labelled"


def _headline(metrics: Sequence[Metric], card: ModelCard) -> Metric | None:
    """The one figure that stands for quality here: the mean absolute error, or the accuracy."""
    name = "mae" if card.task == "regression" else "accuracy"
    return next((metric for metric in metrics if metric.name == name and metric.average is None), None)


def _quality(result: Result, card: ModelCard) -> str:
    now, before = _headline(result.performance.metrics, card), _headline(card.baseline, card)
    if now is None:
        return f"not measured: {result.performance.reason or 'no labels'}"
    interval = f" [{now.lower:.3f}, {now.upper:.3f}]" if now.lower is not None and now.upper is not None else ""
    baseline = f"; baseline {before.value:.3f}" if before else ""
    return f"{now.name} {now.value:.3f}{interval}{baseline}"


def _concept(result: Result) -> str:
    drift = result.concept_drift
    if drift.detected is None:
        return escape(drift.reason)
    drop = f" (quality down {drift.drop_percent:.1f} %)" if drift.drop_percent is not None else ""
    return _coloured(f"drift{drop}", True) if drift.detected else "no drift"


def _moved(detected: bool | None) -> str:
    if detected is None:
        return "not enough data"
    return _coloured("drift", True) if detected else "no drift"


def _coloured(text: str, detected: bool | None) -> str:
    style = {True: "bold red", False: "green", None: "yellow"}[detected]
    return f"[{style}]{escape(text)}[/]"
