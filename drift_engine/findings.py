"""From counts to findings: every column judged, graded, put into a sentence, strongest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from drift_engine.results.schema import Check, ColumnFinding, DataDrift, JointDrift, Severity
from drift_engine.sentences import describe
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import Rule, Shape, check_column
from drift_engine.statistics.clustering import INDEPENDENT, LOOK_ALPHA, Clustering, measure_clustering
from drift_engine.statistics.methods import DEFAULT, Allowance, shape_by
from drift_engine.statistics.repeat_check import usual_repeat
from drift_engine.statistics.summaries import (
    missing_rows,
    summarise_pair,
)
from drift_engine.table import NumberColumn, Table

_OTHER_METHODS = "mann-whitney + mood + hypergeometric + exceedance + tarone"
#: (warning, high) by check: they grade a drift that was found, they do not find it. PSI has its classic bands; those of
#: location and spread lie where a normal column's PSI crosses them.
BANDS = {
    "shape": (0.1, 0.2),
    "location": (0.09, 0.13),
    "spread": (0.08, 0.11),
    "missing": (0.05, 0.20),
    "novel": (0.05, 0.20),
    "repeat": (0.05, 0.20),
}


@dataclass(frozen=True)
class Subject:
    """What is judged: `column` of the tables, shown as `name`, with its share `weight` of the budget."""

    name: str
    column: str
    type: str
    weight: float


@dataclass(frozen=True)
class Judged:
    """A finding, the part of its PSI that chance does not explain (None without a shape verdict), and what the
    reference says of the column's independence."""

    finding: ColumnFinding
    excess: float | None
    clustering: Clustering = INDEPENDENT


def judge(
    subjects: Sequence[Subject], reference: Table, window: Table, alpha: float, settings: DriftSettings
) -> tuple[Judged, ...]:
    """Judge every subject; `alpha` is the chance of any false alarm among all of them.

    Those that moved come first, by weight and severity.
    """
    look = LOOK_ALPHA / len(subjects)
    judged = [
        _judge_one(
            subject,
            reference,
            window,
            rule_of(subject.name, alpha * subject.weight, settings),
            look,
            settings.seed,
        )
        for subject in subjects
    ]
    return tuple(sorted(judged, key=strongest_first))


def rule_of(column: str, alpha: float, settings: DriftSettings) -> Rule:
    """How a column is judged that got `alpha` of the budget."""
    return Rule(alpha, **settings.for_column(column))


def data_drift(
    judged: Sequence[Judged], alpha: float, settings: DriftSettings, joint: JointDrift | None = None
) -> DataDrift:
    """The verdict over the model's inputs; `alpha` is their part of the budget without that of `joint`."""
    findings = tuple(item.finding for item in judged)
    tested = [finding for finding in findings if finding.detected is not None]
    drifted = sum(finding.detected is True for finding in findings)
    scored = [(item.finding.weight, _contribution(item)) for item in judged if item.excess is not None]
    weight = sum(part for part, _ in scored)
    return DataDrift(
        detected=_either(drifted > 0 if tested else None, joint),
        method=f"{'psi' if settings.method == DEFAULT else settings.method} + {_OTHER_METHODS}",
        score=sum(part * excess for part, excess in scored) / weight if weight else None,
        threshold=settings.score_alert,
        false_alarm_rate=alpha + (joint.false_alarm_rate if joint else 0.0),
        columns_tested=len(tested),
        columns_drifted=drifted,
        drifted_ratio=drifted / len(tested) if tested else None,
        columns=findings,
        joint=joint,
    )


def _either(columns: bool | None, joint: JointDrift | None) -> bool | None:
    if joint is None or joint.detected is None:
        return columns
    return bool(columns) or joint.detected


def _contribution(item: Judged) -> float:
    """A column's part in the drift score: nothing until it has moved by more than chance allows.

    Without that the noise of few columns in a small window would pass for drift: one column of ten bins exceeds the
    classic line of 0.1 in 12 of 100 windows of 50 rows without drift.
    """
    return item.excess or 0.0 if item.finding.detected else 0.0


def unjudged(subjects: Sequence[Subject], window: Table, reason: str) -> tuple[Judged, ...]:
    """The findings of a run that had no data to judge by: counts, and everywhere the same reason."""
    return tuple(
        _assemble(subject, window, _no_checks(reason), None, "", reason)
        for subject in sorted(subjects, key=lambda subject: subject.name)
    )


def any_detected(findings: Sequence[ColumnFinding]) -> bool | None:
    """True if any finding says drift, None if none had enough data."""
    verdicts = [finding.detected for finding in findings if finding.detected is not None]
    return any(verdicts) if verdicts else None


def strongest_first(item: Judged) -> tuple[bool, float, float, str]:
    """Sort key: what drifted before what did not, by weight and severity, then by ratio, then by name."""
    finding = item.finding
    grade = get_args(Severity).index(finding.severity)
    return not finding.detected, -finding.weight * grade, -(finding.drift_ratio or 0.0), finding.column


def _judge_one(subject: Subject, reference: Table, window: Table, rule: Rule, look: float, seed: int) -> Judged:
    before, now = reference.columns.get(subject.column), window.columns.get(subject.column)
    if before is None or now is None:
        side, table = ("reference", reference) if before is None else ("log", window)
        fault = table.unreadable.get(subject.column)
        reason = f"the {side} has no such column" if fault is None else f"the {side}'s column {fault}"
        return _assemble(subject, window, _no_checks(reason), None, "", reason)
    summaries = summarise_pair(before, now)
    if summaries is None:
        reason = "has no value in the reference, so there is nothing to compare with"
        return _assemble(subject, window, _no_checks(reason), None, "", reason)
    cuts, before_summary, now_summary = summaries
    rule = replace(rule, clustering=measure_clustering(before, cuts, window.rows, look))
    shape, checks = check_column(before_summary, now_summary, rule)
    if isinstance(before, NumberColumn) and any(check.name == "repeat" and check.detected for check in checks):
        # A look that costs a sort of the reference, so only now: is that usual there?
        usual = usual_repeat(before.values, window.rows)
        rule = replace(rule, clustering=replace(rule.clustering, usual_repeat_rows=usual))
        shape, checks = check_column(before_summary, now_summary, rule)
    if rule.method != DEFAULT:
        alpha = rule.shape_alpha(isinstance(before, NumberColumn))
        allowance = Allowance(alpha, rule.psi_floor, rule.minimum_rows, seed)
        checks = (shape_by(rule.method, before, now, allowance), *checks[1:])
    sentence, kind = describe(checks, before_summary, now_summary, cuts)
    return _assemble(subject, window, checks, shape, kind, sentence, rule.clustering)


def _assemble(
    subject: Subject,
    window: Table,
    checks: tuple[Check, ...],
    shape: Shape | None,
    kind: str,
    sentence: str,
    clustering: Clustering = INDEPENDENT,
) -> Judged:
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
        severity=_severity(checks, None if shape is None else shape.psi),
        kind=kind,
        sentence=sentence,
        design_effect=clustering.measured_effect,
    )
    return Judged(finding, None if shape is None else shape.excess, clustering)


def _severity(checks: tuple[Check, ...], psi: float | None) -> Severity:
    """The gravest grade of the checks that say drift; at least a notice when one does.

    A shape is graded by PSI, whichever method found its change: bands of another would mean something else.
    """
    levels: tuple[Severity, ...] = ("none", "notice", "warning", "high")
    sizes = [(check.name, psi if check.name == "shape" else check.score) for check in checks if check.detected]
    grades = [1 + sum((size or 0.0) > band for band in BANDS[name]) for name, size in sizes]
    return levels[max(grades, default=0)]


def _no_checks(reason: str) -> tuple[Check, ...]:
    return (
        Check("shape", "psi", None, None, None, None, reason),
        Check("missing", "hypergeometric", None, None, None, None, reason),
        Check("novel", "exceedance", None, None, None, None, reason),
    )
