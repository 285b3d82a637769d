"""`replay.json`: where a version's answers differ from those that were logged."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from drift_engine.paired.schema import PairedComparison
from drift_engine.results.quality import Confusion
from drift_engine.results.schema import InputFile

FORMAT = "sentinelml.replay"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Share:
    """Rows of all rows, with the share's 95 % Wilson interval."""

    count: int
    of: int
    share: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Spread:
    """How far answers moved, new minus old: quantiles over all replayed rows, and their counts in equal bins.

    `what` is told: the probability of the positive class, the total variation of all probabilities, or the prediction.
    `edges` has one number more than `counts`.
    """

    what: str
    mean: float
    minimum: float
    p01: float
    p10: float
    p50: float
    p90: float
    p99: float
    maximum: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Segment:
    """Rows with a level, or in a range, of one feature, where more changes than elsewhere beyond chance.

    `change`: the share of changed predictions, or the mean absolute change of numbers, in it; `elsewhere`: in the rest.
    """

    feature: str
    text: str
    rows: int
    change: float
    elsewhere: float


@dataclass(frozen=True)
class Replay:
    """One replay. Its id and time apart, equal inputs give equal replays.

    Attributes:
        model_version: the version that was asked; `log_version`: the one whose log was replayed. Equal ones check that
            the log reproduces the served answers.
        since, until: first and last prediction of the replayed rows; None without any.
        rows: replayed rows; `refused_rows` more would be refused by the version, `refused`: by reason, a row may have
            several.
        changed: predictions that differ: another class, or another number.
        differing: rows where any part of the answer differs, a probability by more than 1e-9 too; None unless a version
            replays its own log.
        largest_difference: of any number in the answers.
        confusion: old class by new class; None for regression.
        segments: strongest first.
        comparison: on labelled rows that the version was not fitted on, as far as is known; None with
            `comparison_reason`.
        largest: rows in `changes.csv`, those that changed most.
    """

    replay_id: str
    model_name: str
    model_version: str
    log_version: str
    made_at: str
    since: str | None
    until: str | None
    rows: int
    refused_rows: int
    refused: dict[str, int]
    changed: Share
    differing: int | None
    largest_difference: float
    confusion: Confusion | None
    spread: Spread
    segments: tuple[Segment, ...]
    comparison: PairedComparison | None
    comparison_reason: str | None
    largest: int
    notes: tuple[str, ...]
    dropped: dict[str, int]
    corrupt: int
    artifact_sha256: str
    inputs: tuple[InputFile, ...]
    seed: int
    libraries: dict[str, str] = field(default_factory=dict)
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    @property
    def is_itself(self) -> bool:
        """Whether a version replayed its own log."""
        return self.model_version == self.log_version


def encode(replay: Replay) -> bytes:
    """The bytes of `replay.json`, indented for people."""
    return msgspec.json.format(msgspec.json.encode(replay), indent=2) + b"\n"
