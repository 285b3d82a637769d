"""What `result.json` says. Everything that the exporter, the pages and the JSON API show comes from here.

"No answer" is a value: a verdict is True, False or None, and None is "not enough data", never "healthy".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from drift_engine.results.quality import Confusion, Estimate, LabelCounts, Trend
from gateway.registry import Metric

FORMAT = "sentinelml.run_result"
FORMAT_VERSION = 1

Outcome = Literal["ok", "insufficient_data", "failed"]
Severity = Literal["none", "notice", "warning", "high", "critical"]
#: The rows that a time scale judges, in words. An ad hoc run has one scale, its window, which needs none.
SCALE_PHRASES = {"interval": "since the run before", "hour": "in the last hour", "day": "in the last 24 hours"}
#: What can be wrong with data, whether or not a distribution moved.
QualityKind = Literal[
    "refused",
    "missing",
    "out of range",
    "impossible spike",
    "sentinel value",
    "unseen category",
    "constant",
    "stuck",
    "duplicate rows",
    "wrong type",
    "damaged lines",
    "schema mismatch",
    "volume",
]


@dataclass(frozen=True)
class Window:
    """The rows compared: `start` <= timestamp < `end`, both RFC 3339 in UTC.

    `kind`: "scheduled" windows join one another; an "adhoc" one was asked for by a person.
    """

    start: str
    end: str
    kind: Literal["scheduled", "adhoc"]


@dataclass(frozen=True)
class CorruptLine:
    """A line of a segment that is not what was written: where it begins (bytes from the file's start) and why."""

    offset: int
    reason: str


@dataclass(frozen=True)
class InputFile:
    """A segment as it was read: the first `bytes_read` bytes, whose SHA-256 is `sha256`.

    `corrupt` holds at most the first 20 damaged lines; `corrupt_lines` counts all of them.
    """

    log: Literal["predictions", "labels", "refusals"]
    path: str
    segment: str
    bytes_read: int
    sha256: str
    corrupt_lines: int = 0
    corrupt: tuple[CorruptLine, ...] = ()


@dataclass(frozen=True)
class ReferenceUsed:
    """What the window was compared with.

    Attributes:
        kind: "file" (the registered one); of the live log: "range" (a fixed time), "rolling" (the time before the
            window), "season" (the same hours of the same weekday before).
        asked: the setting that chose it.
        spans: of the live log, each (start, end) with start <= timestamp < end, newest first; empty for a file.
        sha256: of the registered file, or of the rows that were read of the live log.
        inputs: the segments that those rows were read from.
        rows_needed: with so many rows, in a window as large, every column's allowed PSI is down at the floor.
        warning: that there are fewer, in words; None when there are enough.
    """

    kind: Literal["file", "range", "rolling", "season"]
    asked: str
    spans: tuple[tuple[str, str], ...]
    rows: int
    sha256: str
    inputs: tuple[InputFile, ...]
    rows_needed: int
    warning: str | None


@dataclass(frozen=True)
class Rows:
    """Row counts of the window: intact rows `read`, rows left out by reason, damaged lines that may belong to it."""

    read: int
    dropped: dict[str, int]
    corrupt: int
    reference: int


@dataclass(frozen=True)
class Check:
    """One question asked of one column.

    Attributes:
        name: "shape" (the distribution), "location" (a number larger or smaller as a whole), "spread" (wider or
            narrower), "missing" (the share of missing values), "novel" (values the reference never showed), "repeat"
            (one exact number that is rare in the reference).
        method: how the score is computed, e.g. "psi", "mann-whitney", "mood", "hypergeometric", "exceedance", "tarone".
        score: in the method's own unit; higher means more different.
        threshold: what chance (and the effect floor) allows at this number of rows; same unit as score.
        drift_ratio: above 1 exactly when detected. For "shape" it is score / threshold.
        detected: True, False, or None where there is not enough data (then `reason` says what is lacking).
    """

    name: Literal["shape", "location", "spread", "missing", "novel", "repeat"]
    method: str
    score: float | None
    threshold: float | None
    drift_ratio: float | None
    detected: bool | None
    reason: str | None = None


@dataclass(frozen=True)
class Onset:
    """When the drift of a column began, by the window's own times (RFC 3339 in UTC).

    Attributes:
        since: the time of the first row after the most likely change point, `row` of the window in time order.
        earliest: with `latest` a 95 % interval of `since`, if rows are independent and the change was sudden.
        before_window: the interval reaches back to the first row: it began there or before.
        first_beyond: where the first of equal parts of the window begins that by itself is beyond what is
            allowed; None where no part is.
        part_rows: rows of such a part.
        until: the time of the first row that is like the reference again; None while it lasts to the window's end.
    """

    since: str
    earliest: str
    latest: str
    row: int
    before_window: bool
    first_beyond: str | None
    part_rows: int
    until: str | None = None


@dataclass(frozen=True)
class Contribution:
    """A segment of the rows that holds more of a column's change than its rows explain.

    Attributes:
        column: another input; the segment is where its value is `where`, e.g. "above 3.2" or '"de"'.
        change_share: part of the change that lies in the segment; other segments may have moved against it, so
            that it exceeds 1.
        rows_share: part of the window's rows that are of the segment.
    """

    column: str
    where: str
    change_share: float
    rows_share: float


@dataclass(frozen=True)
class ColumnFinding:
    """What was found in one column.

    Attributes:
        rows: rows of the window with a value; `missing` those without.
        drift_ratio: the largest of the checks' ratios; None when no check gave a verdict.
        detected: True if any check did, None if none had enough data.
        kind: what moved: "shift", "scale", "mix", "stuck", "missing surge", "fewer missing", "novel values"; "" where
            nothing did.
        sentence: the finding in words, with its numbers.
        scale: the time scale of a scheduled run that these figures are of (a key of the result's `scales`): the one
            with the largest ratio.
        design_effect: how much more the column's counts vary than those of independent rows; 1 where they do not.
        onset: when it began; None where nothing moved, and for columns beyond `explained_columns_max`.
        segments: the rows that hold most of the change, strongest first; empty where it is spread evenly.
    """

    column: str
    type: str
    rows: int
    missing: int
    weight: float
    checks: tuple[Check, ...]
    drift_ratio: float | None
    detected: bool | None
    severity: Severity
    kind: str
    sentence: str
    scale: str = ""
    design_effect: float = 1.0
    onset: Onset | None = None
    segments: tuple[Contribution, ...] = ()

    @property
    def seen(self) -> str:
        """Which rows show it, in words: "in the last hour"; "" for the window of an ad hoc run."""
        return SCALE_PHRASES.get(self.scale, "")

    def check(self, name: str) -> Check | None:
        """The check of that name, or None where the column had none."""
        return next((check for check in self.checks if check.name == name), None)


@dataclass(frozen=True)
class JointDrift:
    """Can a classifier tell the window's rows from the reference's by all inputs together? Asked where settings say so.

    Attributes:
        detected: None where there is not enough data; then `sentence` says what is lacking.
        auc: of rows that the classifier did not learn from: the chance that of two rows, one of each side, it picks the
            window's. 0.5 means that both sides are alike.
        threshold: what chance (and the floor) allows.
        standard_error: of the AUC without drift, over all splits of the rows into sides.
        false_alarm_rate: its own part of the run's budget.
        rows: of the window, as drawn for it; `reference_rows` likewise.
        columns: those that the classifier needs most, first ones first; empty where nothing was detected.
        sentence: all that in words.
        scale: the time scale that was looked at (a key of the result's `scales`), "" outside of a run.
    """

    detected: bool | None
    auc: float | None
    threshold: float | None
    standard_error: float | None
    false_alarm_rate: float
    rows: int
    reference_rows: int
    columns: tuple[str, ...]
    sentence: str
    scale: str = ""

    @property
    def seen(self) -> str:
        """Which rows were looked at, in words; "" for the window of an ad hoc run."""
        return SCALE_PHRASES.get(self.scale, "")


@dataclass(frozen=True)
class DataDrift:
    """Drift of the model's inputs.

    Attributes:
        score: weighted mean over columns of the part of PSI that chance does not explain: `max(0, PSI - E0)` with
            E0 its expectation without drift where the column moved by more than allowed, else 0. So "> 0.1" means the
            same at every window size, and data without drift scores 0 but for the false alarms.
        threshold: the classic line for `score`, 0.1 unless set. It grades; `detected` comes from the columns.
        detected: any column drifted beyond its allowance, or all of them together did (`joint`); None if there was not
            enough data for any verdict.
        false_alarm_rate: the run's budget over all columns, e.g. 0.01, and over `joint` where that was asked.
        columns: what moved first, by weight and severity, then by drift_ratio.
        joint: the second opinion on all inputs together; None where it was not asked.
    """

    detected: bool | None
    method: str
    score: float | None
    threshold: float
    false_alarm_rate: float
    columns_tested: int
    columns_drifted: int
    drifted_ratio: float | None
    columns: tuple[ColumnFinding, ...]
    joint: JointDrift | None = None


@dataclass(frozen=True)
class PredictionDrift:
    """Drift of the model's answers: of the predicted class (or value) and of the confidence scores."""

    detected: bool | None
    false_alarm_rate: float
    findings: tuple[ColumnFinding, ...]


@dataclass(frozen=True)
class Independence:
    """Whether rows are independent, as far as the reference's order shows it. False-alarm rates hold if they are.

    Attributes:
        checked: False when the reference is too small to tell.
        blocks: blocks of time that the reference was cut into, of `block_rows` rows each.
        design_effect: the largest of all columns; 1 when no column's rows repeat one another.
        clustered: columns and answers whose thresholds had to be widened.
        not_stationary: those among them in which the reference itself changes with time.
        sentence: all that in words.
    """

    checked: bool
    blocks: int = 0
    block_rows: int = 0
    design_effect: float = 1.0
    clustered: tuple[str, ...] = ()
    not_stationary: tuple[str, ...] = ()
    sentence: str = ""


@dataclass(frozen=True)
class Performance:
    """Quality on the labelled rows; `metrics` is empty unless `outcome` is "ok"."""

    outcome: Outcome
    reason: str | None
    labelled_rows: int
    labelled_ratio: float | None
    metrics: tuple[Metric, ...]
    baseline: tuple[Metric, ...]
    confusion: Confusion | None = None

    def metric(self, name: str, average: str | None = None) -> Metric | None:
        """The figure of that name and average, or None where it was not measured."""
        return next((m for m in self.metrics if m.name == name and m.average == average), None)


@dataclass(frozen=True)
class ConceptDrift:
    """Has the relation of inputs and target changed: has quality dropped from the baseline by more than allowed?

    `drop_percent` is relative to the baseline (5 means from 0.90 to 0.855), with its 95 % interval.
    `metric` names the figure compared. `trend` is quality over days, from the kept history; None where none is kept.
    `early`: signs seen before labels exist, as sentences.
    """

    detected: bool | None
    severity: Severity
    metric: str | None
    drop_percent: float | None
    lower: float | None
    upper: float | None
    threshold_percent: float
    p_value: float | None
    reason: str
    trend: Trend | None = None
    early: tuple[str, ...] = ()


@dataclass(frozen=True)
class QualityFinding:
    """Something wrong with the data of the window, whatever it does to a distribution.

    Attributes:
        column: the input concerned; "" for a finding about whole rows, requests or files.
        count: rows concerned (segments, for a schema mismatch), `share` of all of those; of refused requests the rows
            that they asked for, and of those and the window's together; of volume all rows of the window, and of what
            is usual.
        examples: a few of them, shortened, without control characters.
        sentence: the finding in words, with its numbers.
    """

    kind: QualityKind
    column: str
    count: int
    share: float
    severity: Severity
    sentence: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataQuality:
    """Findings, gravest first, and why a question was not answered (`unanswered`, sentences)."""

    findings: tuple[QualityFinding, ...] = ()
    unanswered: tuple[str, ...] = ()


@dataclass(frozen=True)
class Alert:
    """Something a person should know, graded; `cause` is a sentence with numbers.

    `subject`: the column, answer or figure that it is about, "" for the whole model. With the name it says what an
    alert is about from run to run, however the numbers of its cause change.
    """

    name: str
    severity: Severity
    cause: str
    subject: str = ""


@dataclass(frozen=True)
class RetrainingCause:
    """Why a run by itself recommended to retrain. `at`: end of its window."""

    at: str
    run_id: str
    cause: str


@dataclass(frozen=True)
class Retraining:
    """Should the model be retrained? `unknown` when there was not enough data to tell.

    `reasons` in plain language; `evidence` are the figures behind them, each a sentence with numbers. `recent`: the
    newest cause of an earlier run that this decision knew of. It is an input of the run, as the logs are.
    """

    decision: Literal["none", "watch", "recommended", "unknown"]
    reasons: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    recent: RetrainingCause | None = None


@dataclass(frozen=True)
class Result:
    """One run. Equal inputs and settings give equal content, apart from `run_id`, `times` and `duration_seconds`.

    `performance` is measured on the newest labelled rows, however old; `window_performance` on those of the window
    itself. `diagnosis`: what kind of drift it is and what that means, for the person on call; "" where nobody looked.
    `supersedes`: the run of the same window that this one scored again, when more labels had come.
    """

    run_id: str
    model_name: str
    model_version: str
    outcome: Outcome
    reason: str | None
    window: Window
    rows: Rows
    data_drift: DataDrift
    prediction_drift: PredictionDrift
    performance: Performance
    concept_drift: ConceptDrift
    alerts: tuple[Alert, ...]
    retraining: Retraining
    inputs: tuple[InputFile, ...]
    reference_sha256: str
    config: dict[str, Any]
    libraries: dict[str, str]
    seed: int
    started_at: str
    finished_at: str
    duration_seconds: float
    scales: dict[str, Any] = field(default_factory=dict)
    supersedes: str | None = None
    independence: Independence | None = None
    data_quality: DataQuality | None = None
    reference: ReferenceUsed | None = None
    labels: LabelCounts | None = None
    window_performance: Performance | None = None
    estimated: Estimate | None = None
    diagnosis: str = ""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION
