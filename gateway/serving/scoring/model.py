"""One loaded model: rows in, answers out, the same way that its reference was scored."""

from __future__ import annotations

import itertools
import logging
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import check_file, load_verified
from gateway.registry.card import ArtifactMismatch
from gateway.registry.check_rows import CheckRows, read_check_rows
from gateway.registry.columns import class_text
from gateway.serving.scoring import Scorer, scorer_of
from gateway.serving.validation import Row

log = logging.getLogger("gateway.models")

#: How far an answer may be from the registered one: libraries of another build may round sums differently.
CHECK_TOLERANCE = 1e-9
#: How often, and for how long, one row is scored to see what it takes. The first is not counted: caches are cold.
_TIMED_CALLS = (6, 51)
_TIMED_SECONDS = 0.2


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
    """A verified estimator with its card, safe for several threads at once."""

    def __init__(self, card: ModelCard, scorer: Scorer) -> None:
        self.card = card
        self.scorer = scorer
        #: Median seconds of `answer` for one row, measured by `load`; infinite before, and where that raised.
        self.row_seconds = math.inf
        self._texts = [class_text(label) for label in card.classes]

    @classmethod
    def load(cls, registry: Registry, name: str, version: str) -> LoadedModel:
        """Load one version, prove that it answers as it did when it was registered, and compile it where that is exact.

        Raises:
            RegistryError: no such version, a changed file, or other answers.
        """
        card = registry.card(name, version)
        folder = registry.folder(name, version)
        check_path = folder / card.check_rows.file
        check_file(check_path, card.check_rows)
        check = read_check_rows(check_path)
        estimator = load_verified(folder, card)
        fitted = cls(card, Scorer(estimator))
        fitted._prove(check)
        model = cls(card, scorer_of(estimator, fitted._matrix(check.rows)))
        model._measure(check.rows)
        return model

    def answer(self, rows: Sequence[Row], matrix: NDArray[np.float64] | None = None) -> Answers:
        """Score n validated rows, n >= 1.

        Args:
            matrix: the same rows, shape (n, features), where whoever asks has them so already.

        Raises:
            NoFiniteAnswer: for rows far from all that the model was fitted on.
            Exception: whatever the estimator raises.
        """
        X = self._matrix(rows) if matrix is None or self.card.input_form != "array" else matrix
        if self.card.task == "regression":
            values = _finite(self.scorer.estimator.predict(X)).tolist()
            return Answers(values, values)
        if not self.card.has_probabilities:
            return self._answers(self._indices_of(self.scorer.estimator.predict(X)))
        probabilities = _finite(self.scorer.estimator.predict_proba(X))
        if self.card.prediction_is_argmax:
            chosen = probabilities.argmax(axis=1).tolist()
        else:
            chosen = self._indices_of(self.scorer.estimator.predict(X))
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
            # Quicker than `np.array`, which looks at each value's type first. A missing value is NaN in both.
            values = np.fromiter(itertools.chain.from_iterable(rows), np.float64, len(rows) * len(self.card.features))
            return values.reshape(len(rows), -1)
        # Needs pandas, so it is imported only for the models that select columns by name.
        from gateway.registry.frames import frame_of

        return frame_of(self.card.features, [list(column) for column in zip(*rows, strict=True)])

    def _indices_of(self, predicted: Any) -> list[int]:
        return [self._texts.index(class_text(_plain(value))) for value in predicted]

    def _prove(self, expected: CheckRows) -> None:
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

    def _measure(self, rows: Sequence[Row]) -> None:
        """Set `row_seconds`, and say what scores."""
        card, scorer = self.card, self.scorer
        try:
            self.row_seconds = _median_seconds(self.answer, rows)
        except Exception:
            # It answered these rows together. Requests for one will be told so; nothing may wait for it.
            log.exception("%s %s cannot score a single row", card.name, card.version)
        reason = f" ({scorer.why_not_compiled})" if scorer.why_not_compiled else ""
        milliseconds = self.row_seconds * 1e3
        log.info("%s %s: %s%s, %.3g ms a row", card.name, card.version, scorer.engine, reason, milliseconds)

    def _mismatch(self, what: str) -> ArtifactMismatch:
        card = self.card
        return ArtifactMismatch(
            f"{card.name} {card.version} does not answer as it did when it was registered ({what}); "
            f"it was registered with {', '.join(f'{name} {version}' for name, version in card.libraries.items())}"
        )


def _median_seconds(answer: Callable[[Sequence[Row]], object], rows: Sequence[Row]) -> float:
    """Median time of answering one row, over some of `rows`. Raises whatever `answer` does."""
    fewest, most = _TIMED_CALLS
    taken: list[float] = []
    for row in itertools.islice(itertools.cycle(rows), most):
        started = time.perf_counter()
        answer([row])
        taken.append(time.perf_counter() - started)
        if sum(taken) > _TIMED_SECONDS and len(taken) >= fewest:
            break
    return statistics.median(taken[1:])


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
