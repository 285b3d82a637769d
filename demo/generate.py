"""A generated card-fraud data set whose label function is known, with a knob for every kind of drift.

The columns are those of the well-known card data: `Time`, `V1`..`V28`, `Amount`, `Class`. The formulas, with
N a standard normal and every draw from one seeded generator:

- `Time`: seconds since the first day's midnight, over `days` days. The hour h of a day has the density
  `(1 + 0.8 sin(2 pi (h - 9) / 24)) / 24`: busiest at 15:00, quietest at 3:00. Rows are sorted by it.
- `V1`..`V28`: four groups of seven columns (V1-V7, V8-V14, ...). Within a group every pair of factors correlates
  by 0.25: `Z_j = 0.5 F_group + sqrt(0.75) N_j`. Every fourth column (V4, V8, ...) has heavy tails,
  `V_j = Z_j sqrt((nu - 2) / C_j)` with nu = 6 and C_j chi-square with nu degrees of freedom: a Student t
  scaled to variance 1. All columns have mean 0 and standard deviation 1.
- `Amount`: `exp(3.2 + 1.2 N)` in cents, so its median is about 24.50.
- `Class`: Bernoulli with probability `p = 1 / (1 + exp(-(b + eta)))`, where
  `eta = 3.2 V1 - 2.6 V3 + 2.6 V4 + 2.0 V10 - 1.8 V12 - 3.6 V14 + 2.0 V4 V14 + 1.6 (ln Amount - 3.2) / 1.2`
  and b is chosen so that the unshifted population has the share of frauds that was asked for.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

LABEL = "Class"
COMPONENTS = tuple(f"V{i}" for i in range(1, 29))
FEATURES = ("Time", *COMPONENTS, "Amount")

_GROUP_SIZE = 7
_GROUP_LOADING = 0.5
_TAIL_FREEDOM = 6
_LOG_AMOUNT_MEAN, _LOG_AMOUNT_SD = 3.2, 1.2
_WEIGHTS = {"V1": 3.2, "V3": -2.6, "V4": 2.6, "V10": 2.0, "V12": -1.8, "V14": -3.6}
_INTERACTION = ("V4", "V14", 2.0)
_AMOUNT_WEIGHT = 1.6

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """What the world looks like before anything moves.

    Attributes:
        fraud_share: share of frauds, in (0, 1).
        missing_share: share of values missing at random in each of `missing_columns`, in [0, 1).
        days: the period that `Time` covers.
    """

    fraud_share: float = 0.03
    missing_share: float = 0.0
    missing_columns: tuple[str, ...] = ("V27", "V28")
    days: int = 2


@dataclass(frozen=True)
class Shift:
    """How a data set differs from its population. The default is no difference.

    Attributes:
        covariate: standard deviations added to each of `covariate_columns` (V1..V28, or Amount, whose logarithm
            moves); the label function stays, so the share of frauds follows.
        fraud_share: label shift. The share of frauds becomes this one, while the features within either
            class keep their distribution. None: whatever the features imply.
        concept: how far the label function turns round, in [0, 1]: its weights become `(1 - 2 concept) w`, so 0.5
            makes the label independent of the features and 1 flips every weight. The features stay, and so does
            the population's share of frauds.
        missing_share: share of values missing at random in each of `missing_columns`, on top of the population's.
        volume: factor on the number of rows.
    """

    covariate: float = 0.0
    covariate_columns: tuple[str, ...] = ("V1", "V4")
    fraud_share: float | None = None
    concept: float = 0.0
    missing_share: float = 0.0
    missing_columns: tuple[str, ...] = ("V28",)
    volume: float = 1.0


@dataclass(frozen=True)
class Generated:
    """A data set and what nobody knows in real life.

    Attributes:
        table: one row per transaction in order of Time; columns `FEATURES` (float) and `Class` (int, 1 is fraud).
        probabilities: shape (rows,): the true probability of fraud of each row, given its features before any
            value went missing.
    """

    table: pd.DataFrame
    probabilities: Floats


def generate(rows: int, seed: int, population: Population | None = None, shift: Shift | None = None) -> Generated:
    """Draw `rows` times `shift.volume` transactions. Equal arguments give equal data.

    Raises:
        ValueError: a share, a factor or a column that cannot be.
    """
    population, shift = population or Population(), shift or Shift()
    _check(rows, population, shift)
    random = np.random.default_rng(seed)
    wanted = max(1, round(rows * shift.volume))
    features, probabilities, labels = _draw(wanted, random, population, shift)
    if shift.fraud_share is not None:
        features, probabilities, labels = _with_fraud_share(wanted, random, population, shift)
    table = pd.DataFrame(features)
    table["Time"] = _times(wanted, random, population.days)
    _blank(table, population.missing_columns, population.missing_share, random)
    _blank(table, shift.missing_columns, shift.missing_share, random)
    table[LABEL] = labels.astype(np.int64)
    return Generated(table=table[[*FEATURES, LABEL]], probabilities=probabilities)


Drawn = tuple[dict[str, Floats], Floats, npt.NDArray[np.bool_]]


def _draw(rows: int, random: np.random.Generator, population: Population, shift: Shift) -> Drawn:
    """Features (without Time), true probabilities and labels of `rows` transactions."""
    features = _features(rows, random)
    for column in shift.covariate_columns:
        if column == "Amount":
            features[column] = features[column] * math.exp(shift.covariate * _LOG_AMOUNT_SD)
        else:
            features[column] = features[column] + shift.covariate
    features["Amount"] = np.maximum(np.round(features["Amount"], 2), 0.01)
    factor = 1 - 2 * shift.concept
    probabilities = _sigmoid(_intercept(population.fraud_share, factor) + factor * _eta(features))
    return features, probabilities, random.random(rows) < probabilities


def _with_fraud_share(rows: int, random: np.random.Generator, population: Population, shift: Shift) -> Drawn:
    """Draw from each class until the share is met; the true probability follows from Bayes' rule.

    With s the share in the pool and s' the wanted one: `p' = p r1 / (p r1 + (1 - p) r0)`, `r1 = s'/s`,
    `r0 = (1 - s')/(1 - s)`.
    """
    assert shift.fraud_share is not None
    frauds = int(random.binomial(rows, shift.fraud_share))
    size = rows
    while True:
        size *= 2
        features, probabilities, labels = _draw(size, random, population, shift)
        if labels.sum() >= frauds and (~labels).sum() >= rows - frauds:
            break
    chosen = np.concatenate([np.flatnonzero(labels)[:frauds], np.flatnonzero(~labels)[: rows - frauds]])
    random.shuffle(chosen)
    share = float(probabilities.mean())
    fraud_factor = shift.fraud_share / share
    other_factor = (1 - shift.fraud_share) / (1 - share)
    p = probabilities[chosen]
    adjusted = p * fraud_factor / (p * fraud_factor + (1 - p) * other_factor)
    return {name: values[chosen] for name, values in features.items()}, adjusted, labels[chosen]


def _features(rows: int, random: np.random.Generator) -> dict[str, Floats]:
    factors = random.standard_normal((rows, len(COMPONENTS) // _GROUP_SIZE))
    own = random.standard_normal((rows, len(COMPONENTS)))
    values = _GROUP_LOADING * np.repeat(factors, _GROUP_SIZE, axis=1) + math.sqrt(1 - _GROUP_LOADING**2) * own
    heavy = np.arange(3, len(COMPONENTS), 4)
    spread = random.chisquare(_TAIL_FREEDOM, (rows, len(heavy)))
    values[:, heavy] *= np.sqrt((_TAIL_FREEDOM - 2) / spread)
    features: dict[str, Floats] = {name: values[:, i] for i, name in enumerate(COMPONENTS)}
    features["Amount"] = np.exp(_LOG_AMOUNT_MEAN + _LOG_AMOUNT_SD * random.standard_normal(rows))
    return features


def _eta(features: dict[str, Floats]) -> Floats:
    total = _AMOUNT_WEIGHT * (np.log(features["Amount"]) - _LOG_AMOUNT_MEAN) / _LOG_AMOUNT_SD
    for name, weight in _WEIGHTS.items():
        total = total + weight * features[name]
    first, second, weight = _INTERACTION
    return np.asarray(total + weight * features[first] * features[second], dtype=np.float64)


@functools.lru_cache(maxsize=16)
def _intercept(fraud_share: float, factor: float) -> float:
    """The b that gives the population its share of frauds, by bisection on a large fixed sample.

    Never solved on the rows being drawn: then a shift of the features could not change the share of frauds.
    """
    eta = factor * _eta(_features(200_000, np.random.default_rng(0)))
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        if _sigmoid(middle + eta).mean() < fraud_share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float64)


def _times(rows: int, random: np.random.Generator, days: int) -> Floats:
    """Sorted seconds: days uniform, hours by their density through its inverse on a grid of one minute."""
    hours = np.linspace(0, 24, 24 * 60 + 1)
    phase = 2 * np.pi * (hours - 9) / 24
    cumulative = hours / 24 - 0.8 * (np.cos(phase) - np.cos(phase[0])) / (2 * np.pi)
    hour = np.interp(random.random(rows), cumulative, hours)
    seconds = random.integers(0, days, rows) * 86_400 + hour * 3_600
    return np.sort(np.floor(seconds))


def _blank(table: pd.DataFrame, columns: tuple[str, ...], share: float, random: np.random.Generator) -> None:
    if share:
        for column in columns:
            table.loc[random.random(len(table)) < share, column] = np.nan


def _check(rows: int, population: Population, shift: Shift) -> None:
    shares = {
        "fraud_share": (population.fraud_share, 1e-6, 0.99),
        "missing_share": (population.missing_share, 0.0, 0.99),
        "shift.missing_share": (shift.missing_share, 0.0, 0.99),
        "shift.concept": (shift.concept, 0.0, 1.0),
        "shift.fraud_share": (0.5 if shift.fraud_share is None else shift.fraud_share, 0.0, 1.0),
    }
    for name, (value, low, high) in shares.items():
        if not low <= value <= high:
            raise ValueError(f"{name} is {value:g}; it must lie between {low:g} and {high:g}")
    if rows < 1 or population.days < 1 or not shift.volume > 0:
        raise ValueError("rows and days must be at least 1, and volume above 0")
    for column in (*shift.covariate_columns, *shift.missing_columns, *population.missing_columns):
        if column not in FEATURES or (column == "Time" and column in shift.covariate_columns):
            raise ValueError(f"{column!r} is not a column that can be changed; there are V1 to V28 and Amount")
