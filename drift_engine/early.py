"""Signs of concept drift before labels tell: a reason to look, and never a verdict.

- A classifier's confidence moved though no input did. It says that inputs go together in new ways, near or far from
  the line between classes, and so that the model may err more; or that the model is not the one that it was.
- The few labels of a regression, too few for a verdict, show errors unlike those of the reference: larger, or to one
  side. By rank tests, each with a chance of a false sign of 1 % / 2: ranks hold for few rows and any distribution.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import mannwhitneyu

from drift_engine.quality import labelled_rows
from drift_engine.results.schema import DataDrift, PredictionDrift
from drift_engine.table import Floats, NumberColumn, Table
from gateway.registry import ModelCard
from gateway.registry.columns import CONFIDENCE, LABEL, PREDICTION

#: The chance that either rank test gives a sign without a cause.
SIGN_P = 0.01
#: Under so many labelled rows there is no sign, whatever they say.
RESIDUALS_MIN = 20


def early_signs(
    card: ModelCard, data: DataDrift, answers: PredictionDrift, reference: Table, labelled: Table
) -> tuple[str, ...]:
    """The signs, as sentences. For runs whose labels give no verdict.

    Args:
        reference: the registered rows, with labels where known.
        labelled: the rows that quality was looked for in.
    """
    signs = list(_confidence_signs(data, answers))
    if card.task == "regression":
        signs += _residual_signs(_residuals(reference), _residuals(labelled))
    return tuple(signs)


def _confidence_signs(data: DataDrift, answers: PredictionDrift) -> list[str]:
    if data.detected is not False:
        return []
    return [
        f"the model's confidence moved though no input did ({finding.sentence}): the inputs may go together in new ways"
        for finding in answers.findings
        if finding.column == CONFIDENCE and finding.detected
    ]


def _residual_signs(before: Floats, now: Floats) -> list[str]:
    if min(len(before), len(now)) < RESIDUALS_MIN:
        return []
    signs = []
    if _differs(np.abs(now), np.abs(before), "greater"):
        signs.append(
            f"the first {len(now)} labels show larger errors: half are over {_median_size(now):.4g}, "
            f"in the reference over {_median_size(before):.4g}"
        )
    if _differs(now, before, "two-sided"):
        signs.append(
            f"the first {len(now)} labels show errors to one side: answer minus truth is {np.median(now):+.4g} in the "
            f"middle, in the reference {np.median(before):+.4g}"
        )
    return signs


def _differs(now: Floats, before: Floats, alternative: str) -> bool:
    return bool(mannwhitneyu(now, before, alternative=alternative, method="asymptotic").pvalue < SIGN_P / 2)


def _median_size(residuals: Floats) -> float:
    return float(np.median(np.abs(residuals)))


def _residuals(table: Table) -> Floats:
    """Answer minus truth of the labelled rows, finite."""
    rows = table.take(labelled_rows(table))
    answer, label = rows.columns.get(PREDICTION), rows.columns.get(LABEL)
    if not isinstance(answer, NumberColumn) or not isinstance(label, NumberColumn):
        return np.empty(0)
    with np.errstate(all="ignore"):
        found = answer.values - label.values
    return found[np.isfinite(found)]
