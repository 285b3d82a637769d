"""`python -m gateway.versions promote fraud 2`: what serves, who takes part of its requests, who shadows it.

A version is loaded and asked its check rows before it comes into use, the way that the gateway will do it. Running
gateways follow within `[gateway] reload_seconds`; no request is refused meanwhile.

Exit codes: 0 done (or so already), 1 refused, 2 wrong usage or settings, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence

from gateway.registry import Registry, RegistryError, Serving
from gateway.registry.changes import Change, Changes
from gateway.settings import InvalidSettings, Paths, load

DONE, REFUSED, USAGE, STOPPED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        (paths,) = load(Paths)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return USAGE
    registry = Registry(paths.models, paths.reference)
    changes = Changes(registry, lambda name, version: _check(registry, name, version), time.time, options.why)
    try:
        change = _run(changes, options)
    except RegistryError as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("stopped; 'make models' says what serves", file=sys.stderr)
        return STOPPED
    for note in change.notes:
        print(f"note: {note}", file=sys.stderr)
    print(_sentence(options.name, change))
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.versions", description="Say which versions of a model answer its requests."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="promote | rollback | default | ...")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("name", metavar="NAME", help="the model")
    common.add_argument("--why", default="", metavar="TEXT", help="the reason, for the audit file")

    promote = commands.add_parser("promote", parents=[common], help="let a version serve")
    promote.add_argument("version", metavar="VERSION")
    commands.add_parser("rollback", parents=[common], help="let the version serve that served before")
    commands.add_parser("default", parents=[common], help="let POST /predict ask this model")
    split = commands.add_parser("split", parents=[common], help="let a second version answer a share of the requests")
    _add_version_or_off(split)
    split.add_argument("--share", type=float, default=0.1, help="its part of the requests, between 0 and 1 (0.1)")
    shadow = commands.add_parser("shadow", parents=[common], help="let a version score the requests and answer none")
    _add_version_or_off(shadow)
    return parser


def _add_version_or_off(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("version", nargs="?", metavar="VERSION")
    which.add_argument("--off", action="store_true", help="end it")


def _run(changes: Changes, options: argparse.Namespace) -> Change:
    name = options.name
    if options.command == "promote":
        return changes.promote(name, options.version)
    if options.command == "rollback":
        return changes.rollback(name)
    if options.command == "default":
        return changes.make_default(name)
    if options.command == "split":
        return changes.end_split(name) if options.off else changes.split(name, options.version, options.share)
    return changes.end_shadow(name) if options.off else changes.shadow(name, options.version)


def _check(registry: Registry, name: str, version: str) -> None:
    """Load the version as a gateway worker would, and let it prove its answers. Raises RegistryError."""
    from gateway.serving.scoring.model import LoadedModel

    try:
        # As in a worker: scikit-learn warns on rows in array form, which was proven at registration.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            LoadedModel.load(registry, name, version)
    except OSError as error:
        raise RegistryError(f"{name} {version} cannot be read: {error}") from error


def _sentence(name: str, change: Change) -> str:
    """What serves now, as the pointer says it."""
    serving = change.after
    parts = [f"{name} {serving.versions.get(name, '(none)')} serves", *_extras(name, serving)]
    was = change.before.versions.get(name)
    if change.after == change.before:
        parts.append("so it was already, nothing changed")
    elif was not in (None, serving.versions.get(name)):
        parts.append(f"before: {was}")
    return "; ".join(parts)


def _extras(name: str, serving: Serving) -> list[str]:
    split, shadow = serving.splits.get(name), serving.shadows.get(name)
    return [
        *(["it answers POST /predict"] if serving.default_model == name else []),
        *([f"{split.version} answers {split.share:.3g} of the requests"] if split else []),
        *([f"{shadow} shadows"] if shadow else []),
    ]


if __name__ == "__main__":
    sys.exit(main())
