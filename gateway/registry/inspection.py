"""What a model and a table say about each other: ordered features with their types, the task, the true values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry.card import ClassLabel, Feature, RegistryError, Task, Unseen
from gateway.registry.columns import class_text
from gateway.registry.inference import classes_of
from gateway.registry.table import Column, Table

#: A text column with more levels is free text or an identifier; neither can be compared level by level.
CATEGORIES_MAX = 1000
#: The gateway refuses values beyond these (gateway/serving/validation.py says why), so no request could carry them.
INTEGER_MAX = 2**53
NUMBER_MAX = 3.4028234663852886e38
#: With fewer labelled rows the baseline's own uncertainty would hide any drop worth an alarm.
LABELED_ROWS_MIN = 100
#: Names for "this is what we look for", in order; compared without case.
POSITIVE_WORDS = ("1", "true", "yes", "y", "positive", "pos", "fraud", "up", "bad", "churn", "default", "spam")


@dataclass(frozen=True)
class Inputs:
    """The table's columns that the model takes, in its order, and those it does not."""

    columns: tuple[Column, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class Truth:
    """The true values of the table's rows.

    Attributes:
        labels: shape (rows,), class texts (object) or float64; whatever where unknown.
        known: shape (rows,), False where the table holds none.
    """

    labels: NDArray[Any]
    known: NDArray[np.bool_]


def task_of(model: Any) -> tuple[Task, tuple[ClassLabel, ...]]:
    """The model's task, with its classes (none for regression). Raises RegistryError."""
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(model):
        classes = classes_of(model)
        return ("binary" if len(classes) == 2 else "multiclass"), classes
    if is_regressor(model):
        return "regression", ()
    raise RegistryError(f"the model is a {type(model).__name__}, which is neither a classifier nor a regressor")


def inputs_of(model: Any, table: Table, target: str, exclude: Sequence[str]) -> Inputs:
    """Match the model's inputs with the table's columns.

    A model that knows the names of its inputs takes those; another takes every column but the target and
    `exclude`, in the table's order, and there must be as many as it was fitted on.

    Raises:
        RegistryError: naming what does not match.
    """
    for name in (target, *exclude):
        if name not in table.columns:
            role = "target" if name == target else "excluded"
            raise RegistryError(f"the table has no {role} column {name!r}; it has {_listed(list(table.columns))}")
    candidates = [name for name in table.columns if name != target and name not in exclude]
    names = _names_known_to(model)
    if names is None:
        names = candidates
        expected = getattr(model, "n_features_in_", len(names))
        if expected != len(names):
            raise RegistryError(_count_sentence(expected, len(names)))
    if target in names:
        raise RegistryError(f"the target {target!r} is one of the model's own inputs")
    absent = [name for name in names if name not in candidates]
    if absent:
        excluded = " or it is excluded" if set(absent) & set(exclude) else ""
        raise RegistryError(f"the model was fitted on {_listed(absent)}, which the table does not have{excluded}")
    columns = tuple(table.columns[name] for name in names)
    return Inputs(columns, tuple(name for name in table.columns if name not in names and name != target))


def features_of(columns: Sequence[Column]) -> tuple[Feature, ...]:
    """Describe the columns as features. Raises RegistryError with every column that cannot be one."""
    faults = [fault for column in columns if (fault := _fault_of(column))]
    if faults:
        raise RegistryError("; ".join(faults))
    return tuple(_feature(column) for column in columns)


def with_unseen(features: tuple[Feature, ...], unseen: Mapping[str, Unseen]) -> tuple[Feature, ...]:
    """The features with what becomes of values that the table does not show; `"*"` stands for all that have a choice.

    Raises:
        RegistryError: no such feature, or one whose values are all known.
    """
    for name in unseen:
        feature = next((feature for feature in features if feature.name == name), None)
        if feature is None and name != "*":
            raise RegistryError(f"the model has no feature {name!r} whose unseen values could be accepted or rejected")
        if feature is not None and feature.type == "boolean":
            raise RegistryError(f"the feature {name!r} is true or false; no value of it is unseen")
    every = unseen.get("*")
    return tuple(
        feature if feature.type == "boolean" else replace(feature, unseen=unseen.get(feature.name, every))
        for feature in features
    )


def truth_of(column: Column, classes: Sequence[ClassLabel]) -> Truth:
    """Read the target as the model's classes (as text), or as numbers where there are none.

    Raises:
        RegistryError: values that are none of the classes, one class only, or too few known values.
    """
    known = ~column.missing
    if int(known.sum()) < LABELED_ROWS_MIN:
        raise RegistryError(
            f"the table has {int(known.sum()):,} rows with a known {column.name!r}; "
            f"a baseline needs {LABELED_ROWS_MIN} at least"
        )
    if not classes:
        if column.type not in ("number", "integer"):
            raise RegistryError(f"the model predicts numbers, but the target {column.name!r} holds {column.kind}")
        numbers = column.values.astype(np.float64)
        if not np.isfinite(numbers[known]).all():
            raise RegistryError(f"the target {column.name!r} holds infinite values")
        return Truth(numbers, known)
    labels = _class_texts(column)
    found, expected = sorted(set(labels[known])), [class_text(label) for label in classes]
    strangers = [text for text in found if text not in expected]
    if strangers:
        raise RegistryError(
            f"the target {column.name!r} holds {_listed(strangers)}, but the model's classes are {_listed(expected)}"
        )
    if len(found) == 1:
        raise RegistryError(f"the target {column.name!r} holds one class only ({found[0]}), so no baseline can be made")
    return Truth(labels, known)


def positive_class_of(classes: Sequence[ClassLabel], wanted: str | None) -> ClassLabel | None:
    """The class that precision and recall speak of: the wanted one, else one that sounds positive, else the second.

    None unless there are two classes. Raises RegistryError when `wanted` is not one of them.
    """
    by_text = {class_text(label): label for label in classes}
    if len(classes) != 2:
        if wanted is not None:
            raise RegistryError("a positive class belongs to a model with two classes, which this is not")
        return None
    if wanted is not None:
        if wanted not in by_text:
            raise RegistryError(f"positive class {wanted!r} is none of the model's classes, {_listed(list(by_text))}")
        return by_text[wanted]
    lowered = {text.lower(): label for text, label in by_text.items()}
    return next((lowered[word] for word in POSITIVE_WORDS if word in lowered), classes[1])


def _names_known_to(model: Any) -> list[str] | None:
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _count_sentence(expected: int, found: int) -> str:
    sentence = f"the model takes {expected} columns, the table has {found} beside the target"
    if found > expected:
        sentence += f": name the {found - expected} to leave out with EXCLUDE= (--exclude)"
    return sentence


def _fault_of(column: Column) -> str | None:
    """Why a column cannot be a feature, in one clause."""
    if not column.name or not column.name.isprintable():
        return f"the column {column.name!r} has a name that cannot be written on one line"
    if column.missing.all():
        return f"the column {column.name!r} has no value at all"
    if column.type is None:
        remedy = "; give the model numbers made from them, such as an hour or an age in days"
        return f"the column {column.name!r} holds {column.kind}, which no request can carry" + (
            remedy if column.kind == "dates" or "time" in column.kind or "date" in column.kind else ""
        )
    if column.type == "number" and not np.isfinite(column.values[~column.missing]).all():
        return f"the column {column.name!r} holds infinite values, which JSON cannot carry"
    if column.type == "integer" and not _within(column, INTEGER_MAX):
        return (
            f"the column {column.name!r} holds integers beyond 2^53, which no request can carry exactly; "
            "identifiers of that size are better left out, or made texts"
        )
    if column.type == "number" and not _within(column, NUMBER_MAX):
        return f"the column {column.name!r} holds numbers beyond {NUMBER_MAX:.4g}, which no request can carry"
    if column.type == "category":
        levels = len(set(column.values[~column.missing]))
        if levels > CATEGORIES_MAX:
            return (
                f"the column {column.name!r} holds {levels:,} different texts, more than the {CATEGORIES_MAX:,} "
                "that can be told apart in a comparison; group them before the model"
            )
    return None


def _within(column: Column, limit: float) -> bool:
    present = column.values[~column.missing]
    # Not by `abs`: the smallest int64 has no positive counterpart.
    return bool(present.min() >= -limit and present.max() <= limit)


def _feature(column: Column) -> Feature:
    assert column.type is not None  # `_fault_of` refused those
    present = column.values[~column.missing]
    if column.type == "category":
        return Feature(column.name, "category", column.nullable, categories=tuple(dict.fromkeys(present.tolist())))
    if column.type == "boolean":
        return Feature(column.name, "boolean", column.nullable)
    return Feature(
        column.name, column.type, column.nullable, minimum=float(present.min()), maximum=float(present.max())
    )


def _class_texts(column: Column) -> NDArray[Any]:
    """The column as class texts. Whole floats are the integers they were before a missing value made them floats."""
    values = column.values
    if column.type == "number":
        return np.array([class_text(int(v)) if float(v).is_integer() else repr(float(v)) for v in values], dtype=object)
    if column.type is None:
        raise RegistryError(f"the target {column.name!r} holds {column.kind}, which are no classes")
    return np.array([class_text(value) for value in values.tolist()], dtype=object)


def _listed(names: Sequence[str], limit: int = 10) -> str:
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
