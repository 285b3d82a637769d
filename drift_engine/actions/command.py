"""`python -m drift_engine act`: do what the settings say where retraining is recommended, once per incident."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from drift_engine.actions.act import Actor, Due
from drift_engine.actions.settings import RetrainingSettings
from drift_engine.exit_codes import BUSY, FAILED, OK, USAGE
from drift_engine.results.actions import KINDS, ActionLogError
from drift_engine.results.incidents import IncidentError
from drift_engine.results.store import ResultError
from drift_engine.sentences import printable
from gateway.locks import Busy, locked
from gateway.registry import Registry, RegistryError
from gateway.settings import InvalidSettings, Paths, load

_EPILOG = """\
exit codes:
  0   nothing was to be done, or all of it succeeded
  1   an action failed, or it could not be told what is to be done
  2   usage, settings, or an unreadable registry
  75  another one is at work

Settings: section [retraining] of sentinel.toml, or SENTINEL_RETRAINING_... variables. What was done stands in
actions.jsonl beside the results; nothing in it is done again.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        paths, settings = load(Paths, RetrainingSettings)
        assert isinstance(paths, Paths)
        assert isinstance(settings, RetrainingSettings)
        versions = sorted(Registry(paths.models, paths.reference).serving().versions.items())
    except (InvalidSettings, RegistryError) as error:
        print(error, file=sys.stderr)
        return USAGE
    if not settings.is_on:
        _say("nothing is set to be done: [retraining] has no command and no webhook", options.quiet)
        return OK
    # A scheduler that stops takes us along, and we take the command along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    actor = Actor(paths.reports, settings, time.time)
    try:
        with locked(paths.state / "locks" / "actions.lock", "another 'act'"):
            return _act_on_all(actor, versions, quiet=options.quiet)
    except Busy as error:
        print(error, file=sys.stderr)
        return BUSY
    except OSError as error:
        print(f"the lock of actions cannot be had: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m drift_engine act",
        description="Run the command, and post to the webhook, of [retraining] where retraining is recommended.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing where nothing was to be done")
    return parser


def _act_on_all(actor: Actor, versions: Sequence[tuple[str, str]], *, quiet: bool) -> int:
    """Do what is due; one version or action that fails does not keep the others waiting."""
    due: list[Due] = []
    known = [_find(actor, name, version, due) for name, version in versions]
    if not due and all(known):
        _say("nothing is to be done", quiet)
    # Commands first: a webhook that hangs leaves a thread behind, and a process is best started without.
    done = [_one(actor, item) for item in sorted(due, key=lambda item: KINDS.index(item.kind))]
    return OK if all(known) and all(done) else FAILED


def _find(actor: Actor, name: str, version: str, due: list[Due]) -> bool:
    """Add what is due for a version; False where that cannot be told."""
    try:
        due += actor.due(name, version)
    except (ActionLogError, IncidentError, ResultError, RegistryError) as error:
        print(f"{name} {version}: {error}", file=sys.stderr)
        return False
    return True


def _one(actor: Actor, due: Due) -> bool:
    subject = f"{due.model_name} {due.model_version} {due.incident.id}: {due.kind}"
    try:
        ended = actor.act(due)
    except OSError as error:
        print(f"{subject}: cannot be recorded: {error}", file=sys.stderr)
        return False
    detail = f" ({ended.detail})" if ended.detail else ""
    print(printable(f"{subject} {ended.outcome}{detail}"))
    return ended.outcome == "ok"


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text)
