"""Asking a model: how it scores rows while it is registered, which is how the gateway scores them later."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry.card import ClassLabel, RegistryError
from gateway.registry.columns import class_text

#: Rows scored in one call. Enough to be fast, few enough that kernel methods fit into memory.
CHUNK_ROWS = 10_000
#: Two answers are alike when they differ by no more than this, which summing in another order may do.
ALIKE = 1e-12


class CannotScore(RegistryError):
    """The model raised an error of its own when it was asked."""


@dataclass(frozen=True)
class Answers:
    """A model's answers to n rows.

    Attributes:
        predictions: shape (n,), classes as text (object) or float64.
        probabilities: shape (n, classes), None without probabilities.
        confidence: shape (n,), the probability of the predicted class; None without probabilities.
        is_argmax: every predicted class is the most probable one.
    """

    predictions: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    confidence: NDArray[np.float64] | None
    is_argmax: bool

    def alike(self, other: Answers) -> bool:
        """Whether both say the same, within `ALIKE` (relative for large predicted numbers)."""
        if self.predictions.dtype.kind == "f":
            return bool(np.allclose(self.predictions, other.predictions, rtol=ALIKE, atol=ALIKE))
        if not np.array_equal(self.predictions, other.predictions):
            return False
        if self.probabilities is None or other.probabilities is None:
            return self.probabilities is other.probabilities
        return bool(np.max(np.abs(self.probabilities - other.probabilities)) <= ALIKE)


def classes_of(model: Any) -> tuple[ClassLabel, ...]:
    """A fitted classifier's classes as Python values, in the order of its probabilities.

    Raises:
        RegistryError: no list of classes, fewer than two, or classes that JSON cannot name.
    """
    raw = getattr(model, "classes_", None)
    if raw is None or np.ndim(raw) != 1 or (len(raw) and isinstance(raw[0], list | np.ndarray)):
        raise RegistryError("the model has no single list of classes; models with several outputs cannot be served")
    classes = tuple(class_label(value) for value in raw)
    if len(classes) < 2:
        raise RegistryError("the model knows one class only, so there is nothing to predict")
    return classes


def class_label(value: Any) -> ClassLabel:
    """A class as the card holds it: 1.0 is 1, numpy scalars become Python's. Raises RegistryError."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise RegistryError(f"the model has the class {value!r}; a class must be a boolean, a whole number or a text")


def score(model: Any, inputs: Any, classes: Sequence[ClassLabel]) -> Answers:
    """The model's answers to `inputs` (a DataFrame or a float64 array); `classes` is empty for regression.

    Raises:
        CannotScore: the model fails on them.
        RegistryError: its answers are not of one finite kind.
    """
    try:
        # Models fitted without names say so on every named frame, and the other way round; either works.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parts = [_score_chunk(model, chunk, classes) for chunk in _chunks(inputs)]
    except RegistryError:
        raise
    except Exception as error:
        # Any estimator may run here, and it may raise anything.
        raise CannotScore(f"the model cannot score the table: {_sentence(error)}") from error
    return _joined(parts)


def _chunks(inputs: Any) -> Iterator[Any]:
    for start in range(0, len(inputs), CHUNK_ROWS):
        stop = start + CHUNK_ROWS
        yield inputs.iloc[start:stop] if hasattr(inputs, "iloc") else inputs[start:stop]


def _score_chunk(model: Any, inputs: Any, classes: Sequence[ClassLabel]) -> Answers:
    predicted = np.asarray(model.predict(inputs))
    if predicted.shape != (len(inputs),):
        raise RegistryError(
            f"the model answers {len(inputs)} rows with shape {predicted.shape}; "
            "only one prediction per row can be served (fit it with a one-dimensional target)"
        )
    if not classes:
        numbers = predicted.astype(np.float64)
        if not np.isfinite(numbers).all():
            raise RegistryError("the model predicts NaN or infinity for some rows of the table")
        return Answers(numbers, None, None, False)
    codes = _codes(predicted, classes)
    texts = np.array([class_text(label) for label in classes], dtype=object)
    if not hasattr(model, "predict_proba"):
        return Answers(texts[codes], None, None, False)
    probabilities = np.asarray(model.predict_proba(inputs), dtype=np.float64)
    if probabilities.shape != (len(inputs), len(classes)) or not np.isfinite(probabilities).all():
        raise RegistryError("the model's probabilities are not one finite number per row and class")
    confidence = probabilities[np.arange(len(codes)), codes]
    return Answers(texts[codes], probabilities, confidence, bool((probabilities.argmax(axis=1) == codes).all()))


def _codes(predicted: NDArray[Any], classes: Sequence[ClassLabel]) -> NDArray[np.int64]:
    index = {label: code for code, label in enumerate(classes)}
    values, inverse = np.unique(predicted, return_inverse=True)
    labels = [class_label(value) for value in values]
    strangers = [class_text(label) for label in labels if label not in index]
    if strangers:
        raise RegistryError(f"the model predicts {', '.join(strangers)}, which is not one of its own classes")
    return np.array([index[label] for label in labels], dtype=np.int64)[inverse]


def _joined(parts: Sequence[Answers]) -> Answers:
    def join(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
        present = [array for array in arrays if array is not None]
        return np.concatenate(present) if present else None

    return Answers(
        np.concatenate([part.predictions for part in parts]),
        join([part.probabilities for part in parts]),
        join([part.confidence for part in parts]),
        all(part.is_argmax for part in parts),
    )


def _sentence(error: Exception) -> str:
    """The first lines of a foreign error, in one line of readable length."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{'...' if len(text) > 300 else ''}"
