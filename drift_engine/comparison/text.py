"""Comparisons in words, for the terminal, and as JUnit suites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drift_engine.comparison.compare import detected_schema, judgement
from drift_engine.comparison.schema import Comparison, Comparisons
from drift_engine.exit_codes import Gate, Judgement
from drift_engine.junit import DEFAULT_GATES, Case, Suite, column_cases, enough_data
from drift_engine.results.schema import ColumnFinding, QualityFinding

_COLUMNS_SHOWN_MAX, _FAULTS_SHOWN_MAX = 12, 6


def lines_of(found: Comparisons) -> Iterator[str]:
    """All comparisons, a headline and the columns that moved for each."""
    reference = found.reference
    yield f"reference {_plain(reference.path)}: {reference.rows} rows, SHA-256 {reference.sha256[:16]}..."
    for comparison in found.comparisons:
        yield f"{headline(comparison)}  ({_plain(comparison.current.path)}, {comparison.current.rows} rows)"
        for schema in comparison.schema:
            yield f"  {_plain(schema.column)}: {schema.kind}: {_plain(schema.sentence)}"
        yield from _moved_lines(moved_columns(comparison))
        yield from _fault_lines(comparison.data_quality)
        if comparison.report is not None:
            yield f"  report: {_plain(comparison.report)}"
    if found.comparisons:
        yield from (f"not compared: {_plain(sentence)}" for sentence in found.comparisons[0].not_compared)


def headline(comparison: Comparison) -> str:
    """The verdict in one line."""
    if comparison.outcome == "failed":
        return f"FAILED: {_plain(comparison.reason or '')}"
    schema = detected_schema(comparison)
    found = [f"{len(schema)} of the columns are missing or of a wrong type"] if schema else []
    data = comparison.data_drift
    if data.detected:
        found.append(f"{data.columns_drifted} of {data.columns_tested} columns moved")
    if comparison.prediction_drift.detected:
        found.append("label or prediction moved")
    if comparison.outcome == "insufficient_data":
        found.append(f"not enough data ({comparison.reason})")
        return f"DRIFT: {'; '.join(found)}" if judgement(comparison).drift else found[0]
    if found:
        return f"DRIFT: {'; '.join(found)}"
    return f"no drift: {data.columns_tested} columns moved no more than chance allows"


def moved_columns(comparison: Comparison) -> tuple[ColumnFinding, ...]:
    """The columns that moved, inputs first."""
    found = (*comparison.data_drift.columns, *comparison.prediction_drift.findings)
    return tuple(finding for finding in found if finding.detected)


def suite_of(comparison: Comparison, gates: Sequence[Gate]) -> Suite:
    """A comparison as a JUnit suite."""
    name = comparison.current.path
    if comparison.outcome == "failed":
        return Suite(name, (Case("run", "outcome", "error", comparison.reason or ""),))
    stopping = gates or DEFAULT_GATES
    schema = [
        Case(
            "schema",
            finding.column,
            "failure" if Judgement(finding.detected, finding.detected, False).stopped_by(stopping) else "passed",
            f"{finding.kind}: {finding.sentence}",
        )
        for finding in comparison.schema
    ]
    return Suite(
        name,
        (
            enough_data(comparison.outcome == "insufficient_data", comparison.reason, gates),
            *schema,
            *column_cases("inputs", comparison.data_drift.columns, gates),
            *column_cases("answers", comparison.prediction_drift.findings, gates),
        ),
    )


def _moved_lines(findings: Sequence[ColumnFinding]) -> Iterator[str]:
    shown = findings[:_COLUMNS_SHOWN_MAX]
    width = max((len(_plain(finding.column)) for finding in shown), default=0)
    for finding in shown:
        ratio = finding.drift_ratio or 0.0
        yield f"  {_plain(finding.column):<{width}}  {ratio:>8.2f} x allowed  {_plain(finding.sentence)}"
    if len(findings) > len(shown):
        yield f"  and {len(findings) - len(shown)} more"


def _fault_lines(faults: Sequence[QualityFinding]) -> Iterator[str]:
    for fault in faults[:_FAULTS_SHOWN_MAX]:
        place = f" in {_plain(fault.column)}" if fault.column else ""
        yield f"  data quality, {fault.severity}: {fault.kind}{place}: {_plain(fault.sentence)}"
    if len(faults) > _FAULTS_SHOWN_MAX:
        yield f"  and {len(faults) - _FAULTS_SHOWN_MAX} more data quality findings"


def _plain(text: str) -> str:
    """Without control characters: a column or category name must not steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
