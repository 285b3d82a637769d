"""The refusals of a window: what the gateway refused for its content, summed up over the refusal log by cause.

A line belongs to the window in which it was written, a few seconds after what it counts. That nothing is recorded for
a window is no proof that nothing was refused: the gateway may have been an older one, or its disk full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.log_files import Log, chain_of, files_of, recorded_files
from drift_engine.reading.parsing import no_rows
from drift_engine.results.schema import InputFile
from gateway.log import refusals
from gateway.registry import ModelCard

#: Of each cause so many different examples are kept, those of the most requests.
EXAMPLES_MAX = 5
_NAMES = ("reason", "feature", "requests", "rows", "example")
_CAUSE = ["reason", "feature"]


@dataclass(frozen=True)
class Cause:
    """Requests that were refused for one reason.

    Attributes:
        feature: the one that it is about; "" for what is about whole requests.
        rows: those that the requests asked for.
        examples: values that were refused, as the gateway shows them.
    """

    reason: str
    feature: str
    requests: int
    rows: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Refusals:
    """What a window's lines come to; without any line all is 0 and empty, and nothing is known.

    Attributes:
        requests, rows: that were refused, and that they asked for; each request once, whatever its causes.
        causes: those of the most rows first.
        inputs: every file that was read, as it was read.
        corrupt: damaged lines that may belong to the window.
        dropped: lines left out, by reason.
    """

    requests: int = 0
    rows: int = 0
    causes: tuple[Cause, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    corrupt: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


def read_refusals(
    live: Path,
    card: ModelCard,
    *,
    cache: ColumnCache,
    start: str,
    end: str,
    recorded: Sequence[InputFile] | None = None,
) -> Refusals:
    """Read the lines with start <= until < end. With `recorded`, the inputs of an earlier run, what that run read.

    Raises:
        InputGone: a recorded file is not there any more.
    """
    listed = refusals.segments(live, card.name, card.version)
    files, known = files_of("refusals", listed, recorded_files(live, recorded))
    columns, span = refusals.columns(), (start, end)
    log = Log("refusals", live, columns, _NAMES, "until", span, files, chain_of(live), cache, known)
    nothing = no_rows(columns, _NAMES)
    tables = [nothing]
    # Copies hold texts as dictionaries; a column has one type only.
    figures = log.read(span, lambda table: tables.append(table.cast(nothing.schema)))
    lines = pa.concat_tables(tables)
    whole = lines.filter(_is_whole(lines))
    causes = _causes(whole)
    rejected = sum(table.num_rows for table in figures.rejected) + lines.num_rows - whole.num_rows
    left_out = {
        "unreadable refusal": figures.unreadable_lines + rejected,
        "expired meanwhile": figures.expired_rows,
    }
    return Refusals(
        # That of all of them together is the largest, unless its line is damaged.
        requests=max((cause.requests for cause in causes), default=0),
        rows=max((cause.rows for cause in causes), default=0),
        causes=tuple(cause for cause in causes if cause.reason != refusals.ANY),
        inputs=figures.inputs,
        corrupt=sum(figures.corrupt),
        dropped={reason: count for reason, count in left_out.items() if count},
    )


def _is_whole(lines: pa.Table) -> pa.ChunkedArray:
    """Which lines say a reason, a feature and two counts."""
    said = pc.and_(pc.is_valid(lines["reason"]), pc.is_valid(lines["feature"]))
    counts = pc.and_(pc.is_finite(lines["requests"]), pc.is_finite(lines["rows"]))
    return pc.and_(said, pc.fill_null(counts, False))


def _causes(lines: pa.Table) -> list[Cause]:
    """Those of the most rows first."""
    examples: dict[tuple[str, str], list[tuple[int, str]]] = {}
    shown = lines.filter(pc.is_valid(lines["example"])).group_by([*_CAUSE, "example"]).aggregate([("requests", "sum")])
    for row in shown.to_pylist():
        examples.setdefault(_key(row), []).append((-int(row["requests_sum"]), row["example"]))
    counted = lines.group_by(_CAUSE).aggregate([("requests", "sum"), ("rows", "sum")])
    found = [
        Cause(
            *_key(row),
            requests=int(row["requests_sum"]),
            rows=int(row["rows_sum"]),
            examples=tuple(text for _, text in sorted(examples.get(_key(row), ()))[:EXAMPLES_MAX]),
        )
        for row in counted.to_pylist()
    ]
    return sorted(found, key=lambda cause: (-cause.rows, cause.feature, cause.reason))


def _key(row: dict[str, str]) -> tuple[str, str]:
    return row["reason"], row["feature"]
