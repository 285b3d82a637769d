"""From counts to findings: every column judged, graded, put into a sentence, strongest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from drift_engine.checks import Rule, Shape, check_column
from drift_engine.results.schema import Check, ColumnFinding, DataDrift, Severity
from drift_engine.sentences import describe
from drift_engine.settings import DriftSettings
from drift_engine.summaries import (
    Cuts,
    Summary,
    missing_rows,
    reference_cuts,
    summarise_levels,
    summarise_number,
)
from drift_engine.table import Column, NumberColumn, Table, TextColumn

METHOD = "psi + hypergeometric + exceedance"
#: Classic bands of PSI: they grade a drift that was found, they do not find it.
PSI_WARNING, PSI_HIGH = 0.1, 0.2
#: The same for the change of the missing share, and for the share of novel values.
SHARE_WARNING, SHARE_HIGH = 0.05, 0.20


@dataclass(frozen=True)
class Subject:
    """What is judged: `column` of the tables, shown as `name`, with its share `weight` of the budget."""

    name: str
    column: str
    type: str
    weight: float


@dataclass(frozen=True)
class Judged:
    """A finding and the part of its PSI that chance does not explain (None without a shape verdict)."""

    finding: ColumnFinding
    excess: float | None


def judge(
    subjects: Sequence[Subject], reference: Table, window: Table, alpha: float, settings: DriftSettings
) -> tuple[Judged, ...]:
    """Judge every subject; `alpha` is the chance of any false alarm among all of them.

    Those that moved come first, by weight and severity.
    """
    judged = [
        _judge_one(subject, reference, window, Rule(alpha * subject.weight, settings.psi_floor, settings.minimum_rows))
        for subject in subjects
    ]
    return tuple(sorted(judged, key=_strongest_first))


def data_drift(judged: Sequence[Judged], alpha: float, settings: DriftSettings) -> DataDrift:
    """The verdict over the model's inputs."""
    findings = tuple(item.finding for item in judged)
    tested = [finding for finding in findings if finding.detected is not None]
    drifted = sum(finding.detected is True for finding in findings)
    scored = [(item.finding.weight, item.excess) for item in judged if item.excess is not None]
    weight = sum(part for part, _ in scored)
    return DataDrift(
        detected=drifted > 0 if tested else None,
        method=METHOD,
        score=sum(part * excess for part, excess in scored) / weight if weight else None,
        threshold=settings.score_alert,
        false_alarm_rate=alpha,
        columns_tested=len(tested),
        columns_drifted=drifted,
        drifted_ratio=drifted / len(tested) if tested else None,
        columns=findings,
    )


def unjudged(subjects: Sequence[Subject], window: Table, reason: str) -> tuple[Judged, ...]:
    """The findings of a run that had no data to judge by: counts, and everywhere the same reason."""
    return tuple(
        _assemble(subject, window, _no_checks(reason), None, reason)
        for subject in sorted(subjects, key=lambda subject: subject.name)
    )


def any_detected(findings: Sequence[ColumnFinding]) -> bool | None:
    """True if any finding says drift, None if none had enough data."""
    verdicts = [finding.detected for finding in findings if finding.detected is not None]
    return any(verdicts) if verdicts else None


def _judge_one(subject: Subject, reference: Table, window: Table, rule: Rule) -> Judged:
    before, now = reference.columns.get(subject.column), window.columns.get(subject.column)
    if before is None or now is None:
        reason = f"the {'reference' if before is None else 'log'} has no such column"
        return _assemble(subject, window, _no_checks(reason), None, reason)
    summaries = _summarise(before, now)
    if summaries is None:
        reason = "has no value in the reference, so there is nothing to compare with"
        return _assemble(subject, window, _no_checks(reason), None, reason)
    cuts, before_summary, now_summary = summaries
    shape, missing, novel = check_column(before_summary, now_summary, rule)
    sentence, kind = describe((shape.check, missing, novel), before_summary, now_summary, cuts)
    return _assemble(subject, window, (shape, missing, novel), kind, sentence)


def _summarise(reference: Column, window: Column) -> tuple[Cuts | None, Summary, Summary] | None:
    """Both summaries, cut alike; None when the reference has no value. The two columns are of one kind."""
    if isinstance(reference, NumberColumn) and isinstance(window, NumberColumn):
        cuts = reference_cuts(reference)
        if cuts is None:
            return None
        return cuts, summarise_number(reference, cuts), summarise_number(window, cuts)
    assert isinstance(reference, TextColumn)
    assert isinstance(window, TextColumn)
    before = summarise_levels(reference)
    return (None, before, summarise_levels(window)) if before.present else None


def _assemble(
    subject: Subject, window: Table, parts: tuple[Shape, Check, Check], kind: str | None, sentence: str
) -> Judged:
    shape, missing, novel = parts
    checks = (shape.check, missing, novel)
    column = window.columns.get(subject.column)
    without = window.rows if column is None else missing_rows(column)
    verdicts = [check.detected for check in checks if check.detected is not None]
    ratios = [check.drift_ratio for check in checks if check.drift_ratio is not None]
    finding = ColumnFinding(
        column=subject.name,
        type=subject.type,
        rows=window.rows - without,
        missing=without,
        weight=subject.weight,
        checks=checks,
        drift_ratio=max(ratios, default=None),
        detected=any(verdicts) if verdicts else None,
        severity=_severity(checks),
        kind=kind or "",
        sentence=sentence,
    )
    return Judged(finding, shape.excess)


def _severity(checks: tuple[Check, Check, Check]) -> Severity:
    shape, missing, novel = (check.score or 0.0 if check.detected else None for check in checks)
    grade = 0
    if shape is not None:
        grade = max(grade, 1 + (shape > PSI_WARNING) + (shape > PSI_HIGH))
    for share in (missing, novel):
        if share is not None:
            grade = max(grade, 1 + (share > SHARE_WARNING) + (share > SHARE_HIGH))
    levels: tuple[Severity, ...] = ("none", "notice", "warning", "high")
    return levels[grade]


def _no_checks(reason: str) -> tuple[Shape, Check, Check]:
    def none(name: str, method: str) -> Check:
        return Check(name, method, None, None, None, None, reason)  # type: ignore[arg-type]

    return Shape(none("shape", "psi"), None), none("missing", "hypergeometric"), none("novel", "exceedance")


def _strongest_first(item: Judged) -> tuple[bool, float, float, str]:
    finding = item.finding
    grade = get_args(Severity).index(finding.severity)
    return not finding.detected, -finding.weight * grade, -(finding.drift_ratio or 0.0), finding.column
