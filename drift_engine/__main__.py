"""`python -m drift_engine <command>`: hands over to the command's module, and imports no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from drift_engine.exit_codes import OK, USAGE


@dataclass(frozen=True)
class _Command:
    """`module` has a `main(arguments) -> int`; `about` is its line in the list of commands."""

    module: str
    about: str


_COMMANDS = {
    "run": _Command("drift_engine.run_command", "compare a window of the prediction log with the model's reference"),
    "compare": _Command("drift_engine.comparison.command", "compare any two tables, without a running system"),
    "history": _Command("drift_engine.history.command", "keep what each day came to, scored again as labels come"),
    "reproduce": _Command("drift_engine.reproduce_command", "repeat a run from what it recorded, and compare figures"),
    "act": _Command("drift_engine.actions.command", "do what the settings say where retraining is recommended"),
    "retrain": _Command("drift_engine.retraining.command", "fit a candidate on labelled live rows, and compare it"),
    "replay": _Command("drift_engine.replay.command", "ask a version what was logged, and show where it differs"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in _COMMANDS:
        return int(importlib.import_module(_COMMANDS[words[0]].module).main(words[1:]))
    if words and words[0] in ("-h", "--help"):
        print(_usage())
        return OK
    said = f"no command {words[0]!r}" if words else "a command is required"
    print(f"{_usage()}\n\nerror: {said}", file=sys.stderr)
    return USAGE


def _usage() -> str:
    lines = [f"  {name:<10} {command.about}" for name, command in _COMMANDS.items()]
    return "\n".join(["usage: python -m drift_engine <command> [--help]", "", "commands:", *lines])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
