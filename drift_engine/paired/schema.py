"""What a paired comparison says: every figure of both models, their difference, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["better", "worse", "no difference"]


@dataclass(frozen=True)
class PairedFigure:
    """One figure of both models on the same rows.

    Attributes:
        difference: the second model's figure minus the first's; `lower` and `upper` bound it with 95 % confidence.
        p_value: two-sided, for "no difference", by `method`, which takes the rows for independent.
        block_lower, block_upper, block_p_value: the same by a block bootstrap, which does not.
        verdict: of the second model by this figure alone; both p-values must be below 5 %.
    """

    name: str
    average: str | None
    higher_is_better: bool
    first: float
    second: float
    difference: float
    lower: float
    upper: float
    p_value: float
    method: str
    block_lower: float
    block_upper: float
    block_p_value: float
    verdict: Verdict


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same labelled rows, in order of time. "Better" speaks of the second.

    Attributes:
        rows: that both were judged on.
        gained: rows where only the second is right; `lost`: where only the first is. None for regression.
        deciding: the figure that the verdict follows.
        sentence: the verdict with its numbers, in words.
        against: figures that say the opposite of the verdict, beyond chance.
        block_rows: length of the block bootstrap's blocks (Politis and White), 1 where rows seem independent.
        dependence: why the plain p-values cannot be trusted, in words; None where nothing speaks against them.
        rank_p_value: of Wilcoxon's signed-rank test on the absolute errors; None for classification.
    """

    rows: int
    gained: int | None
    lost: int | None
    deciding: str
    verdict: Verdict
    sentence: str
    figures: tuple[PairedFigure, ...]
    against: tuple[str, ...]
    block_rows: int
    dependence: str | None
    rank_p_value: float | None = None

    @property
    def decided_by(self) -> PairedFigure:
        """The figure that the verdict follows."""
        return next(figure for figure in self.figures if label_of(figure.name, figure.average) == self.deciding)


def label_of(name: str, average: str | None) -> str:
    """A figure's name for people: `f1_score` of the positive class is the one without an addition.

    >>> label_of("f1_score", "weighted"), label_of("roc_auc", None)
    ('f1_score (weighted)', 'roc_auc')
    """
    return f"{name} ({average})" if average == "weighted" else name


def chance(p_value: float) -> str:
    """A p-value for people, with its sign.

    >>> chance(0.0421), chance(1e-77)
    ('= 0.042', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.2g}"
