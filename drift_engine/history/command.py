"""`python -m drift_engine history`: keep what each day came to, and score days again whose labels have come."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence

import pyarrow as pa

from drift_engine.console import TerminalProgress
from drift_engine.exit_codes import BUSY, FAILED, OK, USAGE, worst
from drift_engine.history.job import HistoryJob, Made
from drift_engine.run import Progress, Silent
from drift_engine.settings import DriftSettings
from gateway.locks import Busy, locked
from gateway.registry import Registry, RegistryError
from gateway.settings import InvalidSettings, Paths, convert, load

_LOG = logging.getLogger(__name__)

_EPILOG = """\
exit codes:
  0   everything is up to date
  1   a model's history could not be written or read
  2   usage, settings, or no such model
  75  another history job of a model is under way

A day is made when it has no record, while it is not over, and when labels of its predictions have come. A day whose
predictions have expired from the log keeps its record. Settings: [drift] history_days, labelled_rows_min.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # The C library's allocator gives back what is freed; Arrow's own keeps it, as much again as a day.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        paths, settings = load(Paths, DriftSettings)
        days = settings.history_days if options.days is None else convert(DriftSettings, "history_days", options.days)
        names = _names(Registry(paths.models, paths.reference), options)
    except (InvalidSettings, RegistryError, ValueError) as error:
        print(error, file=sys.stderr)
        return USAGE
    return worst([_history(paths, settings, name, days, options) for name in names])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m drift_engine history",
        description="Keep what each day's predictions came to, and score days again whose labels have come.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", help="the model (default: every registered one)")
    parser.add_argument("--version", help="its version (default: every one that has answered); needs --name")
    parser.add_argument("--days", metavar="90", help="how many days back, today among them")
    parser.add_argument(
        "--seconds-max",
        type=float,
        default=math.inf,
        metavar="S",
        help="begin no day after so long; the next time does",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no progress, and one line per model, as for the scheduler"
    )
    parser.set_defaults(parser=parser)
    return parser


def _names(registry: Registry, options: argparse.Namespace) -> list[str]:
    """The models to look at. Raises RegistryError."""
    if options.version and not options.name:
        options.parser.error("--version needs --name")
    if options.name:
        registry.resolve(options.name, options.version or _any_version(registry, options.name))
        return [options.name]
    return registry.names()


def _any_version(registry: Registry, name: str) -> str | None:
    return next(iter(registry.versions(name)), None)


def _history(paths: Paths, settings: DriftSettings, name: str, days: int, options: argparse.Namespace) -> int:
    """One model, under its lock. A model that cannot be read does not keep the others from their history."""
    try:
        lock = locked(paths.state / "locks" / f"history-{name}.lock", f"another history job of {name}")
        with lock, _progress(name, options.quiet) as progress:
            job = HistoryJob(paths, settings, time.time(), progress, days)
            made = _made(job.run(name, options.version), options.seconds_max)
        _say(name, made, options.quiet)
    except Busy as error:
        print(error, file=sys.stderr)
        return BUSY
    except (OSError, RegistryError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return FAILED
    except Exception:  # noqa: BLE001 - the edge of the process: one model must not stop the others
        _LOG.exception("the history of %s failed", name)
        return FAILED
    return OK


def _made(days: Iterator[Made], seconds_max: float) -> list[Made]:
    """The days made until the time is over."""
    end, made = time.monotonic() + seconds_max, []
    for item in days:
        made.append(item)
        if time.monotonic() > end:
            break
    return made


def _progress(name: str, quiet: bool) -> contextlib.AbstractContextManager[Progress]:
    return contextlib.nullcontext(Silent()) if quiet else TerminalProgress(f"history of {name}")


def _say(name: str, made: Sequence[Made], quiet: bool) -> None:
    again = sum(item.before is not None and item.before.complete for item in made)
    print(f"{name}: {len(made)} days made, {again} of them scored again" if made else f"{name}: up to date")
    for item in () if quiet else sorted(made, key=lambda item: (item.record.model_version, item.record.day)):
        print(f"  {_line(item)}")


def _line(made: Made) -> str:
    record = made.record
    labelled = f"{record.labels.labelled:,} labelled"
    if made.before is not None:
        labelled += f" (before: {made.before.labels.labelled:,})"
    figure = next((metric for metric in record.performance.metrics if metric.name in ("accuracy", "mae")), None)
    quality = "" if figure is None else f", {figure.name} {figure.value:.4g}"
    state = "" if record.complete else ", not over yet"
    return f"{record.model_version} {record.day}: {record.predictions:,} predictions, {labelled}{quality}{state}"
