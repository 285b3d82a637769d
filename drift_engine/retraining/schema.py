"""`model_report.json`: what a candidate was fitted on, and how it compares with the version it came from."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from drift_engine.paired.schema import PairedComparison
from drift_engine.results.schema import InputFile
from gateway.registry import Metric

FORMAT = "sentinelml.model_report"
FORMAT_VERSION = 1
#: The report's files, in `reports/<name>/<version>/`.
PAGE, DOCUMENT = "model_report.html", "model_report.json"


@dataclass(frozen=True)
class RowsUsed:
    """Rows of one source.

    Attributes:
        source: e.g. "log of version 1", or the training table's file name.
        first, last: times of their predictions, RFC 3339 in UTC; None for a table, which has none.
        classes: rows by true class; empty for regression.
        sha256: of the training table's bytes; None for a log, whose files are in `inputs`.
    """

    source: str
    rows: int
    first: str | None
    last: str | None
    classes: dict[str, int]
    sha256: str | None = None


@dataclass(frozen=True)
class ClassFigures:
    """One class of the judged rows; a figure is None where nothing was predicted so. 95 % Wilson intervals."""

    label: str
    rows: int
    champion_precision: Metric | None
    champion_recall: Metric
    candidate_precision: Metric | None
    candidate_recall: Metric


@dataclass(frozen=True)
class Slice:
    """Judged rows of some time, [start, end]: the deciding kind of figure (accuracy or MAE) of both."""

    start: str
    end: str
    rows: int
    champion: float
    candidate: float


@dataclass(frozen=True)
class CalibrationBin:
    """Rows with similar scores: their mean score, and what came true (a share, with its Wilson interval)."""

    rows: int
    score: float
    observed: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class ModelReport:
    """One retraining. Times and durations apart, equal inputs give equal reports.

    Attributes:
        model_version: the candidate; `champion`: the version that it was retrained from, and is compared with.
        fitted: the candidate was fitted on these; `judged`: both were judged on these, and neither was fitted on them.
        labels_after_split: fitted rows whose label was received only after the first judged row's prediction: somebody
            who had retrained at that time would not have had them.
        left_out: rows that were not used, by reason.
        champion_metrics, candidate_metrics: on the judged rows, with 95 % intervals of their own.
        notes: what whoever promotes the candidate may want to know; `not_checked`: what this report is silent about.
        inputs: files of both logs, as they were read.
        parameters: the pipeline's, as scikit-learn prints it.
    """

    model_name: str
    model_version: str
    champion: str
    made_at: str
    task: str
    estimator: str
    parameters: str
    comparison: PairedComparison
    fitted: tuple[RowsUsed, ...]
    judged: RowsUsed
    labels_after_split: int
    left_out: dict[str, int]
    champion_metrics: tuple[Metric, ...]
    candidate_metrics: tuple[Metric, ...]
    classes: tuple[ClassFigures, ...]
    slices: tuple[Slice, ...]
    champion_calibration: tuple[CalibrationBin, ...]
    candidate_calibration: tuple[CalibrationBin, ...]
    notes: tuple[str, ...]
    not_checked: tuple[str, ...]
    artifact_sha256: str
    champion_artifact_sha256: str
    reference_sha256: str
    inputs: tuple[InputFile, ...]
    seed: int
    libraries: dict[str, str] = field(default_factory=dict)
    format: str = FORMAT
    format_version: int = FORMAT_VERSION


def encode(report: ModelReport) -> bytes:
    """The bytes of `model_report.json`, indented for people."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
