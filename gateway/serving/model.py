"""One loaded model: rows in, answers out, the same way that its reference was scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import check_file, load_verified
from gateway.registry.card import ArtifactMismatch
from gateway.registry.check_rows import read_check_rows
from gateway.registry.columns import class_text
from gateway.serving.validation import Row

#: How far an answer may be from the registered one: libraries of another build may round sums differently.
CHECK_TOLERANCE = 1e-9


class NoFiniteAnswer(Exception):
    """The model answers some rows with NaN or infinity; `rows` are their positions."""

    def __init__(self, rows: list[int]) -> None:
        super().__init__(f"no finite answer to {len(rows)} rows")
        self.rows = rows


@dataclass(frozen=True)
class Answers:
    """The model's answers to n rows.

    Attributes:
        predictions: n classes as the model was trained on, or n floats.
        recorded: the same as the log holds them: classes as text, or floats.
        confidences: n probabilities of the predicted class; None without probabilities.
        probabilities: n lists in the order of the card's classes; None without probabilities.
    """

    predictions: Sequence[bool | int | str | float]
    recorded: Sequence[str | float]
    confidences: list[float] | None = None
    probabilities: list[list[float]] | None = None


class LoadedModel:
    """A verified estimator with its card."""

    def __init__(self, card: ModelCard, estimator: Any) -> None:
        self.card = card
        self._estimator = estimator
        self._texts = [class_text(label) for label in card.classes]

    row_seconds = 0.0

    @classmethod
    def load(cls, registry: Registry, name: str, version: str) -> LoadedModel:
        """Load one version and prove that it answers as it did when it was registered.

        Raises:
            RegistryError: no such version, a changed file, or other answers.
        """
        card = registry.card(name, version)
        folder = registry.folder(name, version)
        model = cls(card, load_verified(folder, card))
        model._prove(folder / card.check_rows.file)
        return model

    def answer(self, rows: Sequence[Row]) -> Answers:
        """Score n validated rows, n >= 1.

        Raises:
            NoFiniteAnswer: for rows far from all that the model was fitted on.
            Exception: whatever the estimator raises.
        """
        X = self._matrix(rows)
        if self.card.task == "regression":
            values = _finite(self._estimator.predict(X)).tolist()
            return Answers(values, values)
        if not self.card.has_probabilities:
            return self._answers(self._indices_of(self._estimator.predict(X)))
        probabilities = _finite(self._estimator.predict_proba(X))
        if self.card.prediction_is_argmax:
            chosen = probabilities.argmax(axis=1).tolist()
        else:
            chosen = self._indices_of(self._estimator.predict(X))
        return self._answers(chosen, probabilities.tolist())

    def _answers(self, chosen: list[int], probabilities: list[list[float]] | None = None) -> Answers:
        confidences = None
        if probabilities is not None:
            confidences = [row[index] for row, index in zip(probabilities, chosen, strict=True)]
        classes, texts = self.card.classes, self._texts
        return Answers(
            [classes[index] for index in chosen], [texts[index] for index in chosen], confidences, probabilities
        )

    def _matrix(self, rows: Sequence[Row]) -> Any:
        if self.card.input_form == "array":
            return np.array(rows, dtype=np.float64)
        # Needs pandas, so it is imported only for the models that select columns by name.
        from gateway.registry.frames import frame_of

        return frame_of(self.card.features, [list(column) for column in zip(*rows, strict=True)])

    def _indices_of(self, predicted: Any) -> list[int]:
        return [self._texts.index(class_text(_plain(value))) for value in predicted]

    def _prove(self, path: Path) -> None:
        check_file(path, self.card.check_rows)
        expected = read_check_rows(path)
        try:
            answers = self.answer(expected.rows)
        except Exception as error:
            # Another version of a library may raise anything on an estimator that it loaded without complaint.
            raise self._mismatch(f"raises {type(error).__name__}: {error}") from error
        if self.card.task == "regression":
            gap = _largest_gap(expected.predictions, answers.recorded)
        else:
            gap = float(np.mean(np.array(answers.recorded, dtype=object) != expected.predictions.astype(object)))
        if answers.probabilities is not None and expected.probabilities is not None:
            gap = max(gap, _largest_gap(expected.probabilities, answers.probabilities))
        if not gap <= CHECK_TOLERANCE:
            raise self._mismatch(f"differs by {gap:.3g}")

    def _mismatch(self, what: str) -> ArtifactMismatch:
        card = self.card
        return ArtifactMismatch(
            f"{card.name} {card.version} does not answer as it did when it was registered ({what}); "
            f"it was registered with {', '.join(f'{name} {version}' for name, version in card.libraries.items())}"
        )


def _finite(values: Any) -> NDArray[np.float64]:
    """Answers as float64, shape (n,) or (n, classes). Raises NoFiniteAnswer."""
    numbers = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(numbers)
    if not finite.all():
        raise NoFiniteAnswer(np.flatnonzero(~finite.reshape(len(numbers), -1).all(axis=1)).tolist())
    return numbers


def _largest_gap(expected: Any, actual: Any) -> float:
    """The largest difference, relative where values exceed 1."""
    expected, actual = np.asarray(expected, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    return float(np.max(np.abs(expected - actual) / np.maximum(1.0, np.abs(expected)), initial=0.0))


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python value it stands for; an integral float as the integer that it means."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
