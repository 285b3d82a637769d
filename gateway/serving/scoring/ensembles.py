"""A fitted tree ensemble taken apart: its trees, what each leaf says, and how the sum of leaves becomes an answer.

Only scikit-learn's own classes are taken, by exact type: a subclass or a wrapper may answer something else. What
is read here is partly private to scikit-learn; where it changed, the proof fails and scikit-learn serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class NotCompiled(Exception):
    """Why scikit-learn serves: one sentence."""


@dataclass(frozen=True)
class Tree:
    """One tree's nodes as arrays; a row goes left when its feature's value is <= threshold.

    Attributes:
        is_leaf: shape (nodes,). Children, feature and threshold mean nothing in leaves.
        is_categorical: splits by a set of categories; its threshold means nothing either.
        missing_left: whether a missing value goes left; None where no missing value gets here.
        value: shape (nodes, width), what a leaf adds to the answer: one number, or one per class.
        walk: scikit-learn's own way to the leaves: rows of single precision, shape (n, features), to n nodes. None
            where it is not to be asked for one tree.
    """

    left: NDArray[Any]
    right: NDArray[Any]
    feature: NDArray[Any]
    threshold: Floats
    is_leaf: NDArray[np.bool_]
    is_categorical: NDArray[np.bool_]
    missing_left: NDArray[np.bool_] | None
    value: Floats
    walk: Callable[[NDArray[np.float32]], NDArray[np.intp]] | None = None


@dataclass(frozen=True)
class Ensemble:
    """What scikit-learn computes: raw = base + leaf of tree 1 + leaf of tree 2 ..., in that order, then a function.

    Attributes:
        trees: in the order that scikit-learn adds them up; those of one round of boosting follow each other.
        base: shape (outputs,), where adding begins.
        features: how many columns the trees take.
        input_dtype: what scikit-learn casts rows to before it compares them with thresholds.
        takes_missing: scikit-learn answers rows with NaN; otherwise it refuses them.
        predictions: raw sums of shape (n, outputs) to what `predict` answers.
        probabilities: likewise for `predict_proba`; None for regressors.
        categories: the levels known of each categorical column; scikit-learn takes any other value as missing.
    """

    trees: tuple[Tree, ...]
    base: Floats
    features: int
    input_dtype: type[np.float32] | type[np.float64]
    takes_missing: bool
    predictions: Callable[[Floats], NDArray[Any]]
    probabilities: Callable[[Floats], Floats] | None
    categories: Mapping[int, Floats] = field(default_factory=dict)


def ensemble_of(estimator: Any) -> Ensemble:
    """Take a fitted estimator apart. Raises NotCompiled for any that is not one of the known tree ensembles."""
    from sklearn import ensemble

    kind = type(estimator)
    if kind in (ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier):
        return _forest_classifier(estimator)
    if kind in (ensemble.RandomForestRegressor, ensemble.ExtraTreesRegressor):
        return _forest_regressor(estimator)
    if kind in (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor):
        return _boosting(estimator)
    if kind in (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor):
        return _histogram_boosting(estimator)
    raise NotCompiled(f"{kind.__name__} is none of the tree ensembles that are compiled")


def _forest_classifier(forest: Any) -> Ensemble:
    trees = tuple(_tree(member.tree_) for member in forest.estimators_)
    classes, count = forest.classes_, len(trees)
    return Ensemble(
        trees=trees,
        base=np.zeros(len(classes)),
        features=forest.n_features_in_,
        input_dtype=np.float32,
        takes_missing=_answers_missing(forest),
        # Of the quotients, as scikit-learn does: dividing can make two sums equal.
        predictions=lambda raw: np.asarray(classes.take((raw / count).argmax(axis=1), axis=0)),
        probabilities=lambda raw: raw / count,
    )


def _forest_regressor(forest: Any) -> Ensemble:
    trees = tuple(_tree(member.tree_) for member in forest.estimators_)
    count = len(trees)
    return Ensemble(
        trees=trees,
        base=np.zeros(1),
        features=forest.n_features_in_,
        input_dtype=np.float32,
        takes_missing=_answers_missing(forest),
        predictions=lambda raw: raw.ravel() / count,
        probabilities=None,
    )


def _boosting(model: Any) -> Ensemble:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if model.init_ != "zero" and type(model.init_) not in (DummyClassifier, DummyRegressor):
        raise NotCompiled(f"its boosting begins with the answers of a {type(model.init_).__name__}")
    loss, classes = model._loss, getattr(model, "classes_", None)
    return Ensemble(
        trees=tuple(
            _boosted_tree(member.tree_, model.learning_rate) for round_ in model.estimators_ for member in round_
        ),
        base=model._raw_predict_init(np.zeros((1, model.n_features_in_)))[0],
        features=model.n_features_in_,
        input_dtype=np.float32,
        takes_missing=False,
        # In gradient boosting a tie of two classes is the second one's, in histogram boosting the first one's.
        predictions=np.ravel if classes is None else lambda raw: classes[_chosen(raw, raw >= 0)],
        probabilities=None if classes is None else loss.predict_proba,
    )


def _histogram_boosting(model: Any) -> Ensemble:
    loss, classes = model._loss, getattr(model, "classes_", None)
    columns, categories = _histogram_columns(model)
    return Ensemble(
        trees=tuple(_histogram_tree(member.nodes, columns) for round_ in model._predictors for member in round_),
        base=model._baseline_prediction[0],
        features=model.n_features_in_,
        input_dtype=np.float64,
        takes_missing=True,
        predictions=(
            (lambda raw: loss.link.inverse(raw.ravel()))
            if classes is None
            else (lambda raw: classes[_chosen(raw, raw > 0)])
        ),
        # Column by column, as scikit-learn holds them: in which order numpy adds up depends on it.
        probabilities=None if classes is None else (lambda raw: loss.predict_proba(np.asfortranarray(raw))),
        categories=categories,
    )


def _chosen(raw: Floats, is_second: NDArray[np.bool_]) -> NDArray[Any]:
    return is_second.ravel().astype(int) if raw.shape[1] == 1 else raw.argmax(axis=1)


def _boosted_tree(tree: Any, learning_rate: float) -> Tree:
    fitted = _tree(tree)
    # Boosting finds the leaves of all trees without coming back to Python: asking them one by one is no faster.
    return replace(fitted, missing_left=None, value=fitted.value * learning_rate, walk=None)


def _tree(tree: Any) -> Tree:
    left = tree.children_left
    return Tree(
        left=left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        is_leaf=left == -1,
        is_categorical=np.zeros(len(left), dtype=np.bool_),
        missing_left=tree.missing_go_to_left.astype(np.bool_),
        value=tree.value[:, 0, :],
        walk=tree.apply,
    )


def _histogram_tree(nodes: Any, columns: NDArray[Any]) -> Tree:
    return Tree(
        left=nodes["left"],
        right=nodes["right"],
        feature=columns[nodes["feature_idx"]],
        threshold=nodes["num_threshold"],
        is_leaf=nodes["is_leaf"].astype(np.bool_),
        is_categorical=nodes["is_categorical"].astype(np.bool_),
        missing_left=nodes["missing_go_to_left"].astype(np.bool_),
        value=nodes["value"].reshape(-1, 1),
    )


def _histogram_columns(model: Any) -> tuple[NDArray[Any], dict[int, Floats]]:
    """The input column of each of the trees' columns, and the known levels of the categorical ones."""
    if model._preprocessor is None:
        return np.arange(model.n_features_in_), {}
    # Its trees see the categorical columns first, each level as its rank.
    is_categorical = model.is_categorical_
    positions = np.flatnonzero(is_categorical)
    levels = [np.asarray(found) for found in model._preprocessor.named_transformers_["encoder"].categories_]
    if any(found.dtype.kind not in "iufb" for found in levels):
        raise NotCompiled("its categories are texts")
    known = [found[~np.isnan(found)] for found in (found.astype(np.float64) for found in levels)]
    if any((found != np.floor(found)).any() for found in known):
        raise NotCompiled("its categories are not whole numbers")
    columns = np.concatenate([positions, np.flatnonzero(~is_categorical)])
    return columns, dict(zip(positions.tolist(), known, strict=True))


def _answers_missing(forest: Any) -> bool:
    try:
        forest.predict(np.full((1, forest.n_features_in_), np.nan))
    except ValueError:
        return False
    return True
