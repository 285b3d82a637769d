"""The logs' commands: `python -m gateway.log seal | verify | expire`.

Exit codes: 0 done, or all intact; 1 something is damaged or could not be done; 2 wrong usage or settings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
import time
from collections.abc import Sequence

from gateway.log import outcomes, retention, seal, verify
from gateway.log.manifest import Sealed, UnreadableChain
from gateway.log.settings import LogSettings
from gateway.settings import InvalidSettings, Paths, load

OK, FAULTY, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        paths, settings = load(Paths, LogSettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return USAGE
    if options.command == "expire" and not retention.is_on(settings):
        print("retention is off: neither [log] retention_days nor retention_bytes is set")
        return OK
    code = _run(options, paths, settings)
    _record(paths, options.command, code)
    return code


def _run(options: argparse.Namespace, paths: Paths, settings: LogSettings) -> int:
    try:
        if options.command == "seal":
            return _seal(paths, options.quiet)
        if options.command == "expire":
            return _expire(paths, settings, options.quiet)
        return _verify(paths, options.head, options.json)
    except (UnreadableChain, OSError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return FAULTY


def _record(paths: Paths, command: outcomes.Command, code: int) -> None:
    """Tell the exporter how it ended. An installation that logged nothing yet is left as it is."""
    if not paths.live.is_dir():
        return
    try:
        outcomes.record(paths.state, command, time.time(), succeeded=code == OK)
    except OSError as error:
        # What was done is done. The record grows old, and an alert says so.
        print(f"how it ended cannot be recorded in {paths.state}: {error.strerror or error}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.log", description="The prediction and label logs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="seal | verify | expire")
    sealing = commands.add_parser(
        "seal",
        help="make finished segments read-only and enter them in the manifest chain",
        description="Make every segment that nobody writes any more read-only and enter it in the manifest chain. "
        "Prints the chain's head: kept on another host, it proves later that nothing before it was changed.",
    )
    sealing.add_argument("--quiet", action="store_true", help="say nothing when there was nothing to seal")
    verifying = commands.add_parser(
        "verify",
        help="check every segment and the manifest chain",
        description="Check every segment and the manifest chain; one line per finding, as path:offset: kind: detail. "
        "A line that begins with 'note' names a harmless trace of a crash. Exit code 0 only when nothing is damaged.",
    )
    verifying.add_argument(
        "--head",
        action="append",
        default=[],
        type=_head,
        metavar="SHA256",
        help="a head that was printed earlier and kept elsewhere: it must be in the chain (may be repeated)",
    )
    verifying.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    expiring = commands.add_parser(
        "expire",
        help="delete sealed segments beyond the limits of the settings",
        description="Delete the sealed segments that are beyond [log] retention_days or retention_bytes, oldest "
        "first; nothing while neither is set. The chain keeps their entries.",
    )
    expiring.add_argument("--quiet", action="store_true", help="say nothing when nothing was beyond the limits")
    return parser


def _seal(paths: Paths, quiet: bool) -> int:
    done = seal.seal(paths.live, time.time, _print_sealed)
    for failure in done.failures:
        print(f"not sealed: {failure.path}: {failure.reason}", file=sys.stderr)
    if done.damaged_chain:
        print("the manifest chain is damaged: 'make verify' says where", file=sys.stderr)
    if done.leftovers_removed:
        print(f"removed {done.leftovers_removed} temporary files that killed processes left")
    if done.sealed or not quiet:
        print(f"{done.being_written} segments are being written; the chain has {done.entries} entries")
        print(f"head {done.head}")
    _warn_of_full_disk(paths)
    return FAULTY if done.failures or done.damaged_chain else OK


def _print_sealed(entry: Sealed) -> None:
    faults = [f"{entry.corrupt_lines} corrupt lines"] if entry.corrupt_lines else []
    faults += [f"{entry.sequence_breaks} sequence breaks"] if entry.sequence_breaks else []
    faults += ["suspect"] if entry.suspect else []
    print(", ".join([f"sealed {entry.path}: {entry.rows:,} rows", f"{entry.bytes:,} bytes", *faults]), flush=True)


def _warn_of_full_disk(paths: Paths) -> None:
    if not paths.live.is_dir():
        return
    ratio = retention.disk_used_ratio(paths.live)
    if ratio >= retention.DISK_WARNING_RATIO:
        print(f"warning: the disk of {paths.live} is {ratio:.0%} full; when it is full, predictions are refused")


def _expire(paths: Paths, settings: LogSettings, quiet: bool) -> int:
    done = retention.expire(paths.live, settings, time.time())
    for entry in done.expired:
        print(f"expired {entry.path}: {entry.reason}")
    for failure in done.failures:
        print(f"kept {failure.path}: {failure.reason}", file=sys.stderr)
    if done.expired or not quiet:
        print(f"{len(done.expired)} segments expired, {done.freed_bytes / 1e6:,.1f} MB are free again")
        print(f"head {done.head}")
    return FAULTY if done.failures else OK


def _verify(paths: Paths, heads: Sequence[str], as_json: bool) -> int:
    findings: list[verify.Finding] = []
    result = verify.verify(paths.live, findings.append if as_json else _print_finding, heads)
    if as_json:
        document = {
            "intact": result.is_intact,
            **dataclasses.asdict(result),
            "findings": [dataclasses.asdict(finding) for finding in findings],
        }
        print(json.dumps(document, indent=2))
    else:
        print(_summary(result))
        print(f"head {result.head}")
    return OK if result.is_intact else FAULTY


def _print_finding(finding: verify.Finding) -> None:
    place = finding.path if finding.offset is None else f"{finding.path}:{finding.offset}"
    print(f"{'' if finding.is_damage else 'note: '}{place}: {finding.kind}: {finding.detail}")


def _summary(result: verify.Verification) -> str:
    verdict = "intact" if result.is_intact else f"DAMAGED ({result.damages} findings)"
    speed = result.bytes / 1e6 / max(result.seconds, 1e-9)
    return (
        f"{verdict}: {result.segments:,} segments ({result.sealed:,} sealed), {result.rows:,} rows, "
        f"{result.bytes / 1e6:,.1f} MB in {result.seconds:.2f} s ({speed:,.0f} MB/s); {result.entries:,} entries"
    )


def _head(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no SHA-256: 64 hexadecimal digits, as 'seal' prints them")
    return text


if __name__ == "__main__":
    sys.exit(main())
