"""`check.npz`: a few reference rows with the answers the model gave when it was registered.

Whoever loads the model later asks it again, and refuses it when it answers otherwise: other library versions
may load an artifact without complaint and compute something else. Neither pandas nor pickle is needed to read it.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry.card import CorruptCard

FORMAT_VERSION = 1


@dataclass(frozen=True)
class CheckRows:
    """Rows of a reference and what the model answers to them.

    Attributes:
        rows: one tuple of values per row, in the order of the features, None where missing. Both forms of input
            are built from them: `numpy.array(rows, dtype=float)` and `frames.frame_of`.
        predictions: shape (rows,), classes as text, or float64 for regression.
        probabilities: shape (rows, classes) in the order of the card's classes; None without probabilities.
    """

    rows: tuple[tuple[Any, ...], ...]
    predictions: NDArray[Any]
    probabilities: NDArray[np.float64] | None


def write_check_rows(path: Path, check: CheckRows) -> None:
    """Write `check` to `path`. Raises OSError."""
    arrays: dict[str, NDArray[Any]] = {
        "format_version": np.array(FORMAT_VERSION),
        # Rows as JSON texts: numpy would store mixed types by pickle, and reading pickle runs code.
        "rows": np.array([json.dumps(row, allow_nan=False) for row in check.rows], dtype=np.str_),
        "predictions": check.predictions if check.predictions.dtype.kind == "f" else check.predictions.astype(np.str_),
    }
    if check.probabilities is not None:
        arrays["probabilities"] = check.probabilities
    with open(path, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_check_rows(path: Path) -> CheckRows:
    """Read `check.npz`. Raises CorruptCard when it is not one, or of a newer format."""
    try:
        # Opened here: numpy leaves a file open that it cannot read.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        version = int(arrays["format_version"])
        if version > FORMAT_VERSION:
            raise CorruptCard(f"{path}: format version {version} is newer than this program's {FORMAT_VERSION}")
        return CheckRows(
            rows=tuple(tuple(json.loads(text)) for text in arrays["rows"].tolist()),
            predictions=arrays["predictions"],
            probabilities=arrays.get("probabilities"),
        )
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise CorruptCard(f"{path}: cannot be read as check rows ({error})") from None
