"""The compiled form of a tree ensemble: the leaves are found, their values are added up as scikit-learn does.

Of a few rows treelite finds the leaves of all trees in one call. It takes row after row through all trees; of many
rows scikit-learn's trees find them faster, each taking all rows at once, if they are asked without what surrounds
them. treelite's own sums begin elsewhere (boosting) or are of rescaled leaves (forests of several classes), so that
their last bits would differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.serving.scoring.ensembles import Floats, NotCompiled, ensemble_of

#: The compiled form takes about 170 bytes a node beside scikit-learn's own 80, in every worker.
NODES_MAX = 5_000_000
#: From more rows than this on scikit-learn's trees find the leaves, where each can be asked by itself.
FEW_ROWS = 64
#: The most rows in one call where they cannot; larger batches are then the original's, which is faster there.
BATCH_ROWS = 256
#: Numbers held by treelite's way, 8 bytes each; with very many trees, classes or columns fewer rows go it at once.
_NUMBERS_MAX = 2**22


def engine_name() -> str:
    """The library that the compiled form runs on, with its version."""
    import treelite

    return f"treelite {treelite.__version__}"


class CompiledEnsemble:
    """Answers `predict` and `predict_proba` as `original` does, which keeps the rows that it may refuse.

    Attributes:
        original: the fitted estimator.
        ensemble: what was read from it.
        model: treelite's form of it, which no call changes: several threads may walk it at once.
        few_rows: the most rows in one call that treelite finds the leaves of.
    """

    def __init__(self, original: Any) -> None:
        """Compile a fitted estimator.

        Raises:
            NotCompiled: it is of no known kind, or too large.
            Exception: whatever treelite raises.
        """
        self.original = original
        self.ensemble = ensemble_of(original)
        trees = self.ensemble.trees
        counts = [len(tree.is_leaf) for tree in trees]
        if sum(counts) > NODES_MAX:
            raise NotCompiled(
                f"its trees have {sum(counts):,} nodes, more than {NODES_MAX:,}: it would take much memory"
            )
        import treelite.sklearn

        # treelite casts levels to integers, of which a missing one is none.
        with np.errstate(invalid="ignore"):
            self.model = treelite.sklearn.import_model(original)
        self._predict_leaf = treelite.gtil.predict_leaf
        self._values = np.concatenate([tree.value for tree in trees])
        self._first_nodes = np.cumsum([0, *counts[:-1]])
        self._walks = [(tree.walk, tree.value) for tree in trees if tree.walk is not None]
        #: Whether the trees can be asked one by one.
        self._takes_many = len(self._walks) == len(trees)
        most = FEW_ROWS if self._takes_many else BATCH_ROWS
        numbers_per_row = max(len(trees) * self._values.shape[1], self.ensemble.features)
        self.few_rows = max(1, min(most, _NUMBERS_MAX // numbers_per_row))

    def predict(self, X: Any) -> NDArray[Any]:
        """As scikit-learn's: shape (n,)."""
        raw = self.raw(X)
        return np.asarray(self.original.predict(X)) if raw is None else self.ensemble.predictions(raw)

    def predict_proba(self, X: Any) -> Floats:
        """As scikit-learn's: shape (n, classes)."""
        raw = self.raw(X)
        if raw is None or self.ensemble.probabilities is None:
            return np.asarray(self.original.predict_proba(X))
        return self.ensemble.probabilities(raw)

    def dense(self, X: Any) -> Floats:
        """Rows as the trees see them: a float64 array of numbers that passed through scikit-learn's own type."""
        return np.asarray(self._cast(X), dtype=np.float64)

    def raw(self, X: Any) -> Floats | None:
        """Sums of leaves, shape (n, outputs); None where the original must answer."""
        if not self._takes_many and X.shape[0] > self.few_rows:
            return None
        rows, ensemble = self._cast(X), self.ensemble
        if rows.shape[1] != ensemble.features:
            return None
        # scikit-learn refuses infinity, or NaN, with an error of its own.
        if not np.isfinite(rows).all() and (not ensemble.takes_missing or np.isinf(rows).any()):
            return None
        return self._sum_of_few(rows) if len(rows) <= self.few_rows else self._sum_of_many(rows)

    def _cast(self, X: Any) -> NDArray[Any]:
        dense = X.toarray() if hasattr(X, "toarray") else X
        return np.asarray(dense, dtype=self.ensemble.input_dtype)

    def _sum_of_few(self, rows: NDArray[Any]) -> Floats:
        rows = np.asarray(rows, dtype=np.float64)
        if self.ensemble.categories:
            rows = self._without_unknown_levels(rows)
        leaves = self._predict_leaf(self.model, rows, nthread=1).astype(np.intp)
        leaves += self._first_nodes
        scores = self._values.take(leaves, axis=0).reshape(len(rows), -1, len(self.ensemble.base))
        scores[:, 0] += self.ensemble.base
        # Not `sum`: numpy adds in pairs where it can, scikit-learn tree after tree, and the last bits would differ.
        total: Floats = np.add.accumulate(scores, axis=1)[:, -1]
        return total

    def _sum_of_many(self, rows: NDArray[Any]) -> Floats:
        total = np.tile(self.ensemble.base, (len(rows), 1))
        for walk, value in self._walks:
            total += value.take(walk(rows), axis=0)
        return total

    def _without_unknown_levels(self, rows: Floats) -> Floats:
        rows = rows.copy()
        for column, known in self.ensemble.categories.items():
            values = rows[:, column]
            values[~np.isin(values, known)] = np.nan
        return rows


class CompiledPipeline:
    """A pipeline whose last step is compiled; the steps before it are scikit-learn's own."""

    def __init__(self, steps: Sequence[Any], last: CompiledEnsemble | CompiledPipeline) -> None:
        self._steps = tuple(steps)
        self._last = last
        self.few_rows: int = last.few_rows

    def predict(self, X: Any) -> NDArray[Any]:
        """As scikit-learn's: shape (n,)."""
        return self._last.predict(self._transformed(X))

    def predict_proba(self, X: Any) -> Floats:
        """As scikit-learn's: shape (n, classes)."""
        return self._last.predict_proba(self._transformed(X))

    def raw(self, X: Any) -> Floats | None:
        """Sums of leaves, shape (n, outputs); None where the original last step must answer."""
        return self._last.raw(self._transformed(X))

    def _transformed(self, X: Any) -> Any:
        for step in self._steps:
            X = step.transform(X)
        return X
