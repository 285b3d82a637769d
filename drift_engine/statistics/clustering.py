"""Rows that are not independent: how much more a column's counts vary from block to block than chance makes them.

Sessions, retries and time series repeat themselves. 1,000 rows in sessions of 20 similar ones tell as much as some
100 independent rows, and a threshold for 1,000 fires at nothing. The reference, kept in time order, shows it: cut
into blocks of time, its blocks differ by more than independent rows would (docs/verdicts.md, "Rows that are not
independent").

Rao and Scott, "On chi-squared tests for multiway contingency tables", Annals of Statistics 12 (1984): a chi-square
statistic of such rows is distributed like a weighted sum of squared normals. The weights are the eigenvalues of the
blocks' covariance in units of what chance gives, 1 each for independent rows; their mean is the design effect. The
covariance is taken from the steps between neighbouring blocks, which a slow change of the reference hardly touches. The
sum's tail is that of a chi-square with the same first three cumulants (Pearson's approximation, see Imhof, Biometrika
48, 1961; matching two of them, Rao and Scott's second order, falls short in the far tail that a monthly budget asks
for), with F for chi-square as in Thomas and Rao (JASA 82, 1987), because the weights are estimates from few blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, chdtrc, chdtri

from drift_engine.results.schema import Independence
from drift_engine.statistics.summaries import Cuts
from drift_engine.table import Column, NumberColumn

#: Fewer blocks do not tell how much they vary.
BLOCKS_MIN = 30
#: More blocks than so many make no look surer.
_BLOCKS_MAX = 200
#: Shorter blocks fill ten bins with fewer than five rows each.
BLOCK_ROWS_MIN = 50
#: A larger design effect is no repetition of rows but a reference that itself changes with time: whole blocks that
#: hold one value. Allowing for all of it would call nothing drift.
DESIGN_EFFECT_MAX = 20.0
#: Chance that a reference of independent rows is taken for clustered, over all columns of a look.
LOOK_ALPHA = 0.01
_EXPECTED_MIN = 5.0
#: A variance from steps between neighbours tells as much as one of so many times as many independent values (von
#: Neumann, Kent, Bellinson and Hart, Annals of Mathematical Statistics 12, 1941).
_STEP_DEGREES = 2 / 3
#: Blocks that differ from the whole by more than so many times what they differ from their neighbours.
_STATIONARY_MAX = 2.0


@dataclass(frozen=True)
class Clustering:
    """How far the rows of one column are from independent, as its reference shows it.

    Attributes:
        weights: of the squared normals that a chi-square statistic sums up, largest first; () when independent.
            Their mean is at most `DESIGN_EFFECT_MAX`.
        cell_effect: the design effect of the one bin or level that bunches most, for values that are not in the
            reference and so have none of their own.
        missing_effect: the design effect of the share of missing values; 1 when independent.
        measured_effect: the larger of both as it was measured, without that limit.
        whole_effect: the same of blocks from the whole reference, which slow changes of it make larger.
        blocks: how many blocks of the reference it was measured on; 0 where it could not be.
        block_rows: rows of each.
        usual_repeat_rows: by how many rows one exact value grows in some stretch of the reference as long as the window
            (`drift_engine.statistics.repeat_check`); 0 where nobody had to look.
    """

    weights: tuple[float, ...] = ()
    cell_effect: float = 1.0
    missing_effect: float = 1.0
    measured_effect: float = 1.0
    whole_effect: float = 1.0
    blocks: int = 0
    block_rows: int = 0
    usual_repeat_rows: float = 0.0

    @property
    def design_effect(self) -> float:
        """By how much the counts of the bins vary more than those of independent rows, in the mean over the bins."""
        return sum(self.weights) / len(self.weights) if self.weights else 1.0

    @property
    def is_clustered(self) -> bool:
        """Whether rows repeat one another, so that thresholds had to be widened."""
        return bool(self.weights) or self.missing_effect > 1.0

    @property
    def is_stationary(self) -> bool:
        """False when the reference itself changes with time, by more than repeated rows can explain."""
        return self.whole_effect <= _STATIONARY_MAX * self.measured_effect and self.measured_effect <= DESIGN_EFFECT_MAX

    def quantile(self, degrees: int, alpha: float) -> float:
        """What a chi-square statistic with so many degrees of freedom exceeds with chance `alpha`, without drift.

        Of fewer degrees than there are weights the largest count: it is not known which direction a test of one degree
        follows. More degrees, of bins that the blocks had to merge, have the median weight.
        """
        if not self.weights:
            return float(chdtri(degrees, alpha))
        weights = np.full(degrees, np.median(self.weights))
        weights[: len(self.weights)] = self.weights[:degrees]
        first, second, third = ((weights**power).sum() for power in (1, 2, 3))
        left = second**3 / third**2
        scaled = _f_quantile(left, _STEP_DEGREES * (self.blocks - 1), alpha) * left
        return float(first + math.sqrt(second / left) * (scaled - left))


#: Independent rows, or nothing known to the contrary.
INDEPENDENT = Clustering()


def measure_clustering(reference: Column, cuts: Cuts | None, window_rows: int, alpha: float) -> Clustering:
    """Look at one column of the reference in blocks of time as long as a window, or as long as 30 blocks allow.

    Args:
        reference: in time order.
        cuts: of a number; None for a category.
        window_rows: rows of the window that is to be judged.
        alpha: chance of calling independent rows clustered. What is not significant at it is `INDEPENDENT` in
            effect, so that looking costs independent rows no power.
    """
    codes, bins = _codes(reference, cuts)
    lengths = _block_lengths(len(codes), window_rows)
    if not lengths:
        return INDEPENDENT
    tables = [_block_table(codes, length, bins) for length in lengths]
    # Each is told twice at most, of its values and of what is missing.
    part = alpha / 2 / len(lengths)
    shapes = [_look(_by_frequency(table[:, 1:]) if cuts is None else table[:, 1:], part) for table in tables]
    gaps = [_look(np.column_stack([table[:, 0], table[:, 1:].sum(axis=1)]), part) for table in tables]
    place = next((place for place, look in enumerate(shapes) if look.weights), 0)
    shape = shapes[place]
    missing = next((look for look in gaps if look.weights), gaps[0])
    mean = float(np.mean(shape.weights)) if shape.weights else 1.0
    limited = max(1.0, mean / DESIGN_EFFECT_MAX)
    return Clustering(
        weights=tuple(weight / limited for weight in shape.weights),
        cell_effect=min(shape.cell, DESIGN_EFFECT_MAX),
        missing_effect=min(missing.cell, DESIGN_EFFECT_MAX),
        measured_effect=max(mean, missing.cell),
        whole_effect=max(shape.whole, missing.whole),
        blocks=len(tables[place]),
        block_rows=lengths[place],
    )


def _block_lengths(rows: int, window_rows: int) -> tuple[int, ...]:
    """Rows of a block: as many as a window has; and fewer, in more blocks, where those are too few to be sure.

    30 blocks as long as a window overlook sessions of 20 rows in one column of some hundred, whose thresholds then stay
    narrow; 100 shorter ones see them. What only long blocks show, a longer repetition, comes first.
    """
    longest = min(max(window_rows, BLOCK_ROWS_MIN), rows // BLOCKS_MIN)
    shorter = max(BLOCK_ROWS_MIN, rows // _BLOCKS_MAX)
    if longest < BLOCK_ROWS_MIN:
        return ()
    return (longest, shorter) if shorter < longest else (longest,)


def _by_frequency(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Levels have no order: the rare ones become neighbours."""
    return values[:, np.argsort(-values.sum(axis=0), kind="stable")]


def _codes(column: Column, cuts: Cuts | None) -> tuple[NDArray[np.int64], int]:
    """The bin of each row, from 1, with 0 for a missing value; and the number of bins, the missing one included."""
    if isinstance(column, NumberColumn):
        assert cuts is not None
        codes = np.searchsorted(cuts.edges, column.values, side="left") + 1
        codes[np.isnan(column.values)] = 0
        return codes.astype(np.int64), len(cuts.edges) + 2
    return column.codes.astype(np.int64) + 1, len(column.levels) + 1


def _block_table(codes: NDArray[np.int64], length: int, bins: int) -> NDArray[np.int64]:
    """Counts of blocks of so many rows, shape (blocks, bins); what is left over at the end belongs to none."""
    blocks = len(codes) // length
    block = np.arange(blocks * length) // length
    return np.bincount(block * bins + codes[: len(block)], minlength=blocks * bins).reshape(blocks, bins)


@dataclass(frozen=True)
class _Look:
    """Eigenvalues of the covariance of steps, largest first; the largest design effect of a single cell; and by how
    much blocks differ from the whole, slow changes included."""

    weights: tuple[float, ...] = ()
    cell: float = 1.0
    whole: float = 1.0


def _look(table: NDArray[np.int64], alpha: float) -> _Look:
    """How blocks of rows, shape (blocks, cells) of counts, differ from each other and from the whole.

    Two tests decide whether there is anything to tell: the chi-square test of homogeneity, and the same of the steps.
    """
    table = _pooled(table[table.sum(axis=1) >= BLOCK_ROWS_MIN // 2])
    blocks, cells = table.shape
    if blocks < BLOCKS_MIN or cells < 2:
        return _Look()
    rows = table.sum(axis=1, keepdims=True)
    shares = table.sum(axis=0) / rows.sum()
    # Squared and summed: the Pearson statistic of a block against the whole, to first order PSI / (1/m - 1/n).
    deviations = (table / rows - shares) / np.sqrt(shares * (1 / rows - 1 / rows.sum()))
    degrees = cells - 1
    expected_mean = degrees * (blocks - 1)
    total = float((deviations**2 * (1 - rows / rows.sum())).sum())
    if total <= expected_mean or chdtrc(expected_mean, total) >= alpha:
        return _Look()
    whole = total / expected_mean
    # Of neighbouring blocks from each other, not of blocks from the whole: rows that repeat one another make neighbours
    # differ, a reference that slowly becomes another does not, and that is for drift to find.
    steps = np.diff(table / rows, axis=0) / np.sqrt(shares * (1 / rows[1:] + 1 / rows[:-1]))
    size = float((steps**2).sum()) * _STEP_DEGREES
    if chdtrc(degrees * len(steps) * _STEP_DEGREES, size) >= alpha:
        return _Look(whole=whole)
    # One of them is 0: shares sum to 1.
    found = np.linalg.eigvalsh(steps.T @ steps / len(steps))[::-1][:degrees]
    cells_alone = (steps**2).mean(axis=0) / (1 - shares)
    return _Look(tuple(float(weight) for weight in found), max(1.0, float(cells_alone.max())), whole)


def _pooled(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Neighbouring cells are counted together until each expects five rows a block."""
    starts, filled = [0], 0.0
    for position, expected in enumerate(table.sum(axis=0) / max(len(table), 1)):
        if filled >= _EXPECTED_MIN:
            starts.append(position)
            filled = 0.0
        filled += expected
    if filled < _EXPECTED_MIN and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(table, starts, axis=1)


def _f_quantile(numerator: float, denominator: float, alpha: float) -> float:
    """Upper quantile of the F distribution; by the beta distribution's lower end, which stays exact at 1e-9."""
    x = float(betaincinv(denominator / 2, numerator / 2, alpha))
    return denominator * (1 - x) / (numerator * x)


def independence(columns: Sequence[tuple[str, Clustering]]) -> Independence:
    """What the looks at all columns, by name, come to: in figures and in a sentence."""
    looked = [found for _, found in columns if found.blocks]
    if not looked:
        return Independence(
            checked=False,
            sentence=f"the reference is too small for {BLOCKS_MIN} blocks of {BLOCK_ROWS_MIN} rows: "
            "whether rows are independent could not be checked, and the rate holds if they are",
        )
    blocks = max(looked, key=lambda found: found.blocks)
    clustered = [(name, found) for name, found in columns if found.is_clustered]
    largest = max((found.measured_effect for _, found in clustered), default=1.0)
    sentence = "neighbouring rows of the reference are no more alike than chance makes them"
    if clustered:
        sentence = (
            f"rows are not independent in {len(clustered)} of {len(columns)} columns and answers (design effect up to "
            f"{largest:.1f}): their thresholds are wider, and the rate holds only approximately"
        )
    changing = tuple(sorted(name for name, found in columns if not found.is_stationary))
    if changing:
        sentence += (
            f"; the reference itself changes with time in {len(changing)} of {len(columns)}: there it does not hold"
        )
    names = tuple(sorted(name for name, _ in clustered))
    return Independence(True, blocks.blocks, blocks.block_rows, largest, names, changing, sentence)
