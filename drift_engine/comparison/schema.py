"""What comparing two tables says, as the command's JSON has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drift_engine.results.schema import DataDrift, Outcome, PredictionDrift, QualityFinding, Severity

FORMAT = "sentinelml.comparison"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class TableFile:
    """A file as it was read: `sha256` of its bytes, in hexadecimal."""

    path: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class SchemaFinding:
    """A column that is not on both sides alike.

    Attributes:
        detected: it counts as drift: what relies on the column cannot work as before. A new column does not count.
        count: values of the wrong type; 0 for a column that one side does not have.
    """

    column: str
    kind: Literal["missing column", "new column", "wrong type"]
    severity: Severity
    detected: bool
    sentence: str
    count: int = 0


@dataclass(frozen=True)
class Comparison:
    """One current file against the reference.

    Attributes:
        outcome: "ok"; "insufficient_data" and "failed" (the file cannot be read), both with a `reason`.
        data_drift: over the inputs; `prediction_drift` over the label and prediction columns, where named.
        data_quality: what is wrong with the values of the file, whatever moved, gravest first.
        not_compared: a sentence for each column that cannot be, such as one of dates.
        report: the HTML page, where one was asked for.
    """

    current: TableFile
    outcome: Outcome
    reason: str | None
    schema: tuple[SchemaFinding, ...]
    data_drift: DataDrift
    prediction_drift: PredictionDrift
    not_compared: tuple[str, ...] = ()
    report: str | None = None
    data_quality: tuple[QualityFinding, ...] = ()


@dataclass(frozen=True)
class Comparisons:
    """All comparisons of one call. Equal files and options give equal bytes."""

    reference: TableFile
    alpha: float
    comparisons: tuple[Comparison, ...]
    libraries: dict[str, str]
    format: str = FORMAT
    format_version: int = FORMAT_VERSION
