"""All questions about the data of a window, asked in turn; the answers gravest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from drift_engine.data_quality.duplicates import duplicate_rows
from drift_engine.data_quality.files import file_faults
from drift_engine.data_quality.findings import Pair
from drift_engine.data_quality.gaps import gaps_and_novelties
from drift_engine.data_quality.odd_values import odd_values
from drift_engine.data_quality.refusals import refused_requests
from drift_engine.data_quality.repeats import standstill
from drift_engine.data_quality.volume import EARLIER_MIN, earlier_counts, volume_anomaly
from drift_engine.findings import Subject
from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.refusals import Refusals
from drift_engine.results.schema import ColumnFinding, DataQuality, QualityFinding, QualityKind, Severity, Window
from drift_engine.settings import DriftSettings
from drift_engine.table import Table
from gateway.registry import ModelCard


def assess_log(
    card: ModelCard, window: Window, live: LiveRows, refused: Refusals, of_table: Iterable[QualityFinding]
) -> DataQuality:
    """What is wrong with a window of the log: `of_table`, what was found in its rows, and what files and times say.

    `refused`: what was asked in that window and did not come into the log.
    """
    rows = int(live.in_window.sum())
    findings = [
        *of_table,
        *file_faults(card, live, refused),
        *refused_requests(refused, rows),
        *volume_anomaly(live, window),
    ]
    unanswered = []
    earlier = len(earlier_counts(live, window))
    if earlier < EARLIER_MIN:
        unanswered.append(
            f"whether the number of rows is usual: not enough history ({earlier} windows of this length before it were "
            f"read, {EARLIER_MIN} are needed; scheduled runs read 24 hours)"
        )
    return DataQuality(in_order(findings), tuple(unanswered))


def assess_table(
    inputs: Sequence[Subject],
    findings: Sequence[ColumnFinding],
    reference: Table,
    window: Table,
    alpha: float,
    settings: DriftSettings,
) -> Iterator[QualityFinding]:
    """What is wrong with the rows of a window. Both tables are in order of time.

    Args:
        inputs: the columns to ask about; `findings` what the drift checks found in each.
        alpha: the chance of any finding that chance alone makes.
    """
    by_name = {finding.column: finding for finding in findings}
    sound = []
    for subject in inputs:
        before, now = reference.columns.get(subject.column), window.columns.get(subject.column)
        if before is None or now is None:
            continue
        # Each column is asked one question that chance could answer wrongly, and the rows another.
        pair = Pair(subject.name, before, now, alpha / (len(inputs) + 1))
        faults = tuple(_of_column(pair, by_name[subject.name], settings))
        yield from faults
        if not faults:
            sound.append(subject.column)
    # Where a column stands still or went missing, rows repeat for that alone.
    yield from duplicate_rows(reference, window, sound, alpha / (len(inputs) + 1))


def in_order(findings: Iterable[QualityFinding]) -> tuple[QualityFinding, ...]:
    """Gravest first."""
    return tuple(sorted(findings, key=_gravest_first))


def _of_column(pair: Pair, finding: ColumnFinding, settings: DriftSettings) -> Iterator[QualityFinding]:
    odd = tuple(odd_values(pair))
    explained = {item.count for item in odd}
    for item in gaps_and_novelties(pair, finding):
        # The same values need no second finding that says less.
        if item.kind != "out of range" or item.count not in explained:
            yield item
    yield from odd
    yield from standstill(pair, settings.minimum_rows)


def _gravest_first(item: QualityFinding) -> tuple[int, int, float, str]:
    grades, kinds = get_args(Severity), get_args(QualityKind)
    return -grades.index(item.severity), kinds.index(item.kind), -item.share, item.column
