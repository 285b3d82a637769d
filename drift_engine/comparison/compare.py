"""Judge one table against another by the rule of the runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drift_engine.comparison.schema import Comparison, SchemaFinding, TableFile
from drift_engine.comparison.tables import CurrentTable, ReferenceTable, UnusableTable, read_current
from drift_engine.data_quality.assess import assess_table, in_order
from drift_engine.exit_codes import Judgement, is_grave
from drift_engine.findings import Judged, Subject, any_detected, data_drift, judge, unjudged
from drift_engine.results.schema import Outcome, PredictionDrift, QualityFinding
from drift_engine.settings import DriftSettings
from drift_engine.subjects import ANSWERS_SHARE, INPUTS_SHARE
from drift_engine.table import Table


@dataclass(frozen=True)
class Compared:
    """A comparison with the tables that it is of; `current` is None where the file cannot be read."""

    comparison: Comparison
    current: Table | None


def subjects_of(reference: ReferenceTable, answers: Sequence[str]) -> tuple[tuple[Subject, ...], tuple[Subject, ...]]:
    """What is judged: inputs, then the label and prediction columns named in `answers`; equally weighted."""

    def equal(names: list[str]) -> tuple[Subject, ...]:
        return tuple(Subject(name, name, reference.types[name], 1 / len(names)) for name in names)

    inputs = [name for name in reference.types if name not in answers]
    return equal(inputs), equal([name for name in reference.types if name in answers])


def compare_file(
    path: Path, reference: ReferenceTable, exclude: Sequence[str], answers: Sequence[str], settings: DriftSettings
) -> Compared:
    """Compare one file. One that cannot be read is a comparison of outcome "failed"."""
    try:
        current = read_current(path, reference, exclude)
    except (UnusableTable, OSError) as error:
        return Compared(_failed(path, reference, answers, str(error), settings), None)
    return Compared(_judged(reference, current, answers, settings), current.table)


def judgement(comparison: Comparison) -> Judgement:
    """What a comparison says to the gates of `--fail-on`."""
    found = (*comparison.data_drift.columns, *comparison.prediction_drift.findings)
    moved: list[str] = [finding.severity for finding in found if finding.detected]
    moved += [finding.severity for finding in detected_schema(comparison)]
    return Judgement(
        drift=bool(moved),
        grave=any(map(is_grave, moved)),
        insufficient=comparison.outcome == "insufficient_data",
        failed=comparison.outcome == "failed",
    )


def _judged(
    reference: ReferenceTable, current: CurrentTable, answers: Sequence[str], settings: DriftSettings
) -> Comparison:
    inputs, outputs = subjects_of(reference, answers)
    # The whole budget is for the inputs where nothing else is judged.
    shares = (INPUTS_SHARE, ANSWERS_SHARE) if inputs and outputs else (1.0, 1.0)
    reason = _too_few(reference.file, current.file, settings.minimum_rows)
    if reason is None:
        judged = [
            judge(subjects, reference.table, current.table, settings.alpha * share, settings) if subjects else ()
            for subjects, share in zip((inputs, outputs), shares, strict=True)
        ]
        if not any(item.finding.detected is not None for part in judged for item in part):
            reason = "no column has enough values to be judged"
    else:
        judged = [unjudged(subjects, current.table, reason) for subjects in (inputs, outputs)]
    outcome: Outcome = "ok" if reason is None else "insufficient_data"
    found = tuple(item.finding for item in judged[1])
    return Comparison(
        current=current.file,
        outcome=outcome,
        reason=reason,
        schema=current.schema,
        data_drift=data_drift(judged[0], settings.alpha * shares[0] if inputs else 0.0, settings),
        prediction_drift=PredictionDrift(any_detected(found), settings.alpha * shares[1] if outputs else 0.0, found),
        not_compared=reference.not_compared,
        data_quality=_faults(inputs, judged[0], reference.table, current.table, settings) if reason is None else (),
    )


def _faults(
    inputs: Sequence[Subject], judged: Sequence[Judged], reference: Table, current: Table, settings: DriftSettings
) -> tuple[QualityFinding, ...]:
    findings = [item.finding for item in judged]
    return in_order(assess_table(inputs, findings, reference, current, settings.alpha, settings)) if inputs else ()


def _too_few(reference: TableFile, current: TableFile, needed: int) -> str | None:
    for file, side in ((current, "current"), (reference, "reference")):
        if file.rows < needed:
            return f"{file.rows} rows in the {side} file, {needed} needed"
    return None


def _failed(
    path: Path, reference: ReferenceTable, answers: Sequence[str], reason: str, settings: DriftSettings
) -> Comparison:
    nothing = CurrentTable(TableFile(str(path), 0, ""), Table({}, 0), ())
    found = _judged(reference, nothing, answers, settings)
    return dataclasses.replace(found, outcome="failed", reason=reason)


def detected_schema(comparison: Comparison) -> tuple[SchemaFinding, ...]:
    """The columns that are not on both sides alike, and that count as drift."""
    return tuple(finding for finding in comparison.schema if finding.detected)
