"""What was done when retraining was recommended: one line before it is done, one after.

```
reports/<name>/<version>/actions.jsonl    append-only; one JSON object a line, each synced before the next step
```
At most once: an action of one kind for one incident is never begun again once its first line is on disk, however it
ended and whether anybody knows. A last line without its line feed was never synced as a whole: it says nothing, and
the next writer cuts it off.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from gateway.files import fsync_dir, make_dirs, write_all
from gateway.registry.card import check_name, check_version

FORMAT_VERSION = 1
Kind = Literal["command", "webhook"]
KINDS: tuple[Kind, ...] = ("command", "webhook")


class ActionLogError(Exception):
    """The file cannot be read: damaged, or of a newer format. Whoever cannot tell what was done must do nothing."""


@dataclass(frozen=True)
class Begun:
    """About to be done.

    Attributes:
        at: RFC 3339 in UTC.
        incident: the id of the incident that it is for.
        target: the program, or the scheme and host of the webhook; words and paths may hold secrets.
        reasons: of the decision; run `run_id` made it.
    """

    at: str
    kind: Kind
    incident: str
    target: str
    run_id: str
    reasons: tuple[str, ...]
    event: Literal["begun"] = "begun"
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Ended:
    """Done, or tried. `code`: exit code of the command (128 + n for signal n) or the webhook's HTTP status.

    `detail` says in words why it failed; `output` is the end of what the command printed.
    """

    at: str
    kind: Kind
    incident: str
    outcome: Literal["ok", "failed", "timeout"]
    code: int | None
    detail: str
    output: str
    event: Literal["ended"] = "ended"
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Action:
    """One action; `ended` is None while it is under way, and for ever where its process died."""

    begun: Begun
    ended: Ended | None


@dataclass(frozen=True)
class _Head:
    event: Literal["begun", "ended"]
    format_version: int


class ActionLog:
    """The actions under one `reports` folder. One writer at a time."""

    def __init__(self, reports: Path) -> None:
        self.reports = reports

    def path(self, name: str, version: str) -> Path:
        """The file of one model version. Raises RegistryError for names that could leave `reports`."""
        return self.reports / check_name(name) / check_version(version) / "actions.jsonl"

    def versions(self, name: str) -> list[str]:
        """The versions of a model that have a file, sorted."""
        return sorted(path.parent.name for path in (self.reports / check_name(name)).glob("*/actions.jsonl"))

    def read(self, name: str, version: str) -> tuple[Action, ...]:
        """Oldest first; empty where there is no file. Raises ActionLogError."""
        path = self.path(name, version)
        try:
            *lines, _torn = path.read_bytes().split(b"\n")
            return _paired([_decoded(line) for line in lines])
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, RecursionError) as error:
            raise ActionLogError(f"{path}: {error}") from None

    def append(self, name: str, version: str, line: Begun | Ended) -> None:
        """Add a line; on return it is on disk. Raises OSError."""
        path = self.path(name, version)
        make_dirs(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            _cut_torn_line(fd)
            write_all(fd, msgspec.json.encode(line) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        fsync_dir(path.parent)


def _decoded(line: bytes) -> Begun | Ended:
    head = msgspec.json.decode(line, type=_Head)
    if head.format_version > FORMAT_VERSION:
        raise ValueError(f"format version {head.format_version} is newer than this program's {FORMAT_VERSION}")
    if head.event == "begun":
        return msgspec.json.decode(line, type=Begun)
    return msgspec.json.decode(line, type=Ended)


def _paired(lines: list[Begun | Ended]) -> tuple[Action, ...]:
    found: dict[tuple[str, str], Action] = {}
    for line in lines:
        key = line.incident, line.kind
        if isinstance(line, Begun):
            found[key] = Action(line, None)
        elif key in found:
            found[key] = Action(found[key].begun, line)
    return tuple(found.values())


def _cut_torn_line(fd: int) -> None:
    """Take away what follows the last line feed: a line that was never synced as a whole."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    if data and not data.endswith(b"\n"):
        os.ftruncate(fd, data.rfind(b"\n") + 1)
