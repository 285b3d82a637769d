"""Confidence-based performance estimation (CBPE): a classifier's quality from its calibrated probabilities.

A row that is right with a probability of 0.9 counts as 0.9 of a right answer. The interval is that of what labels
would show: classes drawn from the probabilities, on top of calibrations redrawn from the reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drift_engine.estimation.answers import class_codes, positive_code, probabilities_of
from drift_engine.estimation.calibration import Calibration, calibrate
from drift_engine.estimation.errors import CannotEstimate
from drift_engine.estimation.expected import Answered, Key
from drift_engine.settings import DriftSettings
from drift_engine.table import Floats, Table
from gateway.registry import Metric, ModelCard
from gateway.registry.columns import LABEL, PREDICTION
from gateway.registry.intervals import CONFIDENCE

_REPLICATES = 300
#: With many classes fewer, since each has a calibration of its own; a quantile of 2.5 % needs at least so many.
_REPLICATES_MIN = 80
#: Replicates look at so many rows at most; what chance does to more of them follows by the square root.
_SIMULATED_ROWS_MAX = 2000
#: Figures that may exceed 1.
_UNBOUNDED = ("log_loss", "brier")


@dataclass(frozen=True)
class ConfidenceBased:
    """CBPE with one model's calibration."""

    card: ModelCard
    calibration: Calibration
    seed: int
    name: Literal["cbpe"] = "cbpe"

    @classmethod
    def fit(cls, card: ModelCard, reference: Table, settings: DriftSettings) -> ConfidenceBased:
        """Calibrate on the labelled rows of the reference. Raises CannotEstimate."""
        if not card.has_probabilities:
            raise CannotEstimate("the model gives no probabilities")
        probabilities, codes = probabilities_of(card, reference), class_codes(card, reference, LABEL)
        known = (codes >= 0) & np.isfinite(probabilities).all(axis=1)
        rows = int(np.count_nonzero(known))
        if rows < settings.labelled_rows_min:
            raise CannotEstimate(f"the reference has {rows} labelled rows of {settings.labelled_rows_min} needed")
        if len(np.unique(codes[known])) < 2:
            raise CannotEstimate("the labels of the reference are all of one class")
        return cls(card, calibrate(probabilities[known], codes[known], settings.seed), settings.seed)

    def usable(self, table: Table) -> NDArray[np.int64]:
        """Positions of the rows that can be estimated: answered with one of the classes and finite probabilities."""
        predicted = class_codes(self.card, table, PREDICTION)
        return np.flatnonzero((predicted >= 0) & np.isfinite(probabilities_of(self.card, table)).all(axis=1))

    def metrics(self, table: Table) -> tuple[Metric, ...]:
        """The figures of usable rows, with intervals."""
        probabilities = probabilities_of(self.card, table)
        answered = Answered(class_codes(self.card, table, PREDICTION), probabilities, positive_code(self.card))
        estimated = answered.figures(self.calibration(probabilities))
        spread = self._spread(answered)
        return tuple(
            _metric(key, value, spread.get(key, np.empty(0)))
            for key, value in estimated.items()
            if math.isfinite(value)
        )

    def _spread(self, answered: Answered) -> dict[Key, Floats]:
        """By how much what labels show may differ from the estimate: per figure one deviation per replicate."""
        rng = np.random.default_rng(self.seed)
        simulated = min(answered.rows, _SIMULATED_ROWS_MAX)
        sample = answered.take(np.sort(rng.choice(answered.rows, simulated, replace=False)))
        probabilities, isotonic = sample.probabilities, self.calibration.isotonic
        # Deviations from the calibrated figures also where the probabilities serve as they are: the reference knows
        # them no better.
        before = sample.figures(isotonic(probabilities))
        shrink = math.sqrt(simulated / answered.rows)
        deviations: dict[Key, list[float]] = {key: [] for key in before}
        for _ in range(max(_REPLICATES_MIN, _REPLICATES * 2 // max(2, probabilities.shape[1]))):
            redrawn = isotonic.resampled(rng)(probabilities)
            expected, shown = sample.figures(redrawn), sample.figures(_drawn(redrawn, rng))
            for key, found in deviations.items():
                found.append(expected[key] - before[key] + shrink * (shown[key] - expected[key]))
        return {key: _finite(np.array(found)) for key, found in deviations.items()}


def _drawn(probabilities: Floats, rng: np.random.Generator) -> Floats:
    """True classes drawn from the probabilities of each row, as a 1 in one column."""
    ends = np.cumsum(probabilities, axis=1)
    chosen = (rng.random((len(ends), 1)) * ends[:, -1:] >= ends[:, :-1]).sum(axis=1)
    return np.eye(probabilities.shape[1])[chosen]


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _metric(key: Key, value: float, deviations: Floats) -> Metric:
    name, average = key
    if len(deviations) < _REPLICATES_MIN // 2:
        return Metric(name, value, None, None, average, None)
    low, high = np.quantile(deviations, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    lower, upper = max(0.0, value + min(0.0, float(low))), value + max(0.0, float(high))
    return Metric(name, value, lower, upper if name in _UNBOUNDED else min(1.0, upper), average, "bootstrap")
