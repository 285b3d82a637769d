"""Values that are missing, out of the observed range, or of an unseen level, as the checks of the column found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from drift_engine.data_quality.findings import Pair, counted, first_few, graded
from drift_engine.results.schema import ColumnFinding, QualityFinding
from drift_engine.sentences import number, percent, quoted
from drift_engine.statistics.summaries import missing_rows, summarise_levels
from drift_engine.table import NumberColumn, TextColumn


def gaps_and_novelties(pair: Pair, finding: ColumnFinding) -> Iterator[QualityFinding]:
    """What the checks "missing" and "novel" of this column found, with counts and examples."""
    missing, novel = finding.check("missing"), finding.check("novel")
    if missing is not None and missing.detected:
        yield from _missing(pair, finding)
    if novel is not None and novel.detected:
        yield _novel_values(pair) if isinstance(pair.window, NumberColumn) else _unseen(pair)


def _missing(pair: Pair, finding: ColumnFinding) -> Iterator[QualityFinding]:
    rows = finding.rows + finding.missing
    before = missing_rows(pair.reference) / max(1, _rows(pair.reference))
    share = finding.missing / rows
    # The check has two sides; fewer gaps than before are no fault of the data.
    if share > before:
        said = f"{counted(finding.missing, 'row')} of {rows:,} without a value ({percent(share)})"
        sentence = f"{said}; {percent(before)} in the reference"
        yield QualityFinding("missing", pair.name, finding.missing, share, graded(share - before), sentence)


def _novel_values(pair: Pair) -> QualityFinding:
    values = pair.now
    low, high = float(pair.before.min()), float(pair.before.max())
    outside = values[(values < low) | (values > high)]
    share = len(outside) / len(values)
    # The farthest of each end in turn.
    distinct = np.unique(outside)
    ends = [value for one in zip(distinct, distinct[::-1], strict=True) for value in one]
    said = f"{counted(len(outside), 'value')} of {len(values):,} ({percent(share)})"
    sentence = f"{said} outside of {number(low)} to {number(high)}, the reference's range"
    examples = first_few(dict.fromkeys(number(float(value)) for value in ends))
    return QualityFinding("out of range", pair.name, len(outside), share, graded(share), sentence, examples)


def _unseen(pair: Pair) -> QualityFinding:
    assert isinstance(pair.reference, TextColumn)
    assert isinstance(pair.window, TextColumn)
    known, now = summarise_levels(pair.reference).counts, summarise_levels(pair.window)
    unseen = {level: count for level, count in now.counts.items() if level not in known}
    count = sum(unseen.values())
    share = count / now.present
    levels = counted(len(unseen), "level")
    sentence = f"{counted(count, 'value')} of {now.present:,} ({percent(share)}) of {levels} unseen in the reference"
    ranked = sorted(unseen, key=lambda level: (-unseen[level], level))
    examples = first_few(f"{quoted(level)} {unseen[level]:,} x" for level in ranked)
    return QualityFinding("unseen category", pair.name, count, share, graded(share), sentence, examples)


def _rows(column: NumberColumn | TextColumn) -> int:
    return len(column.values) if isinstance(column, NumberColumn) else len(column.codes)
