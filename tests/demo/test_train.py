"""Models are trained, registered and served; the same call again registers nothing new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demo.replay import traffic_rows
from demo.table import Shares, read_table, split, usable
from demo.train import (
    FRAUD_SHIFT,
    find_registered,
    fit_and_register,
    fraud_card,
    fraud_parts,
    model_for,
    serve,
)
from gateway.registry import ModelCard, Registry
from tests.demo.tables import mixed_table

NOW = 1_795_000_000.0


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry."""
    return Registry(tmp_path / "models", tmp_path / "reference")


def register_mixed(registry: Registry, label: str, exclude: list[str], name: str) -> ModelCard:
    """Train on the mixed table's first part and register."""
    found = usable(mixed_table(), label, exclude)
    parts = split(found.table, Shares(first=0.8), seed=1)
    model = model_for(found.table, found.features, label)
    return fit_and_register(registry, name, model, parts, found.features, label, NOW)


def test_fraud_model_is_registered_once_and_serves(registry: Registry) -> None:
    """The first call trains and makes it the default model; the second finds it."""
    card = fraud_card(registry, NOW)
    assert (card.name, card.task, card.target, card.positive_class) == ("fraud", "binary", "Class", 1)
    assert card.feature_names == ("Time", *(f"V{i}" for i in range(1, 29)), "Amount")
    assert {feature.name for feature in card.features if feature.nullable} == {"V27", "V28"}
    auc = card.baseline_metric("roc_auc")
    assert auc is not None
    assert auc.value > 0.95
    assert registry.serving().default_model == "fraud"
    assert fraud_card(registry, NOW + 1) == card
    assert registry.versions("fraud") == ["1"]


def test_table_of_texts_truth_values_and_gaps_becomes_a_classifier(registry: Registry) -> None:
    """Boosted trees behind an encoder; the card knows the types, and that values may be missing."""
    card = register_mixed(registry, "bought", ["spent"], "demo-mixed")
    kinds = {feature.name: (feature.type, feature.nullable) for feature in card.features}
    assert kinds == {
        "age": ("number", True),
        "job": ("category", True),
        "member": ("boolean", True),
        "visits": ("integer", False),
    }
    assert card.classes == ("no", "yes")
    accuracy = card.baseline_metric("accuracy")
    assert accuracy is not None
    assert accuracy.value > 0.65
    assert registry.serving().versions == {"demo-mixed": "1"}


def test_quantity_becomes_a_regression(registry: Registry) -> None:
    """A float label with many values is predicted as a number."""
    card = register_mixed(registry, "spent", ["bought"], "demo-spent")
    assert card.task == "regression"
    r2 = card.baseline_metric("r2")
    assert r2 is not None
    assert r2.value > 0.3


def test_other_features_are_a_new_version_that_serves(registry: Registry) -> None:
    """A model of the same name trained on other columns is not reused; the gateway is pointed at the new one."""
    register_mixed(registry, "bought", ["spent"], "demo-mixed")
    assert find_registered(registry, "demo-mixed", ("age", "job"), "bought", 240) is None
    second = register_mixed(registry, "bought", ["spent", "job"], "demo-mixed")
    assert registry.serving().versions == {"demo-mixed": second.version}
    first = find_registered(registry, "demo-mixed", ("age", "job", "member", "visits"), "bought", 240)
    assert first is not None
    assert first.version == "1"
    serve(registry, first, NOW)
    assert registry.serving().versions == {"demo-mixed": "1"}


def test_rows_become_json_of_the_models_types(registry: Registry) -> None:
    """Missing is None, integers are integers although a gap elsewhere made floats, labels are the card's classes."""
    card = register_mixed(registry, "bought", ["spent"], "demo-mixed")
    table = pd.DataFrame(
        {
            "age": [40.5, np.nan],
            "job": ["smith", None],
            "member": [True, None],
            "visits": [3.0, 4.0],
            "bought": ["yes", None],
        }
    )
    rows = traffic_rows(card, table)
    assert rows[0].features == {"age": 40.5, "job": "smith", "member": True, "visits": 3}
    assert type(rows[0].features["visits"]) is int
    assert rows[1].features == {"age": None, "job": None, "member": None, "visits": 4}
    assert [row.label for row in rows] == ["yes", None]


def test_fraud_traffic_is_alike_first_and_different_later() -> None:
    """Means of V1 and V4 stay in one part and move by one SD in the other; V28 goes missing more often."""
    parts = fraud_parts(3_000, 3_000)
    assert parts.alike[["V1", "V4"]].mean().abs().max() < 0.08
    assert parts.later[["V1", "V4"]].mean().min() > FRAUD_SHIFT.covariate - 0.35
    assert parts.alike["V28"].isna().mean() < 0.02 < 0.04 < parts.later["V28"].isna().mean()
    assert parts.later["Class"].mean() == pytest.approx(0.12, abs=0.02)
    assert not parts.alike["Time"].is_monotonic_increasing


def test_real_bank_file_registers_without_its_leaking_column(
    registry: Registry, shared_data: Callable[[str], Path]
) -> None:
    """41,188 rows with ';' between and texts in ten columns: read, parted, trained and registered."""
    found = usable(read_table(shared_data("bank_additional_full.csv.gz")), "y", ["duration"])
    assert len(found.features) == 19
    parts = split(found.table, Shares(), seed=1)
    card = fit_and_register(
        registry, "demo-bank", model_for(found.table, found.features, "y"), parts, found.features, "y", NOW
    )
    assert (card.classes, card.positive_class, card.reference_rows) == (("no", "yes"), "yes", len(parts.reference))
