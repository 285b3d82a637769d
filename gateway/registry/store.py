"""The registry's folder: versions that never change, one pointer file, one audit file.

```
models/serving.json                  which model is the default, which versions of each model serve (`pointer`)
models/audit.jsonl                   one line per change, appended
models/<name>/<version>/model.json   the card; its appearance is the commit point of a registration
models/<name>/<version>/model.skops  the artifact (or model.joblib)
models/<name>/<version>/check.npz    rows with their expected answers
data/reference/<name>/<version>.parquet
```
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.files import fsync_dir, make_dirs, write_all, write_atomically
from gateway.locks import Busy, locked
from gateway.registry import pointer
from gateway.registry.card import (
    CorruptCard,
    ModelCard,
    RegistryError,
    UnknownModel,
    check_name,
    check_version,
    decode,
)
from gateway.registry.pointer import Serving


class Registry:
    """The models under `models`, with their references under `references`."""

    def __init__(self, models: Path, references: Path) -> None:
        self.models = models
        self.references = references

    def folder(self, name: str, version: str) -> Path:
        """Where a version's files are. Raises RegistryError for names that could leave the registry."""
        return self.models / check_name(name) / check_version(version)

    def reference_path(self, name: str, version: str) -> Path:
        """Where a version's reference is."""
        return self.references / check_name(name) / f"{check_version(version)}.parquet"

    def card(self, name: str, version: str) -> ModelCard:
        """Read one card. Raises UnknownModel, CorruptCard."""
        path = self.folder(name, version) / "model.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise UnknownModel(f"no model {name!r} version {version!r} in {self.models}") from None
        card = decode(data, str(path))
        if (card.name, card.version) != (name, version):
            raise CorruptCard(f"{path}: says it is {card.name} {card.version}")
        return card

    def versions(self, name: str) -> list[str]:
        """The committed versions of `name`, oldest first by the time of their card."""
        cards = list((self.models / check_name(name)).glob("*/model.json"))
        return [path.parent.name for path in sorted(cards, key=lambda path: (path.stat().st_mtime_ns, path))]

    def names(self) -> list[str]:
        """Names of all models with at least one committed version, sorted."""
        return sorted({path.parent.parent.name for path in self.models.glob("*/*/model.json")})

    def serving(self) -> Serving:
        """The serving pointer; an absent file means that nothing serves. Raises CorruptCard."""
        path = self.models / "serving.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Serving()
        return pointer.decode(data, str(path))

    def serving_mark(self) -> tuple[int, int] | None:
        """Changes whenever the serving pointer was replaced; None while there is none. One stat, no read."""
        try:
            status = (self.models / "serving.json").stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def resolve(self, name: str | None = None, version: str | None = None) -> ModelCard:
        """The card that `name` (default: the default model) and `version` (default: the serving one) mean.

        Raises:
            UnknownModel: with the names that exist.
        """
        serving = self.serving()
        name = name or serving.default_model
        if name is None:
            raise UnknownModel("no model is registered yet; 'make register' registers one, 'make demo' makes one")
        version = version or serving.versions.get(name)
        if version is None:
            known = ", ".join(sorted(serving.versions)) or "none"
            raise UnknownModel(f"no model named {name!r} serves; serving: {known}")
        return self.card(name, version)

    def set_serving(self, serving: Serving) -> None:
        """Replace the serving pointer atomically. Call it inside `changing()`."""
        make_dirs(self.models)
        write_atomically(self.models / "serving.json", pointer.encode(serving))

    def audit(self, at: str, action: str, name: str, version: str, **details: str) -> None:
        """Append one line to the audit file. Call it inside `changing()`."""
        entry = {"at": at, "action": action, "name": name, "version": version, "user": _user(), **details}
        fd = os.open(self.models / "audit.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            # A line that a crash cut short stays as it is, and spoils no other.
            size = os.fstat(fd).st_size
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            write_all(fd, b"\n" * torn + msgspec.json.encode(entry) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        fsync_dir(self.models)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the registry's lock: one change at a time. Raises RegistryError when another is under way."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.models / ".lock", "another change"))
            except Busy:
                raise RegistryError(f"{self.models} is being changed by another command; try again later") from None
            yield


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
