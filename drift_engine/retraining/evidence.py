"""What the model report shows beside the comparison: each model's own figures, by class, over time, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift_engine.reading.logged import moment_text
from drift_engine.retraining.schema import CalibrationBin, ClassFigures, Slice
from gateway.registry import Metric, ModelCard
from gateway.registry.columns import class_text
from gateway.registry.inference import Answers
from gateway.registry.intervals import wilson
from gateway.registry.performance import classification_metrics, regression_metrics

#: Days are told one by one where there are so many of them; otherwise the rows are cut into so many equal parts.
_DAYS_MIN, _DAYS_MAX, _PARTS = 5, 60, 20
_BINS = 10
_DAY_MICROSECONDS = 24 * 3600 * 1_000_000


def metrics_of(card: ModelCard, truth: NDArray[Any], answers: Answers) -> tuple[Metric, ...]:
    """One model's quality on the judged rows, measured as its baseline is."""
    if card.task == "regression":
        return regression_metrics(truth, answers.predictions)
    positive = None if card.positive_class is None else class_text(card.positive_class)
    classes = [class_text(label) for label in card.classes]
    return classification_metrics(truth, answers.predictions, answers.probabilities, classes, positive)


def class_figures(
    card: ModelCard, truth: NDArray[Any], champion: Answers, candidate: Answers
) -> tuple[ClassFigures, ...]:
    """Precision and recall of both, class by class; classes without judged rows are left out."""
    found = []
    for label in (class_text(item) for item in card.classes):
        actual = truth == label
        if not actual.any():
            continue
        sides = [_shares(actual, answers.predictions == label) for answers in (champion, candidate)]
        found.append(ClassFigures(label, int(actual.sum()), *sides[0], *sides[1]))
    return tuple(found)


def slices_of(
    card: ModelCard, times: NDArray[np.int64], truth: NDArray[Any], champion: Answers, candidate: Answers
) -> tuple[Slice, ...]:
    """Accuracy, or mean absolute error, over time: by UTC day, or by equal parts where there are few or many days."""
    scores = [_scores(card, truth, answers) for answers in (champion, candidate)]
    days = times // _DAY_MICROSECONDS
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    if not _DAYS_MIN <= len(starts) <= _DAYS_MAX:
        starts = np.unique(np.linspace(0, len(times), min(_PARTS, len(times)), endpoint=False).astype(np.int64))
    ends = np.append(starts[1:], len(times))
    return tuple(
        Slice(
            moment_text(times[start]),
            moment_text(times[end - 1]),
            int(end - start),
            float(scores[0][start:end].mean()),
            float(scores[1][start:end].mean()),
        )
        for start, end in zip(starts, ends, strict=True)
    )


def calibration(card: ModelCard, truth: NDArray[Any], answers: Answers) -> tuple[CalibrationBin, ...]:
    """Rows in ten bins of equal size by score, and what came true in them.

    The score is the positive class's probability, with several classes the confidence, for numbers the prediction.
    """
    if card.task == "regression":
        return _bins(answers.predictions, truth, is_share=False)
    if answers.probabilities is None or answers.confidence is None:
        return ()
    if card.positive_class is None:
        return _bins(answers.confidence, (answers.predictions == truth).astype(np.float64), is_share=True)
    place = card.classes.index(card.positive_class)
    positive = (truth == class_text(card.positive_class)).astype(np.float64)
    return _bins(answers.probabilities[:, place], positive, is_share=True)


def _shares(actual: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> tuple[Metric | None, Metric]:
    hits = int(np.sum(actual & predicted))
    precision = _wilson("precision", hits, int(predicted.sum())) if predicted.any() else None
    return precision, _wilson("recall", hits, int(actual.sum()))


def _wilson(name: str, hits: int, rows: int) -> Metric:
    return Metric(name, hits / rows, *wilson(hits, rows), None, "wilson")


def _scores(card: ModelCard, truth: NDArray[Any], answers: Answers) -> NDArray[np.float64]:
    """Per row 1 for a right class, or the absolute error."""
    if card.task == "regression":
        return np.asarray(np.abs(answers.predictions - truth), dtype=np.float64)
    return np.asarray(answers.predictions == truth, dtype=np.float64)


def _bins(scores: NDArray[np.float64], observed: NDArray[np.float64], *, is_share: bool) -> tuple[CalibrationBin, ...]:
    order = np.argsort(scores, kind="stable")
    parts: Sequence[NDArray[np.int64]] = [part for part in np.array_split(order, _BINS) if len(part)]
    found = []
    for part in parts:
        mean = float(observed[part].mean())
        bounds = wilson(mean * len(part), len(part)) if is_share else (None, None)
        found.append(CalibrationBin(len(part), float(scores[part].mean()), mean, *bounds))
    return tuple(found)
