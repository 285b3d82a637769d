"""`python -m drift_engine reproduce RUN`: repeat a run and compare every figure with the recorded one."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from drift_engine import exit_codes
from drift_engine.errors import DriftError
from drift_engine.reading.log_files import InputGone
from drift_engine.reproduce import InputsChanged, InputsGone, NotRepeatable, Reproduction, UnknownRun, reproduce
from gateway.registry import RegistryError
from gateway.settings import InvalidSettings, Paths, load

_EPILOG = """\
exit codes:
  0   every figure came out as it was recorded
  1   a figure differs; which, and whether libraries differ, is said
  2   usage, settings, no such run, or one that cannot be repeated (a failed run)
  5   an input has expired or was removed: nothing can be shown
  6   an input is not what the run read, by its hash

Window, settings, seed and inputs are the recorded ones; what was logged since has no say. Times, the run's id and
library versions are not figures.
"""
_SHOWN_MAX = 40


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        (paths,) = load(Paths)
        assert isinstance(paths, Paths)
        found = reproduce(paths, options.run)
    except (InvalidSettings, UnknownRun, NotRepeatable) as error:
        return _refuse(error, exit_codes.USAGE)
    except InputsChanged as error:
        return _refuse(error, exit_codes.CHANGED)
    except (InputsGone, InputGone, RegistryError) as error:
        return _refuse(error, exit_codes.EXPIRED)
    except (DriftError, OSError) as error:
        return _refuse(error, exit_codes.FAILED)
    _print(found)
    return exit_codes.FAILED if found.differences else exit_codes.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m drift_engine reproduce",
        description="Repeat a run from the inputs, settings and seed that it recorded, and compare to the digit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="the run's id, e.g. 20261120T151139.123456Z-1a2b3c")
    return parser


def _refuse(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)
    return code


def _print(found: Reproduction) -> None:
    run = found.recorded
    files = len(run.inputs) + (len(run.reference.inputs) if run.reference else 0)
    print(f"run {run.run_id} of {run.model_name} {run.model_version}: {files} files and the reference are what it read")
    for note in found.notes:
        print(f"note: {note}")
    for name, before, now in found.libraries:
        print(f"library: {name} was {before}, is {now}")
    if not found.differences:
        print(f"reproduced: all {found.figures:,} values are equal")
        return
    print(f"NOT REPRODUCED: {len(found.differences)} of {found.figures:,} values differ")
    for item in found.differences[:_SHOWN_MAX]:
        print(f"  {item.place}: recorded {item.recorded!r}, now {item.repeated!r}")
    if len(found.differences) > _SHOWN_MAX:
        print(f"  and {len(found.differences) - _SHOWN_MAX} more")
