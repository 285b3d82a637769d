"""The registry's commands: `python -m gateway.registry register ...` and `python -m gateway.registry list`.

Those that change what serves are in `gateway.versions`: they ask the model the way that the gateway does.

Exit codes: 0 done, 1 refused (one plain sentence on stderr) or a listed card cannot be read, 2 wrong usage or
settings, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.registry.card import Metric, ModelCard, RegistryError
from gateway.registry.pointer import Serving
from gateway.registry.store import Registry
from gateway.settings import GatewaySettings, InvalidSettings, Paths, load

#: A step that takes longer says what it is doing.
PROGRESS_AFTER_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        paths, settings = load(Paths, GatewaySettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    registry = Registry(paths.models, paths.reference)
    try:
        if options.command == "list":
            return _list(registry)
        return _register(options, registry, f"http://{settings.host}:{settings.port}")
    except RegistryError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was registered unless it was said so above", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.registry", description="The model registry.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="register | list")
    commands.add_parser("list", help="list the registered models and which versions serve")
    register = commands.add_parser(
        "register",
        help="register a fitted scikit-learn model",
        description=(
            "Register a fitted scikit-learn estimator or pipeline with a table that it was evaluated on: rows it was "
            "NOT fitted on, with their true values, in order of time where there is one. Feature types, task, classes "
            "and baseline are inferred. The first version of a name serves at once; a version never changes."
        ),
    )
    register.add_argument(
        "--model-file", type=Path, required=True, metavar="F", help="skops file, or joblib with --trust"
    )
    register.add_argument("--reference", type=Path, required=True, metavar="T", help="CSV, CSV.GZ or Parquet table")
    register.add_argument("--target", required=True, metavar="Y", help="the table's column of true values")
    register.add_argument("--name", required=True, metavar="N", help="the model's name, part of its URL")
    register.add_argument("--version", metavar="V", help="the version's name (default: the next whole number)")
    register.add_argument(
        "--trust", action="store_true", help="load a joblib or pickle file, which runs whatever code is in it"
    )
    register.add_argument(
        "--positive-class", metavar="C", help="the class that precision, recall and F1 speak of, of two classes"
    )
    register.add_argument(
        "--exclude",
        action="extend",
        nargs="+",
        default=[],
        metavar="COL",
        help="columns that are no inputs, for a model that does not know the names of its inputs (a,b or a b)",
    )
    for way, about in (("accept", "categories are rejected"), ("reject", "numbers are accepted")):
        register.add_argument(
            f"--{way}-unseen",
            action="extend",
            nargs="+",
            default=[],
            metavar="COL",
            help=f"features for which the gateway {way}s values that the table does not show, '*' for all ({about} "
            "otherwise)",
        )
    return parser


def _register(options: argparse.Namespace, registry: Registry, address: str) -> int:
    # Here, so that `list` and `--help` answer without loading pandas and scikit-learn.
    from gateway.registry.register import register_with_details
    from gateway.registry.summary import summary

    registration = register_with_details(
        options.model_file,
        options.reference,
        options.target,
        options.name,
        registry=registry,
        version=options.version,
        trust=options.trust,
        positive_class=options.positive_class,
        exclude=_columns(options.exclude),
        unseen={
            **dict.fromkeys(_columns(options.accept_unseen), "accept"),
            **dict.fromkeys(_columns(options.reject_unseen), "reject"),
        },
        now=time.time(),
        progress=_progress,
    )
    print(summary(registration, address))
    return 0


def _columns(items: Sequence[str]) -> list[str]:
    return [column for item in items for column in item.split(",") if column]


def _list(registry: Registry) -> int:
    serving = registry.serving()
    entries = list(_entries(registry))
    if not entries:
        print(f"no model is registered in {registry.models}; 'make register' registers one, 'make demo' makes one")
        return 0
    heading = ("NAME", "VERSION", "SERVES", "TASK", "REFERENCE", "BASELINE", "REGISTERED")
    rows = [heading, *(entry if isinstance(entry, str) else _row(entry, serving) for entry in entries)]
    widths = [max(len(row[column]) for row in rows if not isinstance(row, str)) for column in range(len(heading))]
    for row in rows:
        cells = row if isinstance(row, str) else "  ".join(map(str.ljust, row, widths))
        print(cells.rstrip())
    return 1 if any(isinstance(entry, str) for entry in entries) else 0


def _entries(registry: Registry) -> Iterator[ModelCard | str]:
    """Every version's card; of one that cannot be read a line with its fault."""
    for name in registry.names():
        try:
            versions = registry.versions(name)
        except RegistryError as error:
            yield f"cannot be read: {error}"
            continue
        for version in versions:
            try:
                yield registry.card(name, version)
            except (RegistryError, OSError) as error:
                yield f"{name} {version} cannot be read: {error}"


def _row(card: ModelCard, serving: Serving) -> tuple[str, ...]:
    first: Metric | None = card.baseline[0] if card.baseline else None
    return (
        card.name,
        card.version,
        serving.role(card.name, card.version),
        card.task,
        f"{card.reference_rows:,} rows",
        f"{first.name} {first.value:.4g}" if first else "",
        card.created_at[:19] + "Z",
    )


@contextmanager
def _progress(step: str) -> Iterator[None]:
    """Say what is under way when it takes a while, and how long it took."""
    started = time.monotonic()
    timer = threading.Timer(PROGRESS_AFTER_SECONDS, lambda: print(f"{step} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        seconds = time.monotonic() - started
        if seconds > PROGRESS_AFTER_SECONDS:
            print(f"{step} took {seconds:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
