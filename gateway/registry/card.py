"""The model card: what `model.json` says about one version of one model."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import msgspec

FORMAT = "sentinelml.model"
FORMAT_VERSION = 1

Task = Literal["binary", "multiclass", "regression"]
FeatureType = Literal["number", "integer", "category", "boolean"]
Unseen = Literal["accept", "reject"]
#: A class label keeps its JSON type, so that an answer carries what the model was trained on. Boolean first:
#: in Python True is an int too.
ClassLabel = bool | int | str

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
VERSION_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
#: `data/live/<name>/labels/` holds the label log, so no version may be called that.
RESERVED_VERSIONS = frozenset({"labels"})


class RegistryError(Exception):
    """Base of everything the registry refuses; its text is one plain sentence for the person at the terminal."""


class UnknownModel(RegistryError):
    """No such model or version."""


class CorruptCard(RegistryError):
    """A file of the registry cannot be read, or was written by a newer version of this program."""


class ArtifactMismatch(RegistryError):
    """A model file, reference or check file is not the one that was registered."""


@dataclass(frozen=True)
class Feature:
    """One input of the model, in the model's order.

    `minimum` and `maximum` are the range observed in the reference (numbers and integers), `categories` the
    observed levels in order of first appearance (categories). `nullable`: the reference held missing values. In a
    version that was retrained they also hold what its predecessor knew, and what the rows that it was fitted on showed.
    `unseen`: what becomes of a value that the reference did not show, a category that is none of `categories` or a
    number outside of the range; None is the type's own way, which rejects categories and accepts numbers.
    """

    name: str
    type: FeatureType
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    unseen: Unseen | None = None

    @property
    def accepts_unseen(self) -> bool:
        """Whether a request may hold a value that the reference did not show."""
        return self.type != "category" if self.unseen is None else self.unseen == "accept"


@dataclass(frozen=True)
class Metric:
    """A performance figure with its confidence interval.

    `average` is how classes were combined ("weighted", "positive", "macro"; None where it does not apply),
    `method` names the interval: "wilson", "wilson-delta", "delong", "hall"; of estimates "bootstrap" and "log-normal".
    The bounds are None where none is known.
    """

    name: str
    value: float
    lower: float | None
    upper: float | None
    average: str | None = None
    method: str | None = None
    confidence: float = 0.95


@dataclass(frozen=True)
class FileRecord:
    """A file beside the card and what it must hash to: `sha256` in hexadecimal, `bytes` its size."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Artifact:
    """The model file. `trusted_types`: scikit-learn's own types that skops must be told to construct.

    `kind` "joblib" means that loading runs code from the file; somebody said TRUST=1 when registering it.
    """

    kind: Literal["skops", "joblib"]
    record: FileRecord
    trusted_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """One registered version.

    Attributes:
        features: in the order of the model's input columns.
        classes: the model's classes in the order of its probabilities; empty for regression.
        positive_class: the class that precision, recall and F1 speak of in binary tasks.
        has_probabilities: the model answers `predict_proba`, with one column per class.
        prediction_is_argmax: on every reference row `predict` is the most probable class, so one call serves.
        input_form: "array" when the model was proven to answer alike from a plain float64 array; "dataframe"
            when it selects columns by name.
        baseline: performance on the reference rows, which the model was not fitted on.
        importances: share of each feature in the model's decisions (non-negative, sums to 1); empty if unknown.
    """

    name: str
    version: str
    task: Task
    features: tuple[Feature, ...]
    target: str
    classes: tuple[ClassLabel, ...]
    positive_class: ClassLabel | None
    has_probabilities: bool
    prediction_is_argmax: bool
    input_form: Literal["array", "dataframe"]
    artifact: Artifact
    check_rows: FileRecord
    reference: FileRecord
    reference_rows: int
    baseline: tuple[Metric, ...]
    created_at: str
    estimator: str
    libraries: dict[str, str]
    importances: dict[str, float] = field(default_factory=dict)
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the model's order."""
        return tuple(feature.name for feature in self.features)

    def baseline_metric(self, name: str, average: str | None = None) -> Metric | None:
        """The baseline figure of that name and average, or None where it was not measured."""
        return next((m for m in self.baseline if m.name == name and m.average == average), None)


@dataclass(frozen=True)
class _Envelope:
    format: str
    format_version: int


def encode(card: ModelCard) -> bytes:
    """The bytes of `model.json`, indented for people."""
    return msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"


def decode(data: bytes, origin: str) -> ModelCard:
    """Read `model.json`; `origin` is named in errors.

    Raises:
        CorruptCard: not a card, or one of a newer format version.
    """
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        if envelope.format != FORMAT:
            raise CorruptCard(f"{origin}: is a {envelope.format!r}, not a {FORMAT!r}")
        if envelope.format_version > FORMAT_VERSION:
            raise CorruptCard(
                f"{origin}: format version {envelope.format_version} is newer than this program's {FORMAT_VERSION}"
            )
        return msgspec.json.decode(data, type=ModelCard)
    except msgspec.MsgspecError as error:
        raise CorruptCard(f"{origin}: {error}") from None


def check_name(name: str) -> str:
    """Return `name` if it may name a model, else raise RegistryError. Names become folders and URL parts."""
    if not NAME_PATTERN.fullmatch(name):
        raise RegistryError(
            f"model name {name!r}: use 1 to 64 letters, digits, '_' or '-', beginning with a letter or digit"
        )
    return name


def check_version(version: str) -> str:
    """Return `version` if it may name a version, else raise RegistryError."""
    if not VERSION_PATTERN.fullmatch(version) or version in RESERVED_VERSIONS:
        raise RegistryError(
            f"version {version!r}: use 1 to 32 letters, digits, '.', '_' or '-', beginning with a letter or digit, "
            f"and none of {', '.join(sorted(RESERVED_VERSIONS))}"
        )
    return version
