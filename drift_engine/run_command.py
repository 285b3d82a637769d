"""`python -m drift_engine run`: compare a window of the log with the reference, write a report, say what was found."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa

from drift_engine import exit_codes, junit
from drift_engine.console import TerminalProgress, one_line, print_summary
from drift_engine.errors import DriftError
from drift_engine.exit_codes import BUSY, FAILED, OK, USAGE, Gate
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.output import Output, add_output_arguments
from drift_engine.references import parse_choice
from drift_engine.results.schema import Result, Window
from drift_engine.results.store import ResultError
from drift_engine.run import Committed, Engine
from drift_engine.settings import DriftSettings
from drift_engine.window import adhoc_window, scheduled_window
from gateway.locks import Busy, locked
from gateway.registry import ModelCard, RegistryError
from gateway.registry.card import UnknownModel
from gateway.settings import InvalidSettings, Paths, load

#: How long a person's run waits for another one of that model; the scheduler comes again by itself.
LOCK_WAIT_SECONDS = 60.0
_LOG = logging.getLogger(__name__)

_EPILOG = f"""\
{exit_codes.FAIL_ON_HELP}
exit codes:
  0   every run committed its result, whatever the verdict
  1   a run failed (a result that says so was committed), or its result could not be written
  2   usage, settings, or no such model
  3   --fail-on drift or warning: it is so for a run
  4   --fail-on insufficient: a run had too few rows
  75  another run of the model is under way; without --scheduled only after waiting 60 s for it

Without --window and --since the window is the last 24 hours. Settings: section [drift] of sentinel.toml,
or SENTINEL_DRIFT_... variables.
"""


@dataclass(frozen=True)
class Told:
    """What people are told: `words` on standard output (a document takes their place), `quiet` in one line."""

    words: bool
    quiet: bool


@dataclass(frozen=True)
class Ran:
    """What became of one version: a result, or without one the exit code."""

    result: Result | None
    fault: int = OK

    def code(self, gates: Sequence[Gate]) -> int:
        """The exit code of this version."""
        return self.fault if self.result is None else exit_codes.code_of(exit_codes.judgement(self.result), gates)


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # The C library's allocator gives back what is freed; Arrow's own keeps it, as much again as the window.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        paths, settings, incident_settings = load(Paths, DriftSettings, IncidentSettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return USAGE
    assert isinstance(paths, Paths)
    assert isinstance(settings, DriftSettings)
    assert isinstance(incident_settings, IncidentSettings)
    if options.reference:
        settings = dataclasses.replace(settings, reference=options.reference)
    if options.joint:
        settings = settings.with_joint_check()
    engine = Engine(paths, settings, incident_settings=incident_settings)
    try:
        parse_choice(settings.reference)
        asked = _asked_window(options)
        versions = _versions(engine, options)
    except (RegistryError, DriftError) as error:
        print(error, file=sys.stderr)
        return USAGE
    if not versions:
        # A scheduler may be up before the first model: nothing to do is then no fault.
        print("no model is registered yet: nothing to compare", file=sys.stderr)
        return OK
    output = Output(options.format, options.output)
    told = Told(words=output.says_words, quiet=options.quiet)
    ran = [_run_version(engine, name, version, asked, told) for name, version in versions]
    try:
        _write(output, [run.result for run in ran if run.result is not None], options.fail_on)
    except OSError as error:
        print(f"cannot be written: {error}", file=sys.stderr)
        return FAILED
    return exit_codes.worst(run.code(options.fail_on) for run in ran)


def _parser() -> argparse.ArgumentParser:
    run = argparse.ArgumentParser(
        prog="python -m drift_engine run",
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
        "--reference", metavar="R", help="what to compare with: file, <since>/<until>, rolling:7d or season:4w"
    )
    run.add_argument("--joint", action="store_true", help="let a classifier judge all inputs together, too")
    run.add_argument(
        "--scheduled", action="store_true", help="take the window after the last one, as the scheduler does"
    )
    run.add_argument("--quiet", action="store_true", help="no progress, and one line per run")
    add_output_arguments(run, "where the document of --format goes (reports always go to the reports folder)")
    run.set_defaults(parser=run)
    return run


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


def _run_version(engine: Engine, name: str, version: str, asked: Window | None, told: Told) -> Ran:
    """One run under its lock. A version that cannot be run does not keep the others from running."""
    try:
        card = engine.registry.card(name, version)
        path = engine.paths.state / "locks" / f"drift-{name}-{version}.lock"
        seconds = 0.0 if asked is None else LOCK_WAIT_SECONDS
        with locked(path, f"another run of {name} {version}", wait_seconds=seconds, waiting=_say_waiting):
            return _run(engine, card, asked, told)
    except Busy as error:
        print(error, file=sys.stderr)
        return Ran(None, BUSY)
    except (OSError, RegistryError) as error:
        print(f"{name} {version}: {error}", file=sys.stderr)
        return Ran(None, FAILED)
    except Exception:  # noqa: BLE001 - the edge of the process: one model must not stop the others
        _LOG.exception("the run of %s %s failed", name, version)
        return Ran(None, FAILED)


def _run(engine: Engine, card: ModelCard, asked: Window | None, told: Told) -> Ran:
    window = asked or _next_window(engine, card)
    if window is None:
        print(f"{card.name} {card.version}: nothing has passed since the last window", file=sys.stderr)
        return Ran(None)
    committed = _with_progress(engine, card, window, quiet=told.quiet)
    if told.words and told.quiet:
        print(one_line(committed))
    elif told.words:
        print_summary(committed)
    return Ran(committed.result)


def _write(output: Output, results: Sequence[Result], gates: Sequence[Gate]) -> None:
    if output.format == "json":
        runs = {"format": "sentinelml.runs", "format_version": 1, "runs": list(results)}
        output.write(msgspec.json.format(msgspec.json.encode(runs), indent=2) + b"\n")
    elif output.format == "junit":
        output.write(junit.document([junit.suite_of_result(result, gates) for result in results]))


def _next_window(engine: Engine, card: ModelCard) -> Window | None:
    try:
        latest = engine.store.latest(card.name, card.version)
    except ResultError:
        # Like before the first run. The commit moves the pointer aside and says so.
        latest = None
    return scheduled_window(time.time(), engine.settings.grace_seconds, latest)


def _say_waiting() -> None:
    print(f"another run is under way; waiting for it, {LOCK_WAIT_SECONDS:g} s at most", file=sys.stderr)


def _with_progress(engine: Engine, card: ModelCard, window: Window, *, quiet: bool) -> Committed:
    if quiet:
        return engine.run(card, window)
    with TerminalProgress(f"{card.name} {card.version}") as progress:
        return engine.run(card, window, progress)
