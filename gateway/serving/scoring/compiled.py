"""The compiled form of a tree ensemble: treelite finds the leaves, their values are added up as scikit-learn does.

treelite's own sums begin elsewhere (boosting) or are of rescaled leaves (forests of several classes), so that the
last bits differ. The walk through the trees is nearly all of the work; the sum costs a few microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.serving.scoring.ensembles import Floats, NotCompiled, ensemble_of

#: The compiled form takes about 170 bytes a node beside scikit-learn's own 80, in every worker.
NODES_MAX = 5_000_000
#: Larger batches are scikit-learn's own. Alone, it is as fast from a few hundred rows on; but it takes the lock of the
#: interpreter once a tree, and beside other threads this form makes more batches a second.
BATCH_ROWS = 4096
#: Numbers held while a batch is scored, 8 bytes each; with very many trees, classes or columns batches are smaller.
_NUMBERS_MAX = 2**22


def engine_name() -> str:
    """The library that the compiled form runs on, with its version."""
    import treelite

    return f"treelite {treelite.__version__}"


class CompiledEnsemble:
    """Answers `predict` and `predict_proba` as `original` does, which keeps large batches and rows it may refuse.

    Attributes:
        original: the fitted estimator.
        ensemble: what was read from it.
        model: treelite's form of it, which no call changes: several threads may walk it at once.
        batch_rows: the most rows in one call that the compiled form answers.
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
        numbers_per_row = max(len(trees) * self._values.shape[1], self.ensemble.features)
        self.batch_rows = max(1, min(BATCH_ROWS, _NUMBERS_MAX // numbers_per_row))

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
        dense = X.toarray() if hasattr(X, "toarray") else X
        return np.asarray(np.asarray(dense, dtype=self.ensemble.input_dtype), dtype=np.float64)

    def raw(self, X: Any) -> Floats | None:
        """Sums of leaves, shape (n, outputs); None where the original must answer."""
        if X.shape[0] > self.batch_rows:
            return None
        rows, ensemble = self.dense(X), self.ensemble
        if rows.shape[1] != ensemble.features:
            return None
        # scikit-learn refuses infinity, or NaN, with an error of its own.
        if not np.isfinite(rows).all() and (not ensemble.takes_missing or np.isinf(rows).any()):
            return None
        if ensemble.categories:
            rows = self._without_unknown_levels(rows)
        leaves = self._predict_leaf(self.model, rows, nthread=1).astype(np.intp)
        leaves += self._first_nodes
        scores = self._values.take(leaves, axis=0).reshape(len(rows), -1, len(ensemble.base))
        scores[:, 0] += ensemble.base
        # Not `sum`: numpy adds in pairs where it can, scikit-learn tree after tree, and the last bits would differ.
        total: Floats = np.add.accumulate(scores, axis=1)[:, -1]
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
        self.batch_rows: int = last.batch_rows

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
