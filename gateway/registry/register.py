"""Registering a model: everything the other processes need is inferred here, proven, and written in one commit.

Write order (docs/formats/model_registry.md names what a crash between any two leaves): reference, artifact, check
rows, then `model.json`, whose appearance commits the version; then the serving pointer; then the audit line.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.clock import utc_text
from gateway.files import make_dirs, replaced_atomically, write_atomically
from gateway.registry.artifact import file_record
from gateway.registry.card import (
    Artifact,
    ClassLabel,
    Feature,
    Metric,
    ModelCard,
    RegistryError,
    Unseen,
    check_name,
    check_version,
    encode,
)
from gateway.registry.check_rows import write_check_rows
from gateway.registry.evaluation import Evaluation, Progress, baseline_of, check_rows_of, evaluate, write_reference
from gateway.registry.fitted_texts import fitted_texts, refuse_lost_texts, text_hint
from gateway.registry.importances import importances_of
from gateway.registry.inference import CannotScore
from gateway.registry.inspection import inputs_of, positive_class_of
from gateway.registry.model_file import load_model, pin_to_one_thread, refuse_none_as_missing, store_model
from gateway.registry.pointer import Serving
from gateway.registry.store import Registry
from gateway.registry.table import Column, read_table

#: Of permutation importances: registering the same files twice gives the same card.
SEED = 20_261_120
_LIBRARIES = ("scikit-learn", "numpy", "scipy", "pandas", "skops", "joblib")


def _quietly(_step: str) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@dataclass(frozen=True)
class Registration:
    """What was registered, with what a person wants to know beside the card.

    `ignored_columns` of the table the model does not take; `labeled_rows` have a known target; `serves` says
    whether this version serves now, `is_default` whether it answers /predict; `example` is a row that it takes.
    """

    card: ModelCard
    ignored_columns: tuple[str, ...]
    labeled_rows: int
    example: dict[str, Any]
    serves: bool
    is_default: bool
    notes: tuple[str, ...]


def register(
    model_file: Path,
    table_file: Path,
    target: str,
    name: str,
    *,
    registry: Registry,
    version: str | None = None,
    trust: bool = False,
    positive_class: str | None = None,
    exclude: Sequence[str] = (),
    unseen: Mapping[str, Unseen] = MappingProxyType({}),
    now: float,
) -> ModelCard:
    """Register a fitted model with the table it was evaluated on (rows that it was not fitted on).

    Args:
        version: the next whole number unless given.
        trust: load files that may run code (joblib, pickle).
        positive_class: as text; of a model with two classes.
        exclude: columns that a model without names of its own does not take.
        unseen: by feature, or "*" for all: "accept" or "reject" values that the table does not show; a feature that
            is not named rejects categories and accepts numbers.
        now: seconds since the epoch, written into the card.

    Raises:
        RegistryError: one plain sentence; nothing was registered then.
    """
    return register_with_details(
        model_file,
        table_file,
        target,
        name,
        registry=registry,
        version=version,
        trust=trust,
        positive_class=positive_class,
        exclude=exclude,
        unseen=unseen,
        now=now,
    ).card


def register_with_details(
    model_file: Path,
    table_file: Path,
    target: str,
    name: str,
    *,
    registry: Registry,
    version: str | None = None,
    trust: bool = False,
    positive_class: str | None = None,
    exclude: Sequence[str] = (),
    unseen: Mapping[str, Unseen] = MappingProxyType({}),
    now: float,
    progress: Progress = _quietly,
) -> Registration:
    """`register`, telling also what is not in the card."""
    _refuse_taken(registry, check_name(name), version)
    with progress(f"loading {model_file}"):
        model, notes = load_model(model_file, trust)
    pin_to_one_thread(model)
    refuse_none_as_missing(model)
    with progress(f"reading {table_file}"):
        texts = fitted_texts(model, target)
        table = read_table(table_file, texts.kept)
        inputs = inputs_of(model, table, target, exclude)
        refuse_lost_texts(table_file, texts, inputs.columns)
    try:
        evaluation = evaluate(model, inputs.columns, table.columns[target], unseen, progress)
    except CannotScore as error:
        raise RegistryError(f"{error}{text_hint(texts, inputs.columns)}") from error
    positive = positive_class_of(evaluation.classes, positive_class)
    draft = _draft(model, evaluation, name, target, positive, now, progress)
    card, serving = _store(registry, model, draft, evaluation, version, progress)
    return Registration(
        card=card,
        ignored_columns=inputs.ignored,
        labeled_rows=int(evaluation.truth.known.sum()),
        example=dict(zip(card.feature_names, evaluation.example(), strict=True)),
        serves=serving.versions.get(card.name) == card.version,
        is_default=serving.default_model == card.name,
        notes=notes,
    )


def register_successor(
    model: Any,
    predecessor: ModelCard,
    features: tuple[Feature, ...],
    columns: tuple[Column, ...],
    target: Column,
    *,
    registry: Registry,
    now: float,
    before_commit: Callable[[ModelCard], None],
    progress: Progress = _quietly,
) -> ModelCard:
    """Register a fitted model that may take a version's place, from memory. It does not serve, whatever serves.

    Args:
        model: fitted, of the predecessor's kind; takes `features`, which are the predecessor's or wider.
        columns: the features of rows that the model was not fitted on, in order of time.
        target: their true values.
        before_commit: called with the card when every file is written and the version is not visible yet; what it
            raises keeps it from becoming visible.

    Raises:
        RegistryError: one plain sentence; nothing was registered then.
    """
    pin_to_one_thread(model)
    evaluation = evaluate(model, columns, target, {}, progress, known=features)
    draft = _draft(
        model, evaluation, predecessor.name, predecessor.target, predecessor.positive_class, now, progress
    )  # fmt: skip
    way = _Way(f"retrained from {predecessor.version}", before_commit)
    return _store(registry, model, draft, evaluation, None, progress, way)[0]


@dataclass(frozen=True)
class _Draft:
    """What the card says beside the evaluation and the files."""

    name: str
    target: str
    positive_class: ClassLabel | None
    baseline: tuple[Metric, ...]
    importances: dict[str, float]
    estimator: str
    now: float


@dataclass(frozen=True)
class _Way:
    """How a version came to be, where nobody brought it as a file: the audit's word for it, and what precedes it.

    Such a version never serves by itself.
    """

    origin: str
    before_commit: Callable[[ModelCard], None]


def _draft(
    model: Any,
    evaluation: Evaluation,
    name: str,
    target: str,
    positive: ClassLabel | None,
    now: float,
    progress: Progress,
) -> _Draft:
    with progress("measuring the baseline and the features' weights"):
        baseline = baseline_of(evaluation, positive)
        importances = importances_of(
            model, evaluation.features, evaluation.classes, evaluation.frame, evaluation.truth, SEED
        )
    return _Draft(name, target, positive, baseline, importances, _estimator_name(model), now)


def _store(
    registry: Registry,
    model: Any,
    draft: _Draft,
    evaluation: Evaluation,
    version: str | None,
    progress: Progress,
    way: _Way | None = None,
) -> tuple[ModelCard, Serving]:
    """Write the version, audit it, and let it serve where it may."""
    try:
        with registry.changing(), _staging(registry) as staging:
            registry.serving()  # an unreadable pointer is found here, before a version is committed that cannot serve
            with progress("storing the model and asking it again"):
                stored = store_model(model, staging, evaluation.answers_alike)
            with progress("writing the registry"):
                card = _commit(registry, draft, evaluation, stored, version, way)
            return card, _serve(registry, card, way)
    except OSError as error:
        raise RegistryError(f"cannot write the registry, nothing was registered: {_reason(error)}") from error


def _commit(
    registry: Registry,
    draft: _Draft,
    evaluation: Evaluation,
    stored: tuple[Path, str, tuple[str, ...]],
    version: str | None,
    way: _Way | None,
) -> ModelCard:
    """Write every file of the version, the card last. Call it inside `registry.changing()`."""
    version = version or _next_version(registry, draft.name)
    _refuse_taken(registry, draft.name, version)
    folder, reference = registry.folder(draft.name, version), registry.reference_path(draft.name, version)
    _remove_leftovers(folder, reference.parent)
    make_dirs(folder)
    make_dirs(reference.parent)
    with replaced_atomically(reference) as temporary:
        write_reference(temporary, evaluation)
    artifact_file, kind, trusted_types = stored
    artifact_path = folder / artifact_file.name
    with replaced_atomically(artifact_path) as temporary:
        shutil.copyfile(artifact_file, temporary)
    check_path = folder / "check.npz"
    with replaced_atomically(check_path) as temporary:
        write_check_rows(temporary, check_rows_of(evaluation))
    card = ModelCard(
        name=draft.name,
        version=version,
        task=evaluation.task,
        features=evaluation.features,
        target=draft.target,
        classes=evaluation.classes,
        positive_class=draft.positive_class,
        has_probabilities=evaluation.answers.probabilities is not None,
        prediction_is_argmax=evaluation.answers.is_argmax,
        input_form="dataframe" if evaluation.array is None else "array",
        artifact=Artifact("skops" if kind == "skops" else "joblib", file_record(artifact_path), trusted_types),
        check_rows=file_record(check_path),
        reference=file_record(reference),
        reference_rows=evaluation.rows,
        baseline=draft.baseline,
        created_at=utc_text(draft.now),
        estimator=draft.estimator,
        libraries={"python": platform.python_version(), **{name: installed_version(name) for name in _LIBRARIES}},
        importances=draft.importances,
    )
    if way is not None:
        way.before_commit(card)
    # The commit point: before it no reader sees the version, after it every file that the card names is there.
    write_atomically(folder / "model.json", encode(card))
    return card


def _serve(registry: Registry, card: ModelCard, way: _Way | None) -> Serving:
    """Let the version serve when its model has none serving, and be the default when there is none; then audit."""
    serving = registry.serving()
    try:
        if way is None and card.name not in serving.versions:
            serving = serving.promoted(card.name, card.version)
            registry.set_serving(serving)
        serves = "true" if serving.versions.get(card.name) == card.version else "false"
        origin = {} if way is None else {"origin": way.origin}
        registry.audit(card.created_at, "register", card.name, card.version, serves=serves, **origin)
    except OSError as error:
        raise RegistryError(
            f"{card.name} {card.version} is registered, but {registry.models} could not be brought up to date "
            f"({_reason(error)}): it may not serve; register it again as another version when that is mended"
        ) from error
    return serving


def _refuse_taken(registry: Registry, name: str, version: str | None) -> None:
    if version is not None and (registry.folder(name, check_version(version)) / "model.json").exists():
        raise RegistryError(f"{name} {version} is registered already, and a version never changes; choose another")


def _next_version(registry: Registry, name: str) -> str:
    numbers = [int(version) for version in registry.versions(name) if version.isascii() and version.isdigit()]
    return str(max(numbers, default=0) + 1)


@contextlib.contextmanager
def _staging(registry: Registry) -> Iterator[Path]:
    """A folder on the registry's disk, for the lock's holder alone; whatever else lies there was left by a crash."""
    folder = registry.models / ".tmp-register"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(folder: Path, references: Path) -> None:
    """Clear what a registration that never committed left behind: without a card, nobody reads it."""
    if folder.exists():
        shutil.rmtree(folder)
    for stray in references.glob(".tmp-*"):
        stray.unlink()


def _estimator_name(model: Any) -> str:
    """The estimator's class; of a pipeline also those of its steps."""
    steps: Iterator[Any] = (step for _, step in getattr(model, "steps", ()))
    inside = ", ".join(type(step).__name__ for step in steps if not isinstance(step, str) and step is not None)
    return f"{type(model).__name__}({inside})" if inside else type(model).__name__


def _reason(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"
