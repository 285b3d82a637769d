"""How many reference rows the rule needs, so that its effect floor and not chance decides what is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from drift_engine.findings import rule_of
from drift_engine.results.schema import Window
from drift_engine.scales import scales_of
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import EXPECTED_MIN
from drift_engine.statistics.summaries import BINS, DISTINCT_MAX, missing_rows
from drift_engine.subjects import INPUTS_SHARE, input_subjects
from drift_engine.table import Column, NumberColumn, Table
from gateway.registry import ModelCard

_LOOKED_AT_MAX = 5000


@dataclass(frozen=True)
class Need:
    """`rows` of reference, as the input `column` needs them, which needs most."""

    rows: int
    column: str


def rows_needed(card: ModelCard, reference: Table, window: Window, settings: DriftSettings) -> Need:
    """The reference rows with which every input's allowed PSI is down at the floor, in a window as large.

    Chance allows (1/n + 1/m) c, where c is the chi-square quantile at the part of the budget that the column's shape
    has on the longest time scale, which is the one with so many rows. With m = n that is the floor at n = 2 c / floor;
    n counts values, so a column with missing ones needs more rows.
    """
    alpha = scales_of(window, settings)[-1].alpha * INPUTS_SHARE
    most = Need(settings.minimum_rows, card.features[0].name)
    for subject in input_subjects(card, settings):
        column = reference.columns.get(subject.column)
        if column is None:
            continue
        rule = rule_of(subject.name, alpha * subject.weight, settings)
        part = rule.shape_alpha(isinstance(column, NumberColumn))
        quantile = float(chdtri(max(1, _bins(column) - 1), part))
        rows = _rows(quantile, rule.psi_floor, _share_present(column))
        if rows > most.rows:
            most = Need(rows, subject.name)
    return most


def _rows(quantile: float, floor: float, share_present: float) -> int:
    """Without a floor, or in a column without values, no number of rows is enough: then the minimum stands."""
    if not (floor > 0 and share_present > 0):
        return 0
    rows = 2 * quantile / floor / share_present
    # To two digits upwards: the column's missing share and levels are themselves drawn by chance.
    unit: int = 10 ** max(0, math.floor(math.log10(rows)) - 1)
    return math.ceil(rows / unit) * unit


def _share_present(column: Column) -> float:
    rows = len(column.values if isinstance(column, NumberColumn) else column.codes)
    return 1 - missing_rows(column) / rows if rows else 1.0


def _bins(column: Column) -> int:
    """The bins or levels that a column's shape is compared on, about: rare levels are pooled into one."""
    if isinstance(column, NumberColumn):
        # The first rows tell a code from a quantity; sorting a million would cost more than the verdict.
        distinct = len(np.unique(column.present()[:_LOOKED_AT_MAX]))
        return distinct if distinct <= DISTINCT_MAX else BINS
    counts = np.bincount(column.codes[column.codes >= 0], minlength=1)
    common = int(np.count_nonzero(counts >= EXPECTED_MIN))
    return common + bool((counts[counts > 0] < EXPECTED_MIN).any())
