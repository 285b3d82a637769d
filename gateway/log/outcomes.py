"""How the logs' commands ended, in files that others read: is sealing done, when was the log verified last?

`data/state/log_commands/<command>.json`, replaced atomically. A command that could not say how it ended (a full
disk, a kill) leaves the file to grow old, and old is what the alerts look for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec

from gateway.files import make_dirs, read_regular, write_atomically

Command = Literal["seal", "verify", "expire"]
COMMANDS: Sequence[Command] = get_args(Command)


@dataclass(frozen=True)
class Outcome:
    """How a command's newest run ended.

    Attributes:
        ended_at: when, in seconds since the epoch.
        succeeded: whether it did all that it had to; for `verify`, whether it found nothing damaged.
        last_success_at: when its newest successful run ended; None before the first.
    """

    command: Command
    ended_at: float
    succeeded: bool
    last_success_at: float | None


def record(state: Path, command: Command, now: float, *, succeeded: bool) -> None:
    """Record that a run of `command` ended at `now`, in seconds since the epoch. Raises OSError."""
    before = read(state, command)
    last_success_at = now if succeeded else before.last_success_at if before is not None else None
    path = _path(state, command)
    make_dirs(path.parent)
    write_atomically(path, msgspec.json.encode(Outcome(command, now, succeeded, last_success_at)))


def read(state: Path, command: Command) -> Outcome | None:
    """The recorded outcome; None when there is none, or none that can be read. None is never healthy."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(read_regular(_path(state, command)), type=Outcome)
    return None


def read_all(state: Path) -> list[Outcome]:
    """Every recorded outcome."""
    return [outcome for command in COMMANDS if (outcome := read(state, command)) is not None]


def _path(state: Path, command: Command) -> Path:
    return state / "log_commands" / f"{command}.json"
