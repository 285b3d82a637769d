"""The model file: hashed before it is loaded, loaded by skops unless somebody vouched for a joblib file."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gateway.registry.card import Artifact, ArtifactMismatch, FileRecord, ModelCard, RegistryError

#: Types of these packages may be constructed from a skops file. skops lists some of scikit-learn's own
#: compiled classes as untrusted because it cannot look inside them; anything from elsewhere is refused.
TRUSTED_PACKAGES = ("sklearn.", "numpy.", "scipy.")
#: Functions are another matter: a pipeline may call one with arguments from the file, and these packages
#: hold some that read files or run code. Those that measure are harmless, and tuned thresholds store them.
TRUSTED_FUNCTIONS = ("sklearn.metrics.",)
#: What histogram boosting stores to check its numeric columns. A partial is as harmless as the function in it.
TRUSTED_NAMES = frozenset({"functools.partial", "sklearn.utils.validation.check_array"})


def file_record(path: Path) -> FileRecord:
    """Describe an existing file by name, size and hash."""
    return FileRecord(file=path.name, sha256=sha256_of(path), bytes=path.stat().st_size)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal. Raises OSError."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_file(path: Path, record: FileRecord) -> None:
    """Raise ArtifactMismatch unless `path` is, byte for byte, what was registered."""
    try:
        actual = sha256_of(path)
    except OSError as error:
        raise ArtifactMismatch(f"{path}: cannot be read ({error.strerror})") from None
    if actual != record.sha256:
        raise ArtifactMismatch(f"{path}: SHA-256 is {actual}, registered was {record.sha256}")


def untrusted_types(path: Path) -> tuple[str, ...]:
    """Types in a skops file that skops will not construct unless told to, sorted."""
    import skops.io

    return tuple(sorted(skops.io.get_untrusted_types(file=path)))


def foreign_types(names: Iterable[str]) -> list[str]:
    """Those of the named types that may not be constructed: all but classes and ufuncs of `TRUSTED_PACKAGES`."""
    return [name for name in names if not _is_trusted(name)]


def refuse_foreign_types(path: Path) -> tuple[str, ...]:
    """The untrusted types of a skops file if none of them is foreign, else raise RegistryError."""
    types = untrusted_types(path)
    foreign = foreign_types(types)
    if foreign:
        shown = ", ".join(foreign[:5]) + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else "")
        raise RegistryError(
            f"{path.name} holds more than classes of scikit-learn, numpy and scipy: {shown}; "
            "register it as a joblib file with TRUST=1 if you vouch for its code"
        )
    return types


def _is_trusted(name: str) -> bool:
    if name in TRUSTED_NAMES:
        return True
    if not name.startswith(TRUSTED_PACKAGES):
        return False
    module_name, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError):
        return False
    if isinstance(found, np.ufunc):
        return True
    # A module also shows what it imported for itself, such as an opener of URLs: only its own things count.
    if getattr(found, "__module__", None) != module_name:
        return False
    return isinstance(found, type) or name.startswith(TRUSTED_FUNCTIONS)


def load_file(path: Path, kind: str, trusted_types: tuple[str, ...] = ()) -> Any:
    """Load a model file of a kind ("skops" or "joblib"). The caller has decided that it may be loaded."""
    if kind == "joblib":
        import joblib

        return joblib.load(path)
    import skops.io

    return skops.io.load(path, trusted=list(trusted_types))


def load_verified(folder: Path, card: ModelCard) -> Any:
    """Load a registered model after checking its hash.

    Raises:
        ArtifactMismatch: the file is not the registered one, or cannot be loaded by these libraries.
    """
    artifact: Artifact = card.artifact
    path = folder / artifact.record.file
    check_file(path, artifact.record)
    foreign = foreign_types(artifact.trusted_types)
    if foreign:
        raise ArtifactMismatch(f"{path}: its card asks to trust {', '.join(foreign)}")
    try:
        return load_file(path, artifact.kind, artifact.trusted_types)
    except Exception as error:  # unpickling may raise anything; the caller serves what it has
        raise ArtifactMismatch(
            f"{path}: cannot be loaded ({type(error).__name__}: {error}); it was registered with {card.libraries}"
        ) from error
