"""`python -m drift_engine replay`: ask a version what was logged, and say where its answers differ."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from drift_engine.arguments import count, refuse
from drift_engine.console import TerminalProgress
from drift_engine.errors import DriftError
from drift_engine.exit_codes import DIFFERS, FAILED, INSUFFICIENT, OK, USAGE
from drift_engine.reading.logged import EVER
from drift_engine.replay.page import details, headline
from drift_engine.replay.replay import CHANGES, PAGE, NothingToReplay, Order, new_replay_id, replay
from drift_engine.replay.schema import Replay
from drift_engine.sentences import number, percent, printable
from drift_engine.settings import DriftSettings
from drift_engine.window import moment_asked
from gateway.clock import utc_text
from gateway.registry import Registry, RegistryError
from gateway.registry.compatibility import refuse_unlike
from gateway.settings import InvalidSettings, Paths, load

_ROWS_MAX = 1_000_000
_SEGMENTS_SHOWN_MAX = 5
_EPILOG = """\
exit codes:
  0   the version was asked, however much its answers differ
  1   something failed: an artifact that is not the registered one, rows that it cannot score, a full disk
  2   usage, settings, no such model or version, or one that takes other features
  4   no logged row of that time, or none that the version takes
  8   a version on its own log: the log is not what it answers now

Without --log the log is that of the serving version. A version on its own log shows whether what was logged is what the
registered artifact answers here and now. Nothing is promoted, and nothing is written into the log.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # The C library's allocator gives back what is freed; Arrow's own keeps it.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        paths, settings = load(Paths, DriftSettings)
        assert isinstance(paths, Paths)
        assert isinstance(settings, DriftSettings)
        order = _order(paths, options, settings.seed)
    except (InvalidSettings, RegistryError, DriftError) as error:
        return refuse(error, USAGE)
    return _run(paths, order)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m drift_engine replay",
        description="Ask a version of a model what was logged of another one, and show where its answers differ.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", required=True, help="the model")
    parser.add_argument("--version", required=True, help="the version to ask")
    parser.add_argument("--log", metavar="VERSION", help="the version whose log is replayed (default: the serving one)")
    parser.add_argument("--since", metavar="T", help="rows from then on, e.g. 2026-11-20T15:00:00Z (default: all)")
    parser.add_argument("--until", metavar="T", help="rows before then (default: all)")
    parser.add_argument(
        "--rows", type=count, default=_ROWS_MAX, metavar="N", help="the newest so many rows (default: %(default)s)"
    )
    return parser


def _order(paths: Paths, options: argparse.Namespace, seed: int) -> Order:
    """Raises RegistryError, InvalidWindow."""
    registry = Registry(paths.models, paths.reference)
    card = registry.resolve(options.name, options.version)
    log = registry.resolve(options.name, options.log)
    if card.version != log.version:
        refuse_unlike(log, card)
    since, until = (
        default if asked is None else utc_text(moment_asked(asked))
        for asked, default in zip((options.since, options.until), EVER, strict=True)
    )
    return Order(card, log, since, until, options.rows, seed)


def _run(paths: Paths, order: Order) -> int:
    started = time.time()
    try:
        with TerminalProgress(f"{order.card.name} {order.card.version}") as progress:
            found, folder = replay(paths, order, replay_id=new_replay_id(started), now=started, progress=progress)
    except NothingToReplay as error:
        return refuse(error, INSUFFICIENT)
    except (DriftError, RegistryError, OSError) as error:
        return refuse(error, FAILED)
    _tell(found, folder)
    return DIFFERS if found.differing else OK


def _tell(found: Replay, folder: Path) -> None:
    print(f"{headline(found)}  ({found.model_name} {found.model_version} on the log of {found.log_version})")
    for line in details(found):
        print(printable(line))
    if found.confusion is not None and found.changed.count:
        print(f"from what to what: {_moves(found)}")
    for segment in found.segments[:_SEGMENTS_SHOWN_MAX]:
        here, rest = (
            (percent(value) if found.confusion else number(value)) for value in (segment.change, segment.elsewhere)
        )
        print(printable(f"  {segment.feature} {segment.text}: {here} of {segment.rows:,} rows (elsewhere {rest})"))
    for note in found.notes:
        print(f"note: {note}")
    print(f"rows that changed most: {folder / CHANGES}")
    print(f"report: {folder / PAGE}")


def _moves(found: Replay) -> str:
    assert found.confusion is not None
    classes = found.confusion.classes
    moves = [
        (count, f"{before} -> {after} {count:,}")
        for before, row in zip(classes, found.confusion.counts, strict=True)
        for after, count in zip(classes, row, strict=True)
        if before != after and count
    ]
    return printable(", ".join(text for _, text in sorted(moves, key=lambda move: -move[0])[:5]))
