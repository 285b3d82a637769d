"""What Evidently 0.7 decides by default, computed anew: a hundred times faster than its report, and checked against its
own tests by tests/benchmarks/test_verdicts.py."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import chisquare, ks_2samp, norm, wasserstein_distance

from drift_engine.statistics.summaries import Counts
from drift_engine.table import Column, NumberColumn, TextColumn

#: A reference of more rows than this is compared by distances, a smaller one by p-values.
_ROWS_TESTED_MAX = 1000
#: A number of so few values is compared like a category.
_VALUES_MAX = 5
_P_VALUE, _DISTANCE = 0.05, 0.1


def flags(reference: Column, window: Column) -> bool:
    """Does Evidently's default test for this column say drift? Nulls are left out, as it does.

    Its K-S takes the exact distribution in small samples; here it is the asymptotic one.
    """
    if isinstance(reference, NumberColumn):
        assert isinstance(window, NumberColumn)
        before, now = reference.present(), window.present()
        # A window that has enough values by itself spares the sorting of a large reference.
        values = np.unique(now)
        if len(values) <= _VALUES_MAX:
            values = np.union1d(before, values)
        if len(values) > _VALUES_MAX:
            if len(before) <= _ROWS_TESTED_MAX:
                return bool(ks_2samp(before, now, method="asymp").pvalue < _P_VALUE)
            distance = wasserstein_distance(before, now) / max(float(np.std(before)), 0.001)
            return bool(distance >= _DISTANCE)
        return _categories_flagged(
            np.bincount(np.searchsorted(values, before), minlength=len(values)),
            np.bincount(np.searchsorted(values, now), minlength=len(values)),
        )
    assert isinstance(window, TextColumn)
    levels = sorted({*reference.levels, *window.levels})
    return _categories_flagged(_counts(reference, levels), _counts(window, levels))


def _categories_flagged(c: Counts, d: Counts) -> bool:
    seen = (c + d) > 0
    c, d = c[seen], d[seen]
    n, m = int(c.sum()), int(d.sum())
    if n > _ROWS_TESTED_MAX:
        return bool(jensenshannon(c / n, d / m) >= _DISTANCE)
    if len(c) == 1:
        return False
    if len(c) == 2:
        pooled = (c[0] + d[0]) / (n + m)
        z = (c[0] / n - d[0] / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        return bool(2 * norm.sf(abs(z)) < _P_VALUE)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A level that the reference never showed is divided by zero: the p-value is 0.
        return bool(chisquare(d, c * (m / n)).pvalue < _P_VALUE)


def _counts(column: TextColumn, levels: list[str]) -> Counts:
    position = {level: index for index, level in enumerate(levels)}
    where = np.array([position[level] for level in column.levels], dtype=np.int64)
    return np.bincount(where[column.codes[column.codes >= 0]], minlength=len(levels)).astype(np.int64)
