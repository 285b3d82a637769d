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
from drift_engine.estimation.calibration import CalibrationMap, Claims, calibrate
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
    calibration: CalibrationMap
    seed: int
    name: Literal["cbpe"] = "cbpe"

    @classmethod
    def fit(cls, card: ModelCard, reference: Table, settings: DriftSettings) -> ConfidenceBased:
        """Calibrate on the labelled rows of the reference. Raises CannotEstimate."""
        if not card.has_probabilities:
            raise CannotEstimate("the model gives no probabilities")
        claims, codes = _claims(card, reference), class_codes(card, reference, LABEL)
        known = np.flatnonzero((codes >= 0) & _complete(claims))
        if len(known) < settings.labelled_rows_min:
            raise CannotEstimate(f"the reference has {len(known)} labelled rows of {settings.labelled_rows_min} needed")
        if len(np.unique(codes[known])) < 2:
            raise CannotEstimate("the labels of the reference are all of one class")
        return cls(card, calibrate(claims.take(known), codes[known], settings.seed), settings.seed)

    def usable(self, table: Table) -> NDArray[np.int64]:
        """Positions of the rows that can be estimated: answered with one of the classes and finite probabilities."""
        return np.flatnonzero(_complete(_claims(self.card, table)))

    def metrics(self, table: Table) -> tuple[Metric, ...]:
        """The figures of usable rows, with intervals."""
        answered = Answered(_claims(self.card, table), positive_code(self.card))
        estimated = answered.figures(self.calibration(answered.claims))
        bias, deviations = self._deviations(answered)
        return tuple(
            _metric(key, value - bias[key], deviations[key]) for key, value in estimated.items() if math.isfinite(value)
        )

    def _deviations(self, answered: Answered) -> tuple[dict[Key, float], dict[Key, Floats]]:
        """By how much what labels show may differ from the estimate: per figure one deviation per replicate.

        And the calibration's bias, which they are free of: how much a calibration that is redrawn from the fitted one
        is beyond it. Isotonic regression follows chance, and so claims to tell classes apart better than it does.
        """
        rng = np.random.default_rng(self.seed)
        simulated = min(answered.rows, _SIMULATED_ROWS_MAX)
        sample = answered.take(np.sort(rng.choice(answered.rows, simulated, replace=False)))
        before = sample.figures(self.calibration(sample.claims))
        shrink = math.sqrt(simulated / answered.rows)
        redrawn: dict[Key, list[float]] = {key: [] for key in before}
        chance: dict[Key, list[float]] = {key: [] for key in before}
        for _ in range(max(_REPLICATES_MIN, _REPLICATES * 2 // max(2, sample.claims.probabilities.shape[1]))):
            probabilities = self.calibration.resampled(rng)(sample.claims)
            expected, shown = sample.figures(probabilities), sample.figures(_drawn(probabilities, rng))
            for key, value in before.items():
                redrawn[key].append(expected[key] - value)
                chance[key].append(shrink * (shown[key] - expected[key]))
        bias = {key: _mean(np.array(found)) for key, found in redrawn.items()}
        # What is redrawn lies on the other side of the fitted one than the truth.
        found = {key: _finite(bias[key] - np.array(redrawn[key]) + np.array(chance[key])) for key in before}
        return bias, found


def _claims(card: ModelCard, table: Table) -> Claims:
    return Claims(probabilities_of(card, table), class_codes(card, table, PREDICTION))


def _complete(claims: Claims) -> NDArray[np.bool_]:
    return np.asarray((claims.predicted >= 0) & np.isfinite(claims.probabilities).all(axis=1))


def _drawn(probabilities: Floats, rng: np.random.Generator) -> Floats:
    """True classes drawn from the probabilities of each row, as a 1 in one column."""
    ends = np.cumsum(probabilities, axis=1)
    chosen = (rng.random((len(ends), 1)) * ends[:, -1:] >= ends[:, :-1]).sum(axis=1)
    return np.asarray(np.eye(probabilities.shape[1])[chosen])


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _mean(values: Floats) -> float:
    finite = _finite(values)
    return float(finite.mean()) if len(finite) else 0.0


def _metric(key: Key, value: float, deviations: Floats) -> Metric:
    name, average = key
    value = max(0.0, value if name in _UNBOUNDED else min(1.0, value))
    if len(deviations) < _REPLICATES_MIN // 2:
        return Metric(name, value, None, None, average, None)
    low, high = np.quantile(deviations, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    lower, upper = max(0.0, value + min(0.0, float(low))), value + max(0.0, float(high))
    return Metric(name, value, lower, upper if name in _UNBOUNDED else min(1.0, upper), average, "bootstrap")
