"""The comparison itself: figures of both models as means over rows, tested plainly and in blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import wilcoxon

from drift_engine.errors import DriftError
from drift_engine.paired.schema import PairedComparison, PairedFigure, Verdict, chance, label_of
from drift_engine.paired.significance import (
    Floats,
    block_length,
    block_means,
    bootstrap_test,
    mcnemar_p,
    normal_test,
    row_means,
    share_difference_interval,
)
from drift_engine.sentences import number
from gateway.registry.card import ModelCard
from gateway.registry.columns import class_text
from gateway.registry.inference import Answers
from gateway.registry.performance import POSITIVES_MIN
from gateway.registry.ranking import auc_terms, weighted_auc_terms

#: A difference counts when there is less than this chance of seeing it without one.
ALPHA = 0.05
#: Blocks that make the deciding figure's error larger than this times the plain one make the plain p-value doubtful.
_INFLATION_TOLD = 1.15

_Bounds = tuple[float, float, float]


class CannotCompare(DriftError):
    """Nothing can be said of the difference; the text says why."""


def _as_is(means: Floats) -> Floats:
    return means


@dataclass(frozen=True)
class _Figure:
    """One figure of both models: `of` makes it from the column means of `terms`.

    Attributes:
        terms: shape (rows, q), the first half of the columns of the first model.
        of: means of shape (replicates, q) to figures of shape (replicates, 2).
        plain: bounds and p-value that take the rows for independent; None for the paired bootstrap.
    """

    name: str
    average: str | None
    higher_is_better: bool
    terms: Floats
    method: str = "paired bootstrap"
    of: Callable[[Floats], Floats] = _as_is
    plain: Callable[[float], _Bounds] | None = None


def deciding_figures(card: ModelCard) -> tuple[str, ...]:
    """What may decide a comparison of models of that kind; the first decides unless another is named."""
    if card.task == "regression":
        return ("mae", "rmse")
    scores = ("roc_auc", "log_loss", "brier") if card.has_probabilities else ()
    return ("accuracy", "f1_score" if card.task == "binary" else "f1_score (weighted)", *scores)


def compare(
    card: ModelCard, truth: NDArray[Any], first: Answers, second: Answers, *, deciding: str, seed: int
) -> PairedComparison:
    """Compare two models' answers to the same rows.

    Args:
        card: of either; task, classes and positive class are the same.
        truth: shape (rows,), classes as text or float64, each known and one of the card's; in order of time.
        deciding: one of `deciding_figures`.
        seed: of the bootstraps; the same rows and seed give the same comparison.

    Raises:
        CannotCompare: no rows, or the deciding figure cannot be made of these.
    """
    if len(truth) == 0:
        raise CannotCompare("there is no labelled row to compare on")
    figures = _figures(card, truth, first, second)
    if deciding not in (names := [label_of(figure.name, figure.average) for figure in figures]):
        raise CannotCompare(f"{deciding} cannot be made of these rows; what can: {', '.join(names)}")
    blocks = max(block_length(figure.terms[:, 1] - figure.terms[:, 0]) for figure in figures if figure.of is _as_is)
    judged = _judged(figures, blocks, seed)
    decided = judged[names.index(deciding)]
    against = tuple(
        label_of(figure.name, figure.average)
        for figure in judged
        if {figure.verdict, decided.verdict} == {"better", "worse"}
    )
    gained, lost = (None, None) if card.task == "regression" else _discordant(truth, first, second)
    return PairedComparison(
        rows=len(truth),
        gained=gained,
        lost=lost,
        deciding=deciding,
        verdict=decided.verdict,
        sentence=_sentence(deciding, decided, len(truth), against),
        figures=judged,
        against=against,
        block_rows=blocks,
        dependence=_dependence(decided, blocks),
        rank_p_value=_rank_p(truth, first, second) if card.task == "regression" else None,
    )


def _figures(card: ModelCard, truth: NDArray[Any], first: Answers, second: Answers) -> list[_Figure]:
    if card.task == "regression":
        return _error_figures(truth, first, second)
    classes = [class_text(label) for label in card.classes]
    codes = {text: code for code, text in enumerate(classes)}
    labels = np.array([codes[text] for text in truth], dtype=np.int64)
    chosen = [np.array([codes[text] for text in side.predictions], dtype=np.int64) for side in (first, second)]
    positive = None if card.positive_class is None else codes[class_text(card.positive_class)]
    figures = [_accuracy(labels, chosen), *_f1(labels, chosen, len(classes), positive)]
    if first.probabilities is not None and second.probabilities is not None:
        figures += _probability_figures(labels, [first.probabilities, second.probabilities], positive)
    return figures


def _accuracy(labels: NDArray[np.int64], chosen: Sequence[NDArray[np.int64]]) -> _Figure:
    right = np.column_stack([side == labels for side in chosen])
    gained, lost = int(np.sum(~right[:, 0] & right[:, 1])), int(np.sum(right[:, 0] & ~right[:, 1]))

    def plain(_: float) -> _Bounds:
        return (*share_difference_interval(gained, lost, len(labels)), mcnemar_p(gained, lost))

    return _Figure("accuracy", None, True, right.astype(np.float64), "McNemar, exact", _as_is, plain)


def _f1(
    labels: NDArray[np.int64], chosen: Sequence[NDArray[np.int64]], classes: int, positive: int | None
) -> list[_Figure]:
    """F1 of the positive class where there are enough of it, and the weighted one."""
    figures = []
    if positive is not None and int(np.sum(labels == positive)) >= POSITIVES_MIN:
        figures.append(_f1_figure("positive", labels, chosen, [positive]))
    return [*figures, _f1_figure("weighted", labels, chosen, list(range(classes)))]


def _f1_figure(
    average: str, labels: NDArray[np.int64], chosen: Sequence[NDArray[np.int64]], classes: list[int]
) -> _Figure:
    """F1 = 2 hits / (predicted + actual) per class, weighted by the classes' rows: all of them means over rows."""
    actual = np.column_stack([labels == code for code in classes]).astype(np.float64)
    sides = [np.column_stack([side == code for code in classes]).astype(np.float64) for side in chosen]
    terms = np.hstack([part for side in sides for part in (side * actual, side)] + [actual])
    count = len(classes)

    def of(means: Floats) -> Floats:
        parts = means.reshape(len(means), 5, count)
        weights = parts[:, 4] / np.maximum(parts[:, 4].sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        values = []
        for hits, predicted in ((parts[:, 0], parts[:, 1]), (parts[:, 2], parts[:, 3])):
            whole = predicted + parts[:, 4]
            values.append((weights * np.divide(2 * hits, whole, out=np.zeros_like(hits), where=whole > 0)).sum(axis=1))
        return np.column_stack(values)

    return _Figure("f1_score", average, True, terms, of=of)


def _probability_figures(
    labels: NDArray[np.int64], probabilities: Sequence[Floats], positive: int | None
) -> list[_Figure]:
    rows, classes = probabilities[0].shape
    truth = np.zeros((rows, classes))
    truth[np.arange(rows), labels] = 1.0
    tiny = np.finfo(np.float64).eps
    losses = [-xlogy(truth, np.clip(side, tiny, 1 - tiny)).sum(axis=1) for side in probabilities]
    # Two classes share one squared error, which is counted once, as in the baseline.
    squares = [((truth - side) ** 2).sum(axis=1) / (2 if classes == 2 else 1) for side in probabilities]
    figures = [
        _Figure("log_loss", None, False, np.column_stack(losses), of=_as_is),
        _Figure("brier", None, False, np.column_stack(squares), of=_as_is),
    ]
    if len(np.unique(labels)) < 2:
        return figures
    if classes == 2:
        second = 1 if positive is None else positive
        terms = np.column_stack([auc_terms(labels == second, side[:, second]) for side in probabilities])
    else:
        terms = np.column_stack([weighted_auc_terms(labels, side) for side in probabilities])

    def plain(difference: float) -> _Bounds:
        return normal_test(difference, float((terms[:, 1] - terms[:, 0]).var(ddof=1)) / rows)

    return [_Figure("roc_auc", None, True, terms, "DeLong", _as_is, plain), *figures]


def _error_figures(truth: Floats, first: Answers, second: Answers) -> list[_Figure]:
    errors = np.column_stack([first.predictions - truth, second.predictions - truth]).astype(np.float64)
    # Numbers near the limits of a float overflow when they are squared or summed; such a figure is left out.
    with np.errstate(all="ignore"):
        found = [
            _Figure("mae", None, False, np.abs(errors), of=_as_is),
            _Figure("rmse", None, False, errors**2, of=np.sqrt),
        ]
        return [figure for figure in found if np.isfinite((figure.terms**2).sum(axis=0)).all()]


def _judged(figures: Sequence[_Figure], block_rows: int, seed: int) -> tuple[PairedFigure, ...]:
    """All figures, from the same resampled rows."""
    terms = np.hstack([figure.terms for figure in figures])
    ends = np.cumsum([figure.terms.shape[1] for figure in figures])[:-1]
    by_row = np.split(row_means(terms, np.random.default_rng(seed)), ends, axis=1)
    by_block = np.split(block_means(terms, block_rows, np.random.default_rng(seed)), ends, axis=1)
    return tuple(_judge(*each) for each in zip(figures, by_row, by_block, strict=True))


def _judge(figure: _Figure, row_replicates: Floats, block_replicates: Floats) -> PairedFigure:
    first, second = (float(value) for value in figure.of(figure.terms.mean(axis=0)[np.newaxis])[0])
    difference = second - first
    plain = figure.plain(difference) if figure.plain else _resampled(figure, difference, row_replicates)
    blocks = _resampled(figure, difference, block_replicates)
    verdict: Verdict = "no difference"
    if max(plain[2], blocks[2]) < ALPHA:
        verdict = "better" if (difference > 0) == figure.higher_is_better else "worse"
    return PairedFigure(
        figure.name, figure.average, figure.higher_is_better, first, second, difference,
        *plain, figure.method, *blocks, verdict,
    )  # fmt: skip


def _resampled(figure: _Figure, difference: float, means: Floats) -> _Bounds:
    values = figure.of(means)
    return bootstrap_test(difference, values[:, 1] - values[:, 0])


def _discordant(truth: NDArray[Any], first: Answers, second: Answers) -> tuple[int, int]:
    right = [side.predictions == truth for side in (first, second)]
    return int(np.sum(~right[0] & right[1])), int(np.sum(right[0] & ~right[1]))


def _rank_p(truth: Floats, first: Answers, second: Answers) -> float:
    """Wilcoxon's signed-rank test: are the errors larger as often, and by as much, on either side?"""
    differences = np.abs(second.predictions - truth) - np.abs(first.predictions - truth)
    if not np.any(differences):
        return 1.0
    return float(wilcoxon(differences).pvalue)


def _sentence(deciding: str, figure: PairedFigure, rows: int, against: tuple[str, ...]) -> str:
    lower, upper = min(figure.lower, figure.block_lower), max(figure.upper, figure.block_upper)
    p_value = max(figure.p_value, figure.block_p_value)
    seen = (
        f"{deciding} {number(figure.first)} -> {number(figure.second)} on the same {rows:,} rows (difference "
        f"{figure.difference:+.4g}, 95 % interval {lower:+.4g} to {upper:+.4g}, p {chance(p_value)})"
    )
    if figure.verdict == "no difference":
        return f"no difference that the rows show: {seen}"
    contradicted = f"; but by {', '.join(against)} it is the other way round" if against else ""
    return f"{figure.verdict}: {seen}{contradicted}"


def _dependence(figure: PairedFigure, block_rows: int) -> str | None:
    plain, blocks = figure.upper - figure.lower, figure.block_upper - figure.block_lower
    if block_rows == 1 or (
        blocks <= _INFLATION_TOLD * plain and figure.block_p_value <= 2 * max(figure.p_value, 0.005)
    ):
        return None
    return (
        f"neighbouring rows are alike (blocks of {block_rows:,} rows), so the plain test (p {chance(figure.p_value)}, "
        f"{figure.method}) cannot be trusted; in blocks p {chance(figure.block_p_value)}, and the verdict needs both"
    )
