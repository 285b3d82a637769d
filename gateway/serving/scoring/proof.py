"""The proof that a compiled ensemble answers as scikit-learn does: the same bits, or it is not used.

Three parts: every node of the compiled trees is the one that was fitted; rows of the reference are answered equally,
alone, a few together and as a batch; so are rows made from them that stand on thresholds, miss values, hold the
largest numbers or levels that were never seen. Rows that scikit-learn refuses never reach the compiled form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gateway.serving.scoring.compiled import BATCH_ROWS, CompiledEnsemble, CompiledPipeline
from gateway.serving.scoring.ensembles import Ensemble, Floats, NotCompiled, Tree

#: Rows of each kind of edge; of very wide inputs fewer, so that they hold no more numbers than this.
EDGE_ROWS = 256
_EDGE_NUMBERS = 1_000_000
#: Rows that are also asked alone, of the reference and of each kind of edge: scikit-learn takes milliseconds for each.
SINGLE_ROWS = 12
SINGLE_EDGES = 3
#: Share of the values of a row that an edge replaces.
_SHARE = 0.2
_SEED = 20_261_120
#: The largest values that the gateway accepts, and small ones that are no zero.
_EXTREMES = np.array([3.4028234663852886e38, -3.4028234663852886e38, 0.0, -0.0, 5e-324, -1e-300, 1e-45])
_STRANGE_LEVELS = np.array([-1.0, 0.5, 1e30, 2.0**31, 2.0**53])


def require_equal(compiled: CompiledEnsemble, inputs: Any) -> None:
    """Raise NotCompiled unless `compiled` is its original, node by node, and answers `inputs` and their edges alike.

    Args:
        inputs: rows that the original answers, as it takes them.
    """
    _require_same_nodes(compiled)
    require_same_answers(compiled, compiled.original, inputs)
    # scikit-learn's own checks add up the largest numbers and warn of the overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        for edges in edge_rows(compiled.ensemble, compiled.dense(inputs)):
            require_same_answers(compiled, compiled.original, edges, singles=SINGLE_EDGES)


def require_same_answers(
    compiled: CompiledEnsemble | CompiledPipeline, original: Any, inputs: Any, singles: int = SINGLE_ROWS
) -> None:
    """Raise NotCompiled unless both answer the rows with the same bits: many, a few, and `singles` of them alone."""
    for batch in _batches(inputs, singles):
        parts = list(_parts(batch, compiled.few_rows))
        if any(compiled.raw(part) is None for part in parts):
            raise NotCompiled("checked rows are of a kind that scikit-learn must answer itself")
        for ask in ("predict", "predict_proba"):
            if not hasattr(original, ask):
                continue
            expected, answer = getattr(original, ask)(batch), getattr(compiled, ask)
            few = np.concatenate([answer(part) for part in parts])
            if not _is_same(answer(batch), expected) or not _is_same(few, expected):
                raise NotCompiled(f"the compiled form differs from scikit-learn in {ask} of checked rows")


def _batches(inputs: Any, singles: int) -> Iterator[Any]:
    yield from _parts(inputs, BATCH_ROWS)
    rows = inputs.shape[0]
    for position in np.unique(np.linspace(0, rows - 1, singles).astype(int)).tolist():
        yield inputs[position : position + 1]


def _parts(inputs: Any, rows: int) -> Iterator[Any]:
    for start in range(0, inputs.shape[0], rows):
        yield inputs[start : start + rows]


def edge_rows(ensemble: Ensemble, rows: Floats) -> Iterator[Floats]:
    """Blocks of rows made from `rows`, shape (n, features), each block at another edge of the ensemble."""
    random = np.random.default_rng(_SEED)
    count = min(EDGE_ROWS, max(1, _EDGE_NUMBERS // ensemble.features))

    def drawn() -> Floats:
        found: Floats = rows[random.integers(len(rows), size=count)]
        return found

    def put(values: Floats, into: Floats) -> Floats:
        return np.where(random.random(into.shape) < _SHARE, values, into)

    yield _at_roots(ensemble, drawn(), random)
    yield _at_thresholds(ensemble, drawn(), random)
    yield put(random.choice(_EXTREMES, (count, ensemble.features)), into=drawn())
    if ensemble.takes_missing:
        missing = np.full((count, ensemble.features), np.nan)
        yield put(missing, into=drawn())
        yield put(missing, into=_at_thresholds(ensemble, drawn(), random))
        yield missing[:1]
    for column, known in ensemble.categories.items():
        levels = np.concatenate([known, _STRANGE_LEVELS, [np.nan]])
        # Each level once at least, and each beside other rows' values.
        block = rows[random.integers(len(rows), size=max(count, len(levels)))]
        block[:, column] = np.resize(levels, len(block))
        yield block


def _at_roots(ensemble: Ensemble, rows: Floats, random: np.random.Generator) -> Floats:
    """Each row on or next to the threshold of some tree's root, which every row passes."""
    for position, tree_number in enumerate(random.integers(len(ensemble.trees), size=len(rows))):
        tree = ensemble.trees[tree_number]
        if not tree.is_leaf[0] and not tree.is_categorical[0] and np.isfinite(tree.threshold[0]):
            rows[position, tree.feature[0]] = random.choice(_around(tree.threshold[:1])[:, 0])
    return rows


def _at_thresholds(ensemble: Ensemble, rows: Floats, random: np.random.Generator) -> Floats:
    """Every value on or next to a threshold of its feature."""
    # Histogram boosting parts the missing from all others by an infinite threshold, on which no request stands.
    splits = [~tree.is_leaf & ~tree.is_categorical & np.isfinite(tree.threshold) for tree in ensemble.trees]
    features = np.concatenate([tree.feature[split] for tree, split in zip(ensemble.trees, splits, strict=True)])
    thresholds = np.concatenate([tree.threshold[split] for tree, split in zip(ensemble.trees, splits, strict=True)])
    order = np.argsort(features, kind="stable")
    starts = np.searchsorted(features[order], np.arange(ensemble.features + 1))
    for column in range(ensemble.features):
        own = thresholds[order[starts[column] : starts[column + 1]]]
        if own.size:
            around = _around(random.choice(own, len(rows)))
            rows[:, column] = around[random.integers(len(around), size=len(rows)), np.arange(len(rows))]
    return rows


def _around(thresholds: Floats) -> Floats:
    """Each threshold and its neighbours, in double and in single precision; shape (6, n)."""
    single = thresholds.astype(np.float32)
    up, down = np.float32(np.inf), np.float32(-np.inf)
    return np.stack(
        [
            thresholds,
            np.nextafter(thresholds, np.inf),
            np.nextafter(thresholds, -np.inf),
            single.astype(np.float64),
            np.nextafter(single, up).astype(np.float64),
            np.nextafter(single, down).astype(np.float64),
        ]
    )


def _require_same_nodes(compiled: CompiledEnsemble) -> None:
    trees = compiled.ensemble.trees
    if compiled.model.num_tree != len(trees):
        raise NotCompiled(f"the compiled form has {compiled.model.num_tree} trees instead of {len(trees)}")
    for number, tree in enumerate(trees):
        if not _is_same_tree(compiled.model.get_tree_accessor(number), tree):
            raise NotCompiled(f"tree {number} of the compiled form is not the one that was fitted")


def _is_same_tree(accessor: Any, tree: Tree) -> bool:
    left = accessor.get_field("cleft")
    if not np.array_equal(left == -1, tree.is_leaf):
        return False
    split = ~tree.is_leaf
    numeric = split & ~tree.is_categorical
    pairs = [
        (left[split], tree.left[split]),
        (accessor.get_field("cright")[split], tree.right[split]),
        (accessor.get_field("split_index")[split], tree.feature[split]),
        (accessor.get_field("threshold")[numeric], tree.threshold[numeric]),
    ]
    if tree.missing_left is not None:
        pairs.append((accessor.get_field("default_left")[split].astype(np.bool_), tree.missing_left[split]))
    return all(np.array_equal(compiled, fitted) for compiled, fitted in pairs)


def _is_same(found: Any, expected: Any) -> bool:
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    # Bytes, where numbers are floats: 0.0 and -0.0 are equal and would be written differently.
    if found.dtype.kind == "f":
        return bool(found.tobytes() == expected.tobytes())
    return bool(np.array_equal(found, expected))
