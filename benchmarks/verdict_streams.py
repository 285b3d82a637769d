"""Columns as streams of counts: what runs every few minutes would count, drawn without making the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import poisson

from drift_engine.statistics.checks import pool_bins
from drift_engine.statistics.clustering import LOOK_ALPHA, Clustering, measure_clustering
from drift_engine.statistics.summaries import (
    Counts,
    Cuts,
    LevelSummary,
    NumberSummary,
    Summary,
    reference_cuts,
    summarise_levels,
    summarise_number,
)
from drift_engine.table import Column, Floats, NumberColumn, TextColumn

COLUMNS = 30
SESSION_ROWS, CORRELATION = 20, 0.5
RARE_LEVELS = (0.4, 0.3, 0.2, 0.05, 0.03, 0.01, 0.007, 0.003)
_SESSIONS = 10_000
_NO_QUARTILES = (np.nan, np.nan, np.nan)
#: A count that deviates less than this by every measure is none that any check could call drift.
_SCREEN_Z, _SCREEN_P = 3.3, 3e-3

Draw = Callable[[np.random.Generator, int], Floats]


@dataclass(frozen=True)
class Kind:
    """A kind of column: values are a rising function of a uniform number.

    Attributes:
        values: that function.
        below: the share of values under or at a given one, its inverse.
        missing: share of missing values.
        levels: of a category; then a value is a position in it.
    """

    values: Callable[[Floats], Floats]
    below: Callable[[Floats], Floats]
    missing: float = 0.0
    levels: int = 0


def _kinds() -> tuple[Kind, ...]:
    inflated = Kind(lambda u: np.where(u < 0.6, 0.0, u), lambda x: np.where(x < 0, 0.0, np.maximum(x, 0.6)))
    counted = Kind(lambda u: np.asarray(poisson.ppf(u, 2.0)), lambda x: np.asarray(poisson.cdf(x, 2.0)))
    ends = np.cumsum(RARE_LEVELS)
    rare = Kind(
        lambda u: np.searchsorted(ends[:-1], u).astype(np.float64), lambda x: ends[x.astype(int)], levels=len(ends)
    )
    # The rule sees ranks only: normal, lognormal and uniform columns have the same counts.
    return (Kind(lambda u: u, lambda x: x), Kind(lambda u: u, lambda x: x, missing=0.05), inflated, counted, rare)


KINDS = _kinds()


@dataclass(frozen=True)
class Stream:
    """One column: its reference, and the cells of the uniform scale that windows are counted in.

    Attributes:
        ends: shape (cells - 1,), where one cell ends and the next begins. Of a number the outer two cells lie beyond
            the reference's minimum and maximum.
        column: the reference's rows in time order; `cuts` of a number.
    """

    kind: Kind
    reference: Summary
    clustering: Clustering
    ends: Floats
    column: Column
    cuts: Cuts | None

    def at(self, window_rows: int) -> Stream:
        """The same as a run sees it on a time scale of so many rows: its repetition is measured in longer blocks."""
        return replace(self, clustering=measure_clustering(self.column, self.cuts, window_rows, LOOK_ALPHA / COLUMNS))

    def window(self, counts: Counts, missing: int) -> Summary:
        """What a window with these counts by cell is reduced to."""
        if self.kind.levels:
            return LevelSummary({f"level {cell}": int(count) for cell, count in enumerate(counts) if count}, missing)
        return NumberSummary(_bins(counts), missing, int(counts[0]), int(counts[-1]), _NO_QUARTILES)


def independent(rng: np.random.Generator, rows: int) -> Floats:
    """Uniform numbers."""
    return rng.random(rows)


def clustered(rng: np.random.Generator, rows: int) -> Floats:
    """Uniform numbers in sessions of 20 rows; the normal numbers behind them have correlation 0.5 in a session."""
    return np.asarray(ndtr(_sessions(rng, -(-rows // SESSION_ROWS)).ravel()[:rows]), dtype=np.float64)


def draw_stream(rng: np.random.Generator, kind: Kind, rows: int, draw: Draw, window_rows: int) -> Stream:
    """A column with a fresh reference of `rows` rows in time order; `draw` makes its uniform numbers."""
    values = kind.values(draw(rng, rows))
    column: Column
    if kind.levels:
        column = TextColumn(values.astype(np.int32), tuple(f"level {number}" for number in range(kind.levels)))
        clustering = measure_clustering(column, None, window_rows, LOOK_ALPHA / COLUMNS)
        ends = kind.below(np.arange(kind.levels - 1.0))
        return Stream(kind, summarise_levels(column), clustering, ends, column, None)
    column = NumberColumn(np.where(rng.random(rows) < kind.missing, np.nan, values))
    cuts = reference_cuts(column)
    assert cuts is not None
    clustering = measure_clustering(column, cuts, window_rows, LOOK_ALPHA / COLUMNS)
    return Stream(kind, summarise_number(column, cuts), clustering, _ends(kind, cuts), column, cuts)


def draw_counts(
    rng: np.random.Generator, stream: Stream, runs: int, rows: int, *, sessions: bool, shift: float = 0.0
) -> tuple[Counts, Counts]:
    """What `runs` intervals of `rows` rows count, by cell, shape (runs, cells); and how many values are missing.

    Args:
        sessions: rows come in sessions, see `clustered`; drawn from a pool of 10,000 of them.
        shift: the normal numbers behind the column move by so many standard deviations.
    """
    missing = rng.binomial(rows, stream.kind.missing, runs) if stream.kind.missing else np.zeros(runs, dtype=np.int64)
    if not sessions:
        ends = ndtr(ndtri(stream.ends) - shift)
        shares = np.diff(ends, prepend=0.0, append=1.0)
        return rng.multinomial(rows - missing, shares / shares.sum()), missing
    cells = len(stream.ends) + 1
    found = np.searchsorted(ndtri(stream.ends), _sessions(rng, _SESSIONS) + shift)
    places = (np.arange(_SESSIONS)[:, None] * cells + found).ravel()
    pool = np.bincount(places, minlength=_SESSIONS * cells).reshape(_SESSIONS, cells).astype(np.int16)
    drawn = pool[rng.integers(0, _SESSIONS, (runs, rows // SESSION_ROWS))]
    # Rows without a value come on top.
    return drawn.sum(axis=1, dtype=np.int64), missing


def rolling(counts: Counts, runs: int) -> Counts:
    """Sums over the newest `runs` intervals, for every interval that has as many before it."""
    total = np.cumsum(np.concatenate([np.zeros_like(counts[:1]), counts]), axis=0)
    return np.asarray(total[runs:] - total[:-runs])


def suspects(stream: Stream, counts: Counts, missing: Counts) -> NDArray[np.int64]:
    """Runs that any check could call drift: a fast screen, so that the rule itself judges a thousandth of all runs."""
    c = _bins_of(stream)
    d = counts if stream.kind.levels else _bins(counts)
    n, m = int(c.sum()), d.sum(axis=1)
    typical = int(np.median(m))
    starts = _starts(c, typical, bool(stream.kind.levels))
    scale = 1 / n + 1 / m
    allowed = stream.clustering.quantile(max(1, len(starts) - 1), _SCREEN_P)
    found = _psi(np.add.reduceat(c, starts), np.add.reduceat(d, starts, axis=1)) > scale * allowed
    if not stream.kind.levels:
        found |= _moved(c, d, scale * stream.clustering.quantile(1, 1e-3))
        beyond = counts[:, 0] + counts[:, -1]
        found |= ((beyond + 1) * (m / (n + m)) ** beyond < _SCREEN_P) & (beyond > 0.004 * m)
    if stream.kind.missing:
        share = stream.reference.missing / (n + stream.reference.missing)
        spread = np.sqrt(share * (1 - share) * (1 / (m + missing) + 1 / (n + stream.reference.missing)))
        found |= np.abs(missing / (m + missing) - share) > _SCREEN_Z * spread
    return np.flatnonzero(found)


def _moved(c: Counts, d: Counts, scale: Floats) -> NDArray[np.bool_]:
    """Runs whose mean rank, or mean squared rank, deviates from the reference's."""
    ranks = (np.cumsum(c) - c / 2) / c.sum()
    found = np.zeros(len(d), dtype=np.bool_)
    for scores in (ranks, (2 * ranks - 1) ** 2):
        mean = float(c @ scores) / c.sum()
        variance = float(c @ (scores - mean) ** 2) / c.sum()
        found |= (d @ scores / d.sum(axis=1) - mean) ** 2 > variance * scale
    return found


def _psi(c: Counts, d: Counts) -> Floats:
    bins = len(c)
    p = (c + 1) / (c.sum() + bins)
    q = (d + 1) / (d.sum(axis=1, keepdims=True) + bins)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=1))


def _starts(c: Counts, rows: int, levels: bool) -> NDArray[np.int64]:
    """Where the pooled bins start at so many rows."""
    if levels:
        kept = np.flatnonzero(c * min(1.0, rows / c.sum()) >= 5)
        return np.append(kept, kept[-1] + 1) if kept[-1] + 1 < len(c) else kept
    d = np.zeros_like(c)
    d[0] = rows
    pooled, _ = pool_bins(c, d)
    return np.append(0, np.searchsorted(np.cumsum(c), np.cumsum(pooled)[:-1]) + 1)


def _bins_of(stream: Stream) -> Counts:
    reference = stream.reference
    if isinstance(reference, NumberSummary):
        return reference.counts
    return np.array([reference.counts.get(f"level {number}", 0) for number in range(stream.kind.levels)])


def _bins(counts: Counts) -> Counts:
    """Bins from cells: what lies beyond the reference's ends counts in the outer bins."""
    bins = counts[..., 1:-1].copy()
    bins[..., 0] += counts[..., 0]
    bins[..., -1] += counts[..., -1]
    return bins


def _ends(kind: Kind, cuts: Cuts) -> Floats:
    """Ends of: below the minimum, the bins, above the maximum."""
    under = kind.below(np.array([np.nextafter(cuts.minimum, -np.inf)]))
    return np.concatenate([under, kind.below(cuts.edges), kind.below(np.array([cuts.maximum]))])


def _sessions(rng: np.random.Generator, sessions: int) -> Floats:
    common = rng.normal(size=(sessions, 1))
    own = rng.normal(size=(sessions, SESSION_ROWS))
    return np.asarray(np.sqrt(CORRELATION) * common + np.sqrt(1 - CORRELATION) * own)
