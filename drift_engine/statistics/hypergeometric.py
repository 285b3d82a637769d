"""The law of a count in the window, given its total on both sides, when every split of the rows is equally likely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln


def critical_count(total: int, n: int, m: int, alpha: float, *, upper: bool) -> int:
    """The most extreme count of `total` rows that may fall into the window's m of n + m rows with p >= alpha."""
    k = np.arange(max(0, total - n), min(total, m) + 1)
    log_pmf = log_choose(m, k) + log_choose(n, total - k)
    pmf = np.exp(log_pmf - log_pmf.max())
    pmf /= pmf.sum()
    if upper:
        tail = np.cumsum(pmf[::-1])[::-1]
        return int(k[np.flatnonzero(tail >= alpha)[-1]])
    tail = np.cumsum(pmf)
    return int(k[np.flatnonzero(tail >= alpha)[0]])


def log_choose(n: int | NDArray[np.int64], k: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Logarithm of the number of ways to choose k of n."""
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), dtype=np.float64)
