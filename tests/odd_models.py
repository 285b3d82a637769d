"""Models with a fault of their own, on single rows that no reference holds: registering and loading ask others."""

from __future__ import annotations

import os
import time
from typing import Any

from sklearn.linear_model import LogisticRegression

#: The first feature of the rows that are trouble.
TROUBLE = 0.5


class Slow(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
    """Takes a second for a row."""

    def predict_proba(self, X: Any) -> Any:
        """As its base, later."""
        if _is_trouble(X):
            time.sleep(1)
        return super().predict_proba(X)


class Failing(LogisticRegression):  # type: ignore[misc]
    """Raises when its first feature is negative."""

    def predict_proba(self, X: Any) -> Any:
        """As its base, or not at all."""
        if len(X) == 1 and float(X[0][0]) < 0:
            raise ValueError("no negative numbers, please")
        return super().predict_proba(X)


class Deadly(LogisticRegression):  # type: ignore[misc]
    """Takes its process along."""

    def predict_proba(self, X: Any) -> Any:
        """As its base, or never again."""
        if _is_trouble(X):
            os._exit(3)
        return super().predict_proba(X)


def _is_trouble(X: Any) -> bool:
    return len(X) == 1 and float(X[0][0]) == TROUBLE
