"""A model on its table: how it is scored, what it answers, how good that is, and the files that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry.card import ClassLabel, Feature, Metric, RegistryError, Task, Unseen
from gateway.registry.check_rows import CheckRows
from gateway.registry.columns import CONFIDENCE, LABEL, PREDICTION, class_text, feature_column, probability_column
from gateway.registry.frames import frame_of
from gateway.registry.inference import Answers, CannotScore, score
from gateway.registry.inspection import Truth, features_of, task_of, truth_of, with_unseen
from gateway.registry.performance import classification_metrics, regression_metrics
from gateway.registry.table import Column

#: Of a wide table fewer rows are kept, so that the file stays small and reading it fast.
CHECK_ROWS_MIN = 64
CHECK_ROWS_MAX = 1_000
CHECK_VALUES_MAX = 100_000

#: Shows that a step is under way: called with what it does, entered before it and left after it.
Progress = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Evaluation:
    """The table as the model sees it, and what the model answers.

    Attributes:
        frame: the inputs as a DataFrame.
        array: the same as float64, shape (rows, features); None where the model does not answer alike from it.
    """

    task: Task
    classes: tuple[ClassLabel, ...]
    features: tuple[Feature, ...]
    columns: tuple[Column, ...]
    frame: Any
    array: NDArray[np.float64] | None
    answers: Answers
    truth: Truth
    rows: int

    def answers_alike(self, model: Any) -> bool:
        """Whether another model (the stored one) answers every row as this one did, in the form that will serve."""
        served = self.frame if self.array is None else self.array
        return score(model, served, self.classes).alike(self.answers)

    def example(self) -> tuple[Any, ...]:
        """A row to show: the first without missing values, else the first."""
        missing = np.any([column.missing for column in self.columns], axis=0)
        return self.row(int(np.argmin(missing)))

    def row(self, position: int) -> tuple[Any, ...]:
        """One row's values as JSON would hold them."""
        return tuple(
            None if column.missing[position] else column.values[position : position + 1].tolist()[0]
            for column in self.columns
        )


def evaluate(
    model: Any,
    columns: tuple[Column, ...],
    target: Column,
    unseen: Mapping[str, Unseen],
    progress: Progress,
    *,
    known: tuple[Feature, ...] | None = None,
) -> Evaluation:
    """Score the table exactly as the gateway will score requests.

    Args:
        columns: the model's inputs, in its order.
        target: the true values.
        unseen: for features that do not follow their type's own way, what becomes of values not in the table.
        known: the features, where more is known of them than the table shows; inferred from it otherwise.

    Raises:
        RegistryError: what cannot be served, in one sentence.
    """
    rows = len(target.values)
    task, classes = task_of(model)
    inferred = features_of(columns)
    features = with_unseen(inferred, unseen) if known is None else known
    truth = truth_of(target, classes)
    frame = frame_of(features, [column.inputs() for column in columns])
    with progress(f"scoring {rows:,} rows"):
        answers = score(model, frame, classes)
    _refuse_unseen_that_fails(model, features, columns, classes)
    array = None
    if all(feature.type != "category" for feature in features):
        array = np.column_stack([np.asarray(column.inputs(), dtype=np.float64) for column in columns])
        with progress(f"scoring {rows:,} rows again, as plain arrays"):
            if not _array_form_alike(model, array, classes, answers):
                array = None
    return Evaluation(task, classes, features, columns, frame, array, answers, truth, rows)


def _refuse_unseen_that_fails(
    model: Any, features: tuple[Feature, ...], columns: tuple[Column, ...], classes: tuple[ClassLabel, ...]
) -> None:
    """Ask the model about a category that nobody has heard of, in each column that is to accept such."""
    for position, feature in enumerate(features):
        if feature.type != "category" or not feature.accepts_unseen:
            continue
        row = [column.inputs()[:1] for column in columns]
        row[position] = np.array(["\N{SNOWMAN} never seen"], dtype=object)
        try:
            score(model, frame_of(features, row), classes)
        except CannotScore as error:
            raise RegistryError(
                f"{feature.name!r} cannot accept categories that the table does not show, because {error}"
            ) from error


def baseline_of(evaluation: Evaluation, positive: ClassLabel | None) -> tuple[Metric, ...]:
    """The model's quality on the rows with a known target."""
    truth, answers, known = evaluation.truth, evaluation.answers, evaluation.truth.known
    if evaluation.task == "regression":
        return regression_metrics(truth.labels[known], answers.predictions[known])
    return classification_metrics(
        truth.labels[known],
        answers.predictions[known],
        None if answers.probabilities is None else answers.probabilities[known],
        [class_text(label) for label in evaluation.classes],
        None if positive is None else class_text(positive),
    )


def write_reference(path: Path, evaluation: Evaluation) -> None:
    """Write the reference, in the table's row order, which for a series is the order of time. Raises OSError."""
    import pyarrow
    import pyarrow.parquet

    kinds = {
        "number": pyarrow.float64(),
        "integer": pyarrow.int64(),
        "boolean": pyarrow.bool_(),
        "category": pyarrow.string(),
    }
    answers, truth = evaluation.answers, evaluation.truth
    label_kind = pyarrow.float64() if evaluation.task == "regression" else pyarrow.string()
    arrays = {
        feature_column(feature.name): pyarrow.array(column.values, kinds[feature.type], mask=column.missing)
        for feature, column in zip(evaluation.features, evaluation.columns, strict=True)
    }
    arrays[LABEL] = pyarrow.array(truth.labels, label_kind, mask=~truth.known)
    arrays[PREDICTION] = pyarrow.array(answers.predictions, label_kind)
    if answers.probabilities is not None:
        arrays[CONFIDENCE] = pyarrow.array(answers.confidence, pyarrow.float64())
        for label, column in zip(evaluation.classes, answers.probabilities.T, strict=True):
            arrays[probability_column(label)] = pyarrow.array(column, pyarrow.float64())
    pyarrow.parquet.write_table(pyarrow.table(arrays), path)


def check_rows_of(evaluation: Evaluation) -> CheckRows:
    """Rows spread evenly over the reference: `CHECK_ROWS_MAX`, or fewer where they would hold too many values."""
    count = min(CHECK_ROWS_MAX, max(CHECK_ROWS_MIN, CHECK_VALUES_MAX // len(evaluation.features)))
    positions = np.unique(np.linspace(0, evaluation.rows - 1, count).astype(np.int64))
    answers = evaluation.answers
    return CheckRows(
        rows=tuple(evaluation.row(int(position)) for position in positions),
        predictions=answers.predictions[positions],
        probabilities=None if answers.probabilities is None else answers.probabilities[positions],
    )


def _array_form_alike(
    model: Any, array: NDArray[np.float64], classes: tuple[ClassLabel, ...], answers: Answers
) -> bool:
    try:
        return score(model, array, classes).alike(answers)
    except RegistryError:
        return False  # it selects columns by name; the DataFrame form has been proven already
