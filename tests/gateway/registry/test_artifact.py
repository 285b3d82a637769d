"""A skops file constructs what scikit-learn, numpy and scipy define themselves, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.ensemble import RandomForestClassifier

from gateway.registry.artifact import foreign_types, load_verified
from gateway.registry.card import ArtifactMismatch

from .workshop import Workshop, numbers


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.tree._tree.Tree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._classification.balanced_accuracy_score",
        "scipy.sparse._csr.csr_matrix",
        "numpy.log1p",
    ],
)
def test_own_classes_ufuncs_and_measures_are_trusted(name: str) -> None:
    """What fitted models hold that skops cannot look into."""
    assert foreign_types([name]) == []


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval",
        "my_company.models.Best",
        "sklearnx.models.Best",
        "numpy.load",
        "numpy.testing._private.utils.runstring",
        "sklearn.datasets._openml.urlopen",
        "sklearn.no_such_module.Thing",
        "sklearn.tree.NoSuchTree",
    ],
)
def test_functions_strangers_and_borrowed_names_are_foreign(name: str) -> None:
    """Some of numpy's functions read files or run code, and a module also shows what it imported for itself."""
    assert foreign_types([name]) == [name]


def test_a_card_cannot_ask_to_trust_more(tmp_path: Path) -> None:
    """An edited model.json does not widen what is constructed at load."""
    workshop = Workshop(tmp_path)
    train = numbers(seed=1)
    model = RandomForestClassifier(3, random_state=0).fit(train[["x0", "x1", "x2"]], train["y"])
    card = workshop.register(model, numbers())
    assert card.artifact.trusted_types == ("sklearn.tree._tree.Tree",)
    edited = replace(card, artifact=replace(card.artifact, trusted_types=("builtins.eval",)))
    with pytest.raises(ArtifactMismatch, match=r"asks to trust builtins\.eval"):
        load_verified(workshop.registry.folder("demo", "1"), edited)
