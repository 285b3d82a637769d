"""Which runs another one replaced: labels came, and their window was scored again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from drift_engine.results.store import RunPlace


@dataclass(frozen=True)
class _Head:
    """Of a `result.json` what is asked here; the rest is not decoded."""

    supersedes: str | None = None


class Superseded:
    """Reads of each result only which run it replaces, once: results never change."""

    def __init__(self) -> None:
        self._heads: dict[Path, str | None] = {}

    def among(self, places: Sequence[RunPlace]) -> dict[Path, RunPlace]:
        """Of the runs in `places`, by folder, the one that replaced it; of several the newest.

        `places` are newest first. A run is replaced by a newer one, so those that stand before it are all that can.
        """
        found: dict[Path, RunPlace] = {}
        for place in places:
            replaced = self._supersedes(place)
            if replaced is not None:
                found.setdefault(place.folder.with_name(replaced), place)
        return found

    def _supersedes(self, place: RunPlace) -> str | None:
        if place.folder not in self._heads:
            try:
                head = msgspec.json.decode((place.folder / "result.json").read_bytes(), type=_Head)
            except (OSError, ValueError, RecursionError):
                # The table says that it cannot be read; it may be whole the next time.
                return None
            # A name that is no single part of a path names no run.
            named = head.supersedes or None
            self._heads[place.folder] = named if named is None or Path(named).name == named else None
        return self._heads[place.folder]
