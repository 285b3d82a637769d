"""`python -m drift_engine run`: compare a window of the log with the reference, write a report, say what was found."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from drift_engine.console import TerminalProgress, one_line, print_summary
from drift_engine.errors import DriftError
from drift_engine.results.schema import Window
from drift_engine.results.store import ResultError
from drift_engine.run import Committed, Engine
from drift_engine.settings import DriftSettings
from drift_engine.window import adhoc_window, scheduled_window
from gateway.files import make_dirs
from gateway.registry import ModelCard, RegistryError
from gateway.registry.card import UnknownModel
from gateway.settings import InvalidSettings, Paths, load

OK, FAILED, USAGE, BUSY = 0, 1, 2, 75
#: How long a person's run waits for another one of that model; the scheduler comes again by itself.
LOCK_WAIT_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.2
_LOG = logging.getLogger(__name__)

_EPILOG = """\
exit codes:
  0   every run committed its result, whatever the verdict
  1   a run failed (a result that says so was committed), or its result could not be written
  2   usage, settings, or no such model
  75  another run of the model is under way; without --scheduled only after waiting 60 s for it

Without --window and --since the window is the last 24 hours. Settings: section [drift] of sentinel.toml,
or SENTINEL_DRIFT_... variables.
"""


class AlreadyRunning(Exception):
    """Another run of this model version holds the lock."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # The C library's allocator gives back what is freed; Arrow's own keeps it, as much again as the window.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        paths, settings = load(Paths, DriftSettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return USAGE
    assert isinstance(paths, Paths)
    assert isinstance(settings, DriftSettings)
    engine = Engine(paths, settings)
    try:
        asked = _asked_window(options)
        versions = _versions(engine, options)
    except (RegistryError, DriftError) as error:
        print(error, file=sys.stderr)
        return USAGE
    if not versions:
        # A scheduler may be up before the first model: nothing to do is then no fault.
        print("no model is registered yet: nothing to compare", file=sys.stderr)
        return OK
    return _worst([_run_version(engine, name, version, asked, options.quiet) for name, version in versions])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m drift_engine", description=__doc__.split(": ", 1)[1])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="compare a window of the prediction log with the reference",
        description="Compare a window of the prediction log with the model's reference and write a report.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--name", help="the model (default: every serving one)")
    run.add_argument("--version", help="its version (default: the serving one); needs --name")
    run.add_argument("--window", metavar="24h", help="how long the window is: 24h, 90m, 7d, 1h30m")
    run.add_argument("--since", metavar="T", help="where the window starts, e.g. 2026-11-20T15:00:00Z")
    run.add_argument("--until", metavar="T", help="where it ends (default: now)")
    run.add_argument(
        "--scheduled", action="store_true", help="take the window after the last one, as the scheduler does"
    )
    run.add_argument("--quiet", action="store_true", help="no progress, and one line per run")
    run.set_defaults(parser=run)
    return parser


def _asked_window(options: argparse.Namespace) -> Window | None:
    """The window that was asked for, the same for all models; None when each continues its last one."""
    if not options.scheduled:
        return adhoc_window(time.time(), length=options.window, since=options.since, until=options.until)
    if options.window or options.since or options.until:
        options.parser.error("--scheduled finds its window by itself: leave out --window, --since and --until")
    return None


def _versions(engine: Engine, options: argparse.Namespace) -> list[tuple[str, str]]:
    """Names and versions to run, sorted. Raises RegistryError when nothing of the kind is registered."""
    if options.version and not options.name:
        options.parser.error("--version needs --name")
    if options.name:
        card = engine.registry.resolve(options.name, options.version)
        return [(card.name, card.version)]
    serving = engine.registry.serving().versions
    if not serving and not options.scheduled:
        raise UnknownModel("no model is registered yet; 'make register' registers one, 'make demo' makes one")
    return sorted(serving.items())


def _run_version(engine: Engine, name: str, version: str, asked: Window | None, quiet: bool) -> int:
    """One run under its lock. A version that cannot be run does not keep the others from running."""
    try:
        card = engine.registry.card(name, version)
        path = engine.paths.state / "locks" / f"drift-{name}-{version}.lock"
        with _lock(path, 0.0 if asked is None else LOCK_WAIT_SECONDS):
            return _run(engine, card, asked, quiet)
    except AlreadyRunning:
        print(f"another run of {name} {version} is under way", file=sys.stderr)
        return BUSY
    except (OSError, RegistryError) as error:
        print(f"{name} {version}: {error}", file=sys.stderr)
        return FAILED
    except Exception:  # noqa: BLE001 - the edge of the process: one model must not stop the others
        _LOG.exception("the run of %s %s failed", name, version)
        return FAILED


def _run(engine: Engine, card: ModelCard, asked: Window | None, quiet: bool) -> int:
    window = asked or _next_window(engine, card)
    if window is None:
        print(f"{card.name} {card.version}: nothing has passed since the last window", file=sys.stderr)
        return OK
    committed = _with_progress(engine, card, window, quiet=quiet)
    if quiet:
        print(one_line(committed))
    else:
        print_summary(committed)
    return FAILED if committed.result.outcome == "failed" else OK


def _next_window(engine: Engine, card: ModelCard) -> Window | None:
    try:
        latest = engine.store.latest(card.name, card.version)
    except ResultError:
        # Like before the first run. The commit moves the pointer aside and says so.
        latest = None
    return scheduled_window(time.time(), engine.settings.grace_seconds, latest)


def _with_progress(engine: Engine, card: ModelCard, window: Window, *, quiet: bool) -> Committed:
    if quiet:
        return engine.run(card, window)
    with TerminalProgress(f"{card.name} {card.version}") as progress:
        return engine.run(card, window, progress)


@contextmanager
def _lock(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of one model version; the kernel frees it however the process ends.

    Raises AlreadyRunning when another run still holds it after `wait_seconds`.
    """
    make_dirs(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_seconds
        waiting = False
        while not _is_taken(fd):
            if time.monotonic() >= deadline:
                raise AlreadyRunning(str(path))
            if not waiting:
                print(f"another run is under way; waiting for it, {wait_seconds:g} s at most", file=sys.stderr)
                waiting = True
            time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(fd)


def _is_taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _worst(codes: Sequence[int]) -> int:
    """A failure outweighs a run that was busy."""
    return max(codes, key=(OK, BUSY, FAILED).index)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
