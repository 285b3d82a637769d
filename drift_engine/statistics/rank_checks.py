"""Has a number moved, or widened, as a whole? Two rank tests on binned counts, each for one direction of change.

The shape check looks everywhere and so needs much to be sure; these look for the two changes that are most common.
Both are linear rank statistics: the mean score of the window's ranks minus that of the reference's. Given the pooled
counts its variance without drift is known exactly, ties included (Hajek, Sidak and Sen, Theory of Rank Tests, 3.3), and
it is normal. Bins lose little: B equal ones keep 1 - 1/B**2 of what single rows say of a location, 99 % for 10.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from drift_engine.results.schema import Check
from drift_engine.statistics.clustering import INDEPENDENT, Clustering
from drift_engine.statistics.summaries import Counts
from drift_engine.table import Floats

LOCATION_METHOD, SPREAD_METHOD = "mann-whitney", "mood"
#: Rows that chance must put outside the fullest bin, on both sides: under that a sum of scores is not yet normal.
SPREAD_MIN = 10.0


def check_location(
    reference: Counts, window: Counts, alpha: float, floor: float, clustering: Clustering = INDEPENDENT
) -> Check:
    """Do values of the window tend to exceed those of the reference, or to stay under them? (Mann and Whitney 1947)

    The score is |P(window > reference) + P(equal) / 2 - 1/2|, 0 to 0.5. A normal column that moves by d standard
    deviations scores about 0.28 d.

    Args:
        reference: shape (bins,), counts in the order of the values; `window` likewise.
        alpha: chance of a false alarm, both directions together.
        floor: scores up to it are no drift, however many rows there are.
        clustering: how far the rows are from independent.
    """
    return _check("location", LOCATION_METHOD, reference, window, _ranks(reference + window), alpha, floor, clustering)


def check_spread(
    reference: Counts, window: Counts, alpha: float, floor: float, clustering: Clustering = INDEPENDENT
) -> Check:
    """Do values of the window lie farther from the middle than those of the reference, or nearer to it? (Mood 1954)

    The score is the change of the mean squared rank, where ranks run from -1 to 1 and the middle is 0; without drift
    that mean is 1/3. A normal column that becomes wider by a factor f scores about 0.36 |ln f|. Arguments as of
    `check_location`.
    """
    ranks = _ranks(reference + window)
    return _check("spread", SPREAD_METHOD, reference, window, (2 * ranks - 1) ** 2, alpha, floor, clustering)


def _ranks(total: Counts) -> Floats:
    """The middle rank of each bin among all rows, as a share of them."""
    return np.asarray((np.cumsum(total) - total / 2) / max(1, int(total.sum())), dtype=np.float64)


def _check(
    name: Literal["location", "spread"],
    method: str,
    reference: Counts,
    window: Counts,
    scores: Floats,
    alpha: float,
    floor: float,
    clustering: Clustering,
) -> Check:
    n, m = int(reference.sum()), int(window.sum())
    # By the reference's shares alone: what the window shows must not decide whether it is looked at.
    apart = (n - int(reference.max())) * min(1.0, m / n) if n else 0.0
    if apart < SPREAD_MIN:
        reason = f"chance puts {apart:.1f} values outside the fullest bin, {SPREAD_MIN:g} needed"
        return Check(name, method, None, None, None, None, reason)
    total = reference + window
    score = abs(float(window @ scores) / m - float(reference @ scores) / n)
    centred = scores - float(total @ scores) / (n + m)
    variance = float(total @ centred**2) / (n + m - 1) * (1 / n + 1 / m)
    allowed = max(floor, (clustering.quantile(1, alpha) * variance) ** 0.5)
    return Check(name, method, score, allowed, score / allowed, score > allowed)
