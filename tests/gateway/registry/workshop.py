"""Saves a model and its table as files, and registers them as a user does."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import skops.io

from gateway.registry import ModelCard, Registry
from gateway.registry.artifact import load_verified
from gateway.registry.card import Unseen
from gateway.registry.check_rows import read_check_rows
from gateway.registry.columns import class_text
from gateway.registry.frames import frame_of
from gateway.registry.inference import class_label
from gateway.registry.register import register

NOW = 1_770_000_000.0


class Workshop:
    """A registry in `folder`, and the two files of the model to register."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(folder / "models", folder / "data" / "reference")
        self.folder = folder

    def save_model(self, model: Any, kind: str = "skops") -> Path:
        path = self.folder / f"input.{kind}"
        skops.io.dump(model, path) if kind == "skops" else joblib.dump(model, path)
        return path

    def save_table(self, table: pd.DataFrame, kind: str = "csv") -> Path:
        path = self.folder / f"table.{kind}"
        table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path, index=False)
        return path

    def register(
        self,
        model: Any,
        table: pd.DataFrame | Path,
        target: str = "y",
        name: str = "demo",
        *,
        kind: str = "skops",
        version: str | None = None,
        trust: bool = False,
        positive_class: str | None = None,
        exclude: Sequence[str] = (),
        unseen: Mapping[str, Unseen] = MappingProxyType({}),
    ) -> ModelCard:
        return register(
            model if isinstance(model, Path) else self.save_model(model, kind),
            table if isinstance(table, Path) else self.save_table(table),
            target,
            name,
            registry=self.registry,
            version=version,
            trust=trust,
            positive_class=positive_class,
            exclude=exclude,
            unseen=unseen,
            now=NOW,
        )

    def reference(self, card: ModelCard) -> pd.DataFrame:
        """The written reference, exactly as stored."""
        return parquet.read_table(self.registry.reference_path(card.name, card.version)).to_pandas()

    def prove(self, card: ModelCard) -> Any:
        """Load the registered model as a gateway does and compare its answers with the check rows; returns it."""
        folder = self.registry.folder(card.name, card.version)
        model = load_verified(folder, card)
        check = read_check_rows(folder / card.check_rows.file)
        if card.input_form == "array":
            inputs: Any = np.array(check.rows, dtype=np.float64)
        else:
            inputs = frame_of(card.features, list(zip(*check.rows, strict=True)))
        with warnings.catch_warnings():
            # The proven array form of a model that was fitted on names.
            warnings.filterwarnings("ignore", message="X (has|does not have valid) feature names")
            predicted = model.predict(inputs)
            probabilities = model.predict_proba(inputs) if card.has_probabilities else None
        if card.task == "regression":
            np.testing.assert_allclose(predicted, check.predictions, rtol=1e-9)
        else:
            assert [class_text(class_label(value)) for value in predicted] == list(check.predictions)
        if check.probabilities is not None:
            np.testing.assert_allclose(probabilities, check.probabilities, atol=1e-9)
        return model


def numbers(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Three numbers and a binary target that depends on the first two."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["x0", "x1", "x2"])
    table["y"] = (table["x0"] + table["x1"] + rng.normal(0, 0.5, rows) > 0).astype(int)
    return table


def mixed(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """One column of each type, missing values in most of them, and a text target."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "amount": np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(3, 1, rows)),
            "visits": pd.array(rng.integers(0, 20, rows), dtype="Int64"),
            "job": rng.choice(np.array(["clerk", "student", 'a, "b"', None], dtype=object), rows),
            "city": rng.choice(np.array(["Oslo", "Köln"], dtype=object), rows),
            "known": rng.random(rows) < 0.5,
        }
    )
    score = table["visits"].to_numpy(dtype=float) + 5 * table["known"]
    table.loc[rng.random(rows) < 0.1, "visits"] = pd.NA
    table["y"] = np.where(score + rng.normal(0, 2, rows) > 10, "yes", "no")
    return table
