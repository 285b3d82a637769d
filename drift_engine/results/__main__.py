"""`python -m drift_engine.results expire`: delete the pages of runs older than `[log] reports_days`.

Exit codes: 0 done, 1 a page could not be deleted, 2 wrong usage or settings.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from drift_engine.results.retention import expire_reports
from drift_engine.results.store import ResultStore
from gateway.log.settings import LogSettings
from gateway.settings import InvalidSettings, Paths, load


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m drift_engine.results", description="The results of drift runs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="expire")
    commands.add_parser("expire", help="delete the pages of runs older than [log] reports_days; figures stay")
    parser.parse_args(arguments)
    try:
        paths, settings = load(Paths, LogSettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    if settings.reports_days is None:
        print("reports are kept: [log] reports_days is not set")
        return 0
    try:
        done = expire_reports(ResultStore(paths.reports), settings.reports_days, time.time())
    except OSError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    if done.runs:
        print(f"deleted the pages of {len(done.runs)} runs, {done.freed_bytes / 1e6:,.1f} MB; their figures stay")
    return 0


if __name__ == "__main__":
    sys.exit(main())
