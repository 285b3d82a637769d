"""The door: a model's quality on a window without labels, and held against those labels that came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from drift_engine.estimation.confidence import ConfidenceBased
from drift_engine.estimation.errors import CannotEstimate
from drift_engine.estimation.losses import DirectLoss
from drift_engine.estimation.support import Coverage, Support
from drift_engine.quality import labelled_rows, measured
from drift_engine.results.quality import Estimate, EstimateError
from drift_engine.settings import DriftSettings
from drift_engine.table import Table
from gateway.registry import Metric, ModelCard

#: Said beside every estimate.
ASSUMPTION = (
    "It assumes that outcomes still depend on the inputs as they did in the reference, so it cannot see concept drift; "
    "only labels can"
)
#: A figure that misses by so many half widths of its 95 % interval (a chance of 1 in 1,000) is contradicted.
_CONTRADICTED = 1.68
#: The figures that a contradiction is told of.
_LEADING = ("accuracy", "mae")


class _Method(Protocol):
    """One way to estimate, fitted on a reference."""

    @property
    def name(self) -> Literal["cbpe", "dle"]: ...

    def usable(self, table: Table) -> NDArray[np.int64]:
        """Positions of the rows that can be estimated."""

    def metrics(self, table: Table) -> tuple[Metric, ...]:
        """The figures of usable rows."""


@dataclass(frozen=True)
class Estimator:
    """Fitted once on a reference, it estimates any number of windows."""

    card: ModelCard
    settings: DriftSettings
    method: _Method
    support: Support

    def estimate(self, live: Table, labelled: Table | None = None) -> Estimate:
        """Quality on all rows of `live` whatever labels it holds, and the same held against labels.

        Args:
            labelled: the rows to hold it against; by default those of `live` that have a label.
        """
        with np.errstate(all="ignore"):
            back_test = self._back_test(live if labelled is None else labelled)
            rows = live.take(self.method.usable(live))
            needed = self.settings.labelled_rows_min
            if rows.rows < needed:
                return _none(self.method.name, f"{rows.rows} rows of {needed} needed", rows.rows, back_test)
            coverage = self.support.coverage(rows)
            metrics = self.method.metrics(rows)
        trusted = coverage.suffices and not _contradictions(back_test)
        caution = _caution(coverage, back_test)
        found = tuple(error for error, _ in back_test)
        return Estimate(self.method.name, None, rows.rows, metrics, trusted, caution, coverage.share, found)

    def _back_test(self, table: Table) -> tuple[tuple[EstimateError, Metric], ...]:
        """Each figure that both sides have, with what was estimated; nothing where too few rows have a label."""
        rows = table.take(labelled_rows(table))
        rows = rows.take(self.method.usable(rows))
        if rows.rows < self.settings.labelled_rows_min:
            return ()
        realised = {(m.name, m.average): m.value for m in measured(self.card, rows)}
        estimated = [m for m in self.method.metrics(rows) if (m.name, m.average) in realised]
        return tuple((_error(m, realised[m.name, m.average], rows.rows), m) for m in estimated)


def fit_estimator(card: ModelCard, reference: Table, settings: DriftSettings) -> Estimator:
    """Learn from the labelled rows of the reference what an estimate needs. Raises CannotEstimate."""
    known = reference.take(labelled_rows(reference))
    kind: type[DirectLoss] | type[ConfidenceBased] = DirectLoss if card.task == "regression" else ConfidenceBased
    with np.errstate(all="ignore"):
        return Estimator(card, settings, kind.fit(card, known, settings), Support(card, known))


def estimate_quality(
    card: ModelCard, reference: Table, live: Table, settings: DriftSettings, labelled: Table | None = None
) -> Estimate:
    """Quality of the rows of `live` as the registered reference would have it; see `Estimator.estimate`.

    Whatever is lacking is told in `reason`; nothing is raised.
    """
    try:
        return fit_estimator(card, reference, settings).estimate(live, labelled)
    except CannotEstimate as error:
        return _none("dle" if card.task == "regression" else "cbpe", str(error), live.rows, ())


def _error(estimated: Metric, realised: float, rows: int) -> EstimateError:
    covered = estimated.lower is not None and estimated.upper is not None
    covered = covered and float(estimated.lower or 0.0) <= realised <= float(estimated.upper or 0.0)
    return EstimateError(
        metric=estimated.name,
        average=estimated.average,
        rows=rows,
        estimated=estimated.value,
        realised=realised,
        error=estimated.value - realised,
        covered=covered,
    )


def _none(
    method: Literal["cbpe", "dle"], reason: str, rows: int, back_test: tuple[tuple[EstimateError, Metric], ...]
) -> Estimate:
    found = tuple(error for error, _ in back_test)
    return Estimate(method, reason, rows, (), False, f"{ASSUMPTION}.", None, found)


def _contradictions(back_test: tuple[tuple[EstimateError, Metric], ...]) -> list[EstimateError]:
    """Leading figures that labels have shown to be off by far more than chance."""
    found = []
    for error, metric in back_test:
        if error.metric not in _LEADING or metric.lower is None or metric.upper is None:
            continue
        half = (metric.upper - metric.value) if error.error < 0 else (metric.value - metric.lower)
        if abs(error.error) > _CONTRADICTED * half:
            found.append(error)
    return found


def _caution(coverage: Coverage, back_test: tuple[tuple[EstimateError, Metric], ...]) -> str:
    sentences = [f"{ASSUMPTION}."]
    if not coverage.suffices:
        where = f", most of them in {coverage.most}" if coverage.most else ""
        sentences.append(
            f"Not to be trusted: {coverage.share:.0%} of the rows have inputs or scores that the reference does not "
            f"show{where}."
        )
    sentences += [
        f"Not to be trusted: on {error.rows:,} labelled rows it says {error.metric} {error.estimated:.3g} where the "
        f"labels show {error.realised:.3g}, which chance does not explain."
        for error in _contradictions(back_test)
    ]
    return " ".join(sentences)
