"""Kinds of columns without drift: drawn as rows, or as the counts that the rows would give, which is a thousandth of
the work and has the same distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from drift_engine.statistics.summaries import BINS, Counts, LevelSummary, NumberSummary, Summary, summarise_pair
from drift_engine.table import Column, Floats, NumberColumn, TextColumn

Random = np.random.Generator
_NO_QUARTILES = (np.nan, np.nan, np.nan)


class Kind(Protocol):
    """One distribution of a column's values."""

    def rows(self, rng: Random, rows: int) -> Column:
        """Draw rows."""

    def counts(self, rng: Random, reference: int, window: int) -> tuple[Summary, Summary]:
        """Draw what `reference` rows and `window` rows are reduced to."""


@dataclass(frozen=True)
class Continuous:
    """A number without ties but for a mass point below all else, here zero; a share of rows is missing.

    The rule sees ranks only, so every continuous distribution has the same counts: those of uniform values.
    `log`: the rows are lognormal, else normal. With a mass point the other values are exponential.
    """

    mass: float = 0.0
    missing: float = 0.0
    log: bool = False

    def rows(self, rng: Random, rows: int) -> NumberColumn:
        """Draw rows."""
        values = rng.lognormal(size=rows) if self.log else rng.normal(size=rows)
        if self.mass:
            values = np.where(rng.random(rows) < self.mass, 0.0, rng.exponential(size=rows))
        return NumberColumn(np.where(rng.random(rows) < self.missing, np.nan, values) if self.missing else values)

    def counts(self, rng: Random, reference: int, window: int) -> tuple[NumberSummary, NumberSummary]:
        """Draw both sides' counts.

        The k values of a sample cut the uniform distribution into k + 1 spacings that are Dirichlet(1, ..., 1), so
        a bin of the reference that holds c spacings has a true share that is Dirichlet(c).
        """
        absent, absent_now = rng.binomial(reference, self.missing), rng.binomial(window, self.missing)
        present, present_now = reference - absent, window - absent_now
        zeros, zeros_now = rng.binomial(present, self.mass), rng.binomial(present_now, self.mass)
        cuts = np.quantile(np.arange(1, present + 1), np.arange(1, BINS) / BINS, method="inverted_cdf")
        deciles = cuts.astype(np.int64)
        ranks = np.unique(deciles[deciles > zeros]) - zeros
        others = present - zeros
        counts = np.diff(ranks, prepend=0, append=others)
        spacings = counts.copy()
        if zeros == 0:
            # The first bin's lowest spacing lies under the reference's minimum.
            spacings[0] -= 1
        below_and_above = (0 if zeros else 1, 1)
        parts = np.concatenate([[below_and_above[0]], spacings, [below_and_above[1]]])
        drawn = rng.multinomial(present_now - zeros_now, _dirichlet(rng, parts))
        drawn_bins = drawn[1:-1].copy()
        drawn_bins[0] += drawn[0]
        drawn_bins[-1] += drawn[-1]
        if zeros and deciles[0] <= zeros:
            counts, drawn_bins = np.append(zeros, counts), np.append(zeros_now, drawn_bins)
        else:
            counts[0] += zeros
            drawn_bins[0] += zeros_now
        below = int(drawn[0]) + (zeros_now if not zeros else 0)
        return (
            NumberSummary(counts, absent, 0, 0, _NO_QUARTILES, _without_ties(zeros, present, 0.0)),
            NumberSummary(
                drawn_bins, absent_now, below, int(drawn[-1]), _NO_QUARTILES, _without_ties(zeros_now, present_now, 0.5)
            ),
        )


@dataclass(frozen=True)
class Discrete:
    """A number with at most 20 values: 0, 1, 2, ... with probabilities `shares`."""

    shares: tuple[float, ...]

    def rows(self, rng: Random, rows: int) -> NumberColumn:
        """Draw rows."""
        return NumberColumn(rng.choice(len(self.shares), rows, p=self.shares).astype(np.float64))

    def counts(self, rng: Random, reference: int, window: int) -> tuple[NumberSummary, NumberSummary]:
        """Draw both sides' counts."""
        c, d = rng.multinomial(reference, self.shares), rng.multinomial(window, self.shares)
        seen = np.flatnonzero(c)
        edges = (seen[:-1] + seen[1:]) / 2
        bins = np.searchsorted(edges, np.arange(len(self.shares)), side="left")
        now: Counts = np.bincount(bins, weights=d, minlength=len(seen)).astype(np.int64)
        below, above = int(d[: seen[0]].sum()), int(d[seen[-1] + 1 :].sum())
        return (
            NumberSummary(c[seen], 0, 0, 0, _NO_QUARTILES, _ordered(c)),
            NumberSummary(now, 0, below, above, _NO_QUARTILES, _ordered(d)),
        )


@dataclass(frozen=True)
class Tied:
    """A number of many values that repeat all the same: 0, 1, 2, ... with probabilities `shares`."""

    shares: tuple[float, ...]

    def rows(self, rng: Random, rows: int) -> NumberColumn:
        """Draw rows."""
        return NumberColumn(rng.permutation(_ordered(rng.multinomial(rows, self.shares))))

    def counts(self, rng: Random, reference: int, window: int) -> tuple[Summary, Summary]:
        """Draw both sides' counts."""
        before, now = (NumberColumn(_ordered(rng.multinomial(rows, self.shares))) for rows in (reference, window))
        found = summarise_pair(before, now)
        assert found is not None
        return found[1:]


@dataclass(frozen=True)
class Levels:
    """A category whose levels have probabilities `shares`."""

    shares: tuple[float, ...]

    def rows(self, rng: Random, rows: int) -> TextColumn:
        """Draw rows."""
        codes = rng.choice(len(self.shares), rows, p=self.shares).astype(np.int32)
        return TextColumn(codes, tuple(f"level {number}" for number in range(len(self.shares))))

    def counts(self, rng: Random, reference: int, window: int) -> tuple[LevelSummary, LevelSummary]:
        """Draw both sides' counts."""
        c, d = rng.multinomial(reference, self.shares), rng.multinomial(window, self.shares)
        return _levels(c), _levels(d)


def _ordered(counts: NDArray[np.int64]) -> Floats:
    """The values 0, 1, 2, ..., as often as they were counted."""
    return np.repeat(np.arange(len(counts), dtype=np.float64), counts)


def _without_ties(zeros: int, present: int, offset: float) -> Floats:
    """Ascending values of which only zeros repeat; with another offset no other value is the same."""
    return np.concatenate([np.zeros(zeros), np.arange(1.0, 1 + present - zeros) + offset])


def _levels(counts: NDArray[np.int64]) -> LevelSummary:
    return LevelSummary({f"level {number}": int(counts[number]) for number in np.flatnonzero(counts)}, 0)


def _dirichlet(rng: Random, parts: NDArray[np.int64]) -> Floats:
    """Dirichlet shares; a part of 0 has none."""
    weights = rng.standard_gamma(parts)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _poisson(mean: float, values: int) -> tuple[float, ...]:
    """The first `values` probabilities of a Poisson distribution, made to sum to 1."""
    logs = np.arange(values) * np.log(mean) - np.cumsum(np.log(np.maximum(np.arange(values), 1)))
    shares = np.exp(logs - logs.max())
    return tuple(shares / shares.sum())


def _zipf(exponent: float, levels: int) -> tuple[float, ...]:
    shares = np.arange(1, levels + 1) ** -exponent
    return tuple(shares / shares.sum())


def _rounded(step: float) -> tuple[float, ...]:
    """A normal number rounded to multiples of `step` standard deviations."""
    ends = np.arange(-4 - step / 2, 4 + step, step)
    shares = np.diff(ndtr(ends))
    return tuple(shares / shares.sum())


def _scattered(shares: tuple[float, ...], stride: int) -> tuple[float, ...]:
    """The same, their order mixed up; `stride` has no common factor with their number."""
    return tuple(shares[place * stride % len(shares)] for place in range(len(shares)))


RARE_LEVELS = (0.4, 0.3, 0.2, 0.05, 0.03, 0.01, 0.007, 0.003)

KINDS: dict[str, Kind] = {
    "gaussian": Continuous(),
    "lognormal": Continuous(log=True),
    "zero-inflated": Continuous(mass=0.6),
    "counts": Discrete(_poisson(2.0, 12)),
    "rare counts": Discrete(_poisson(0.05, 6)),
    "rare levels": Levels(RARE_LEVELS),
    "500 levels": Levels(_zipf(1.3, 500)),
    "5 % missing": Continuous(missing=0.05),
    "rounded": Tied(_rounded(0.1)),
    "prices": Tied(_scattered(_zipf(1.1, 400), 157)),
}
#: The mixed data set: six columns of each of these.
MIXED_KINDS = ("gaussian", "lognormal", "zero-inflated", "counts", "rare levels")
MIXED = tuple(kind for kind in MIXED_KINDS for _ in range(6))
