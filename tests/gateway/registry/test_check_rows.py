"""Check rows come back as they were written, without pickle."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from gateway.registry.card import CorruptCard
from gateway.registry.check_rows import CheckRows, read_check_rows, write_check_rows
from gateway.registry.evaluation import check_rows_of, evaluate
from gateway.registry.table import read_table


@pytest.mark.parametrize(
    "check",
    [
        CheckRows(((0.1, 3, None, True, 'Köln, "x"'), (None, -(2**62), "", False, None)), np.array(["a", "no"]), None),
        CheckRows(((0.1 + 0.2,), (1e308,)), np.array(["0", "1"]), np.array([[0.9, 0.1], [1 / 3, 2 / 3]])),
        CheckRows(((1.0,),), np.array([np.pi]), None),
    ],
)
def test_round_trip(tmp_path: Path, check: CheckRows) -> None:
    """Values keep their JSON type and floats their last bit."""
    write_check_rows(tmp_path / "check.npz", check)
    found = read_check_rows(tmp_path / "check.npz")
    assert found.rows == check.rows
    assert [list(map(type, row)) for row in found.rows] == [list(map(type, row)) for row in check.rows]
    np.testing.assert_array_equal(found.predictions, check.predictions)
    if check.probabilities is None:
        assert found.probabilities is None
    else:
        np.testing.assert_array_equal(found.probabilities, check.probabilities)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 half"])
def test_garbage_is_corrupt(tmp_path: Path, content: bytes) -> None:
    """A damaged file is named, not a traceback."""
    path = tmp_path / "check.npz"
    path.write_bytes(content)
    with pytest.raises(CorruptCard, match=r"check\.npz"):
        read_check_rows(path)


def test_pickles_inside_are_not_loaded(tmp_path: Path) -> None:
    """An object array would run code when read; it is refused."""
    path = tmp_path / "check.npz"
    np.savez(path, format_version=1, rows=np.array([{"x": 1}], dtype=object), predictions=np.ones(1))
    with pytest.raises(CorruptCard, match="allow_pickle"):
        read_check_rows(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """What a later program wrote is not guessed at."""
    path = tmp_path / "check.npz"
    np.savez(path, format_version=2)
    with pytest.raises(CorruptCard, match="newer"):
        read_check_rows(path)


@pytest.mark.parametrize(
    ("rows", "columns", "kept"), [(300, 2, 300), (5_000, 2, 1_000), (1_100, 200, 500), (200, 3_000, 64)]
)
def test_they_are_spread_over_the_reference(tmp_path: Path, rows: int, columns: int, kept: int) -> None:
    """A thousand, from the first row to the last; fewer of a wide table, so that the file stays small."""
    X = np.random.default_rng(0).normal(size=(rows, columns))
    model = LinearRegression().fit(X, X[:, 0])
    path = tmp_path / "table.parquet"
    pd.DataFrame(X, columns=[f"x{index}" for index in range(columns)]).assign(y=X[:, 0]).to_parquet(path)
    table = read_table(path)
    inputs = tuple(column for name, column in table.columns.items() if name != "y")
    check = check_rows_of(evaluate(model, inputs, table.columns["y"], {}, lambda _: contextlib.nullcontext()))
    assert len(check.rows) == len(check.predictions) == kept
    assert (check.rows[0], check.rows[-1]) == (tuple(X[0]), tuple(X[-1]))
