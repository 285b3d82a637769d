"""Section `[labels]` of the settings: labels that are fetched on a schedule."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.settings import setting

#: The words of a command; the first is the program.
Command = tuple[str, ...]


def _parse_command(raw: Any) -> Command:
    """A list of words, or one text that is cut into words as a shell would. No shell ever runs it."""
    try:
        words = shlex.split(raw) if isinstance(raw, str) else raw
    except ValueError as error:
        raise ValueError(f"{raw!r} cannot be cut into words: {error}") from None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words) or not words[0]:
        raise ValueError(f"{raw!r} is no command: write a list of words, or one text")
    return tuple(words)


def _parse_models(raw: Any) -> dict[str, Command]:
    """`[labels.models.<model>]`, each with a `fetch_command`."""
    if not isinstance(raw, dict):
        raise ValueError("must be tables of the settings file, as in [labels.models.<model>]")
    faults: list[str] = []
    found: dict[str, Command] = {}
    for model, table in raw.items():
        if not isinstance(table, dict) or set(table) != {"fetch_command"}:
            faults.append(f"models.{model} must be a table with the one key 'fetch_command'")
            continue
        try:
            found[model] = _parse_command(table["fetch_command"])
        except ValueError as error:
            faults.append(f"models.{model}.fetch_command: {error}")
    if faults:
        raise ValueError("; ".join(faults))
    return found


@dataclass(frozen=True)
class LabelSettings:
    """Section `[labels]`. What runs a program is read from the settings file alone: it is the operator's to write."""

    section: ClassVar[str] = "labels"

    fetch_command: Command | None = setting(
        None,
        "program that prints labels of the default model as CSV, as `make labels` takes them: a list of words, or one "
        "text, which no shell runs; in the settings file only; off by default",
        parse=_parse_command,
        file_only=True,
    )
    fetch_interval_seconds: float = setting(900.0, "time from one fetching of labels to the next", minimum=1)
    fetch_timeout_seconds: float = setting(300.0, "a fetching program that runs longer is stopped", minimum=1)
    fetch_bytes_max: int = setting(256 * 1024**2, "a fetching program that prints more is stopped", minimum=1024)
    fetch_skip_invalid: bool = setting(
        False, "whether wrong lines are left out and counted; otherwise one of them refuses all that was fetched"
    )
    models: dict[str, Command] | None = setting(
        None,
        "tables `[labels.models.<model>]` with a `fetch_command` for that model; in the settings file only",
        parse=_parse_models,
        file_only=True,
    )

    @property
    def commands(self) -> tuple[tuple[str | None, Command], ...]:
        """What to run for which model; None is the default model. Empty while nothing is to be fetched."""
        own = [] if self.fetch_command is None else [(None, self.fetch_command)]
        return (*own, *sorted((self.models or {}).items()))
