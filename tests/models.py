"""Small real models with their evaluation tables, registered the way that a user registers theirs."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from gateway.registry import ModelCard, Registry
from gateway.registry.register import register

NOW = 1_770_000_000.0
COLUMNS = [f"x{index}" for index in range(5)]


def number_table(rows: int, seed: int) -> pd.DataFrame:
    """Five standard normal columns and a binary target `y` that depends on two of them."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(rows, 5)), columns=COLUMNS)
    table["y"] = (table["x0"] + table["x1"] + rng.normal(scale=0.5, size=rows) > 0).astype(int)
    return table


def mixed_table(rows: int, seed: int) -> pd.DataFrame:
    """A number with missing values, an integer, a category with missing values, a boolean, and a text target."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "amount": np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(3, 1, rows)),
            "visits": rng.integers(0, 20, rows),
            "job": rng.choice(np.array(["clerk", "student", 'a, "b"', None], dtype=object), rows),
            "known": rng.random(rows) < 0.5,
        }
    )
    table["outcome"] = np.where(table["visits"] + 5 * table["known"] + rng.normal(0, 2, rows) > 10, "yes", "no")
    return table


def register_numbers(registry: Registry, folder: Path, name: str = "numbers", rows: int = 2000) -> ModelCard:
    """A random forest on five numbers, with probabilities; array form."""
    train = number_table(1000, seed=1)
    model = RandomForestClassifier(20, max_depth=5, random_state=0).fit(train[COLUMNS], train["y"])
    return _register(model, number_table(rows, seed=2), "y", name, registry, folder)


def register_mixed(registry: Registry, folder: Path, name: str = "mixed") -> ModelCard:
    """A pipeline that selects columns by name: categories, missing values; text classes."""
    train = mixed_table(1000, seed=1)
    pipeline = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", SimpleImputer(), ["amount", "visits"]),
                ("levels", OneHotEncoder(handle_unknown="ignore"), ["job", "known"]),
            ]
        ),
        LogisticRegression(max_iter=1000),
    ).fit(train.drop(columns="outcome"), train["outcome"])
    return _register(pipeline, mixed_table(1000, seed=2), "outcome", name, registry, folder)


def register_regression(registry: Registry, folder: Path, name: str = "prices") -> ModelCard:
    """A linear regression on five numbers."""
    train, held_out = number_table(500, seed=1), number_table(500, seed=2)
    for table in (train, held_out):
        table["price"] = 3 * table["x0"] - table["x1"] + 10
    model = LinearRegression().fit(train[COLUMNS], train["price"])
    return _register(model, held_out.drop(columns="y"), "price", name, registry, folder)


def register_counts(registry: Registry, folder: Path, name: str = "counts") -> ModelCard:
    """A Poisson regression on one number, whose answers overflow far from its data."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x0": rng.random(300)})
    table["count"] = rng.poisson(np.exp(table["x0"]))
    model = PoissonRegressor().fit(table[["x0"]], table["count"])
    return _register(model, table, "count", name, registry, folder)


def register_linear(
    registry: Registry, folder: Path, name: str = "numbers", kind: type[LogisticRegression] = LogisticRegression
) -> ModelCard:
    """A logistic regression on five numbers; `kind`: a subclass of it, which goes as a trusted joblib file."""
    train, table = number_table(1000, seed=1), number_table(200, seed=2)
    model = kind().fit(train[COLUMNS].to_numpy(), train["y"])
    return _register(model, table, "y", name, registry, folder, trust=kind is not LogisticRegression)


def register_colours(registry: Registry, folder: Path, name: str = "colours") -> ModelCard:
    """A multiclass classifier on five numbers, with text classes."""
    train, held_out = number_table(500, seed=1), number_table(500, seed=2)
    for table in (train, held_out):
        table["y"] = np.select([table["x0"] > 0.5, table["x1"] > 0.5], ["red", "green"], "blue")
    model = LogisticRegression(max_iter=1000).fit(train[COLUMNS], train["y"])
    return _register(model, held_out, "y", name, registry, folder)


def flag_table(rows: int, seed: int) -> pd.DataFrame:
    """An integer and a boolean, both with missing values, and a boolean target `y`."""
    rng = np.random.default_rng(seed)
    count, flag = rng.integers(0, 20, rows), rng.random(rows) < 0.5
    table = pd.DataFrame({"count": count.astype(object), "flag": flag.astype(object)})
    table["y"] = count + 5 * flag + rng.normal(0, 2, rows) > 10
    return table.mask(rng.random(table.shape) < [[0.1, 0.1, 0]], None)


def register_flags(registry: Registry, folder: Path, name: str = "flags") -> ModelCard:
    """A pipeline whose integer and boolean may be missing, and whose classes are booleans."""
    train = flag_table(1000, seed=1)
    pipeline = make_pipeline(
        ColumnTransformer(
            [("count", SimpleImputer(), ["count"]), ("flag", OneHotEncoder(handle_unknown="ignore"), ["flag"])]
        ),
        LogisticRegression(max_iter=1000),
    )
    # As pandas reads them from a file.
    features = pd.DataFrame({"count": train["count"].astype(float), "flag": train["flag"].where(train["flag"].notna())})
    return _register(
        pipeline.fit(features, train["y"].astype(bool)), flag_table(1000, seed=2), "y", name, registry, folder
    )


def _register(
    model: object,
    table: pd.DataFrame,
    target: str,
    name: str,
    registry: Registry,
    folder: Path,
    *,
    trust: bool = False,
) -> ModelCard:
    folder.mkdir(parents=True, exist_ok=True)
    model_file, table_file = folder / f"{name}.{'joblib' if trust else 'skops'}", folder / f"{name}.csv"
    joblib.dump(model, model_file) if trust else skops.io.dump(model, model_file)
    table.to_csv(table_file, index=False)
    return register(model_file, table_file, target, name, registry=registry, trust=trust, now=NOW)
