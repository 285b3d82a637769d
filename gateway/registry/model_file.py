"""Taking a model file in: deciding whether it may be loaded, and storing it in the safest form that answers alike."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.registry.artifact import foreign_types, load_file, refuse_foreign_types, untrusted_types
from gateway.registry.card import RegistryError


def load_model(path: Path, trust: bool) -> tuple[Any, tuple[str, ...]]:
    """Load a fitted estimator that somebody wants to register.

    A skops file is loaded when it holds nothing foreign. Any other file is a pickle of some kind: loading one
    runs whatever code is in it, so not a byte of it is unpickled without `trust`.

    Returns:
        the estimator, and notes for the person at the terminal.

    Raises:
        RegistryError: no such file, not trusted, not loadable, or not an estimator.
    """
    if not path.is_file():
        raise RegistryError(f"{path}: no such file")
    kind = "skops" if _is_skops(path) else "joblib"
    if kind == "joblib" and path.suffix == ".skops":
        raise RegistryError(f"{path}: is not a skops file, whatever its name says")
    if kind == "joblib" and not trust:
        raise RegistryError(
            f"{path} is not a skops file, so it is taken for a pickle (joblib), and loading a pickle runs whatever "
            "code is in it: add TRUST=1 (--trust) if you made it or trust who did, or save the model with skops.io.dump"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = _load(path, kind)
    return _checked_estimator(path, model), _version_notes(caught)


def store_model(model: Any, folder: Path, alike: Callable[[Any], bool]) -> tuple[Path, str, tuple[str, ...]]:
    """Write `model` into `folder`, as skops where that form is safe to load and answers alike, else as joblib.

    Args:
        alike: whether a reloaded model answers as the original does.

    Returns:
        the file, its kind, and the types that skops must be told to construct.

    Raises:
        RegistryError: in neither form does the reloaded model answer alike.
    """
    path = folder / "model.skops"
    types = _dump_skops(model, path)
    if types is not None and _reloaded_alike(path, "skops", types, alike):
        return path, "skops", types
    path.unlink(missing_ok=True)
    import joblib

    path = folder / "model.joblib"
    try:
        joblib.dump(model, path)
    except OSError:
        raise
    except Exception as error:  # pickling calls the estimator's own code
        raise RegistryError(f"the model cannot be stored ({type(error).__name__}: {error})") from error
    if not _reloaded_alike(path, "joblib", (), alike):
        raise RegistryError("the model answers the same rows differently after it was stored and loaded again")
    return path, "joblib", ()


def pin_to_one_thread(model: Any) -> None:
    """Set `n_jobs` to 1 wherever it lies inside a fitted model: a pool per request costs more than it gives."""
    for part in parts_of(model):
        # `vars`, not `hasattr`: a property may be computed from what is inside, and is set there.
        if vars(part).get("n_jobs") not in (None, 1):
            part.n_jobs = 1


def refuse_none_as_missing(model: Any) -> None:
    """Refuse encoders and imputers that were fitted on None: to them NaN, which serving gives, is another value."""
    for part in parts_of(model):
        state = vars(part)
        levels = [level for column in levels_of(part) for level in column]
        imputes_none = "missing_values" in state and state["missing_values"] is None
        if imputes_none or any(level is None for level in levels):
            raise RegistryError(
                f"the model's {type(part).__name__} was fitted on None as a missing text, while tables and requests "
                "are scored with NaN for it; fit it again on a table with .fillna(numpy.nan)"
            )


def parts_of(model: Any) -> Iterator[Any]:
    """Every estimator inside a fitted model, the model included."""
    from sklearn.base import BaseEstimator

    seen: set[int] = set()
    waiting = [model]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, BaseEstimator):
            yield thing
            waiting.extend(vars(thing).values())
        elif isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, list | tuple) or (isinstance(thing, np.ndarray) and thing.dtype == object):
            waiting.extend(np.ravel(thing) if isinstance(thing, np.ndarray) else thing)


def levels_of(part: Any) -> list[NDArray[Any]]:
    """The levels that an encoder was fitted on, one array per column; empty for any other estimator."""
    levels = vars(part).get("categories_")
    return [column for column in levels if isinstance(column, np.ndarray)] if isinstance(levels, list | tuple) else []


def _is_skops(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "schema.json" in archive.namelist()


def _load(path: Path, kind: str) -> Any:
    try:
        types = refuse_foreign_types(path) if kind == "skops" else ()
        return load_file(path, kind, types)
    except RegistryError:
        raise
    except ModuleNotFoundError as error:
        raise RegistryError(f"{path}: needs the Python module {error.name!r}, which is not installed here") from error
    except Exception as error:  # a pickle may raise anything, and so may a damaged archive
        text = " ".join(str(error).split())[:300]
        raise RegistryError(f"{path}: cannot be loaded as a {kind} file ({type(error).__name__}: {text})") from error


def _checked_estimator(path: Path, model: Any) -> Any:
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if isinstance(model, type) or not isinstance(model, BaseEstimator) or not hasattr(model, "predict"):
        raise RegistryError(f"{path}: holds a {type(model).__name__}, not a scikit-learn estimator that predicts")
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise RegistryError(f"{path}: holds a {type(model).__name__} that was never fitted") from None
    return model


def _version_notes(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    from sklearn.exceptions import InconsistentVersionWarning

    found = {
        f"the model was fitted with scikit-learn {entry.message.original_sklearn_version}, "
        f"this is {entry.message.current_sklearn_version}"
        for entry in caught
        if isinstance(entry.message, InconsistentVersionWarning)
    }
    return tuple(sorted(found))


def _dump_skops(model: Any, path: Path) -> tuple[str, ...] | None:
    """Write the skops form; its untrusted types, or None where skops cannot hold the model safely."""
    import skops.io

    try:
        skops.io.dump(model, path)
        types = untrusted_types(path)
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - skops fails on foreign objects in many ways; joblib is the answer to all
        return None
    return None if foreign_types(types) else types


def _reloaded_alike(path: Path, kind: str, types: tuple[str, ...], alike: Callable[[Any], bool]) -> bool:
    try:
        return alike(load_file(path, kind, types))
    except Exception:  # noqa: BLE001 - it cannot be loaded or cannot score: then it is not alike
        return False
