"""`python -m gateway.fetch_labels`: run the operator's commands and record the labels that they print.

What a command prints is kept in `data/state/fetched-<model>.csv` until it is recorded, by the rules of
`make labels`; where it is refused it stays there to be looked at, until the next time. A command that fails, takes
too long or prints too much gives no label at all. Killed at any moment, the next fetch begins anew: labels that
were recorded are skipped.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from gateway.files import make_dirs
from gateway.import_labels import (
    DONE,
    REFUSED,
    STOPPED,
    USAGE,
    ImportBusy,
    ImportRefused,
    InvalidLines,
    import_labels,
    print_faults,
    summary,
)
from gateway.label_file import UnreadableFile
from gateway.label_settings import Command, LabelSettings
from gateway.locks import Busy, locked
from gateway.process_group import die_with_parent, ends_by, stop_group
from gateway.registry import Registry, RegistryError
from gateway.settings import GatewaySettings, InvalidSettings, Paths, load

FAILED, BUSY = 3, os.EX_TEMPFAIL
#: How long a command that is stopped may take to clean up.
KILL_AFTER_SECONDS = 5.0
_BLOCK_BYTES = 1 << 16

_EPILOG = """\
exit codes, the gravest of all models:
  0   all that was fetched is recorded, or was before
  1   what was fetched was refused, or not all of it could be recorded
  2   settings, no such model, or no command is set
  3   a command failed, could not be started, took too long or printed too much: nothing of it is recorded
  75  another fetch, or an import of that model's labels, is under way
"""


class CommandFailed(Exception):
    """A command did not do what it should; the text says what happened. Nothing of its output is used."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        paths, gateway, settings = load(Paths, GatewaySettings, LabelSettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return USAGE
    chosen = [(name, command) for name, command in settings.commands if options.name in (None, name)]
    if not chosen:
        where = "[labels]" if options.name is None else f"[labels.models.{options.name}]"
        print(f"nothing to fetch: {where} fetch_command is not set", file=sys.stderr)
        return USAGE
    # As at Ctrl-C: what was started is stopped, and the lock is let go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with locked(paths.state / "locks" / "fetch-labels.lock", "another fetch"):
            return _worst([_fetch(name, command, paths, gateway, settings) for name, command in chosen])
    except Busy as error:
        print(error, file=sys.stderr)
        return BUSY
    except OSError as error:
        print(f"cannot be fetched: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("stopped; labels that are recorded are skipped the next time", file=sys.stderr)
        return STOPPED


def _fetch(name: str | None, command: Command, paths: Paths, gateway: GatewaySettings, settings: LabelSettings) -> int:
    """Fetch and record the labels of one model; returns the exit code. One that fails does not stop the others."""
    try:
        card = Registry(paths.models, paths.reference).resolve(name)
        file = paths.state / f"fetched-{card.name}.csv"
        size = run(command, file, seconds=settings.fetch_timeout_seconds, bytes_max=settings.fetch_bytes_max)
        if size == 0:
            print(f"{card.name}: nothing was printed, so there are no labels")
        else:
            done = import_labels(file, card, paths, gateway, skip_invalid=settings.fetch_skip_invalid)
            print(summary(card.name, done))
        file.unlink()
    except InvalidLines as error:
        print_faults(file, error.file)
        return _refused(card.name, error, REFUSED)
    except ImportBusy as error:
        return _refused(card.name, error, BUSY)
    except (ImportRefused, UnreadableFile) as error:
        return _refused(card.name, error, REFUSED)
    except CommandFailed as error:
        return _refused(card.name, error, FAILED)
    except RegistryError as error:
        return _refused(name or "default model", error, USAGE)
    except OSError as error:
        return _refused(name or "default model", error, REFUSED)
    return DONE


def run(command: Command, file: Path, *, seconds: float, bytes_max: int) -> int:
    """Run a command, its standard output into `file`; returns the length. Nothing that it started lives on.

    Raises:
        CommandFailed: it could not be started, failed, ran longer than `seconds` or printed more than `bytes_max`.
        OSError: the file could not be written.
    """
    deadline = time.monotonic() + seconds
    make_dirs(file.parent)
    with open(file, "wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                # A group of its own: all of it can be stopped.
                process_group=0,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            raise CommandFailed(f"{command[0]} could not be started: {error.strerror}") from None
        assert process.stdout is not None
        try:
            size = _copied(process.stdout, output, deadline, bytes_max)
            if not ends_by(process, deadline):
                raise _TooLate
        except _TooLate:
            raise CommandFailed(f"{command[0]} took longer than {seconds:g} s and was stopped") from None
        except _TooMuch:
            raise CommandFailed(f"{command[0]} printed more than {bytes_max:,} bytes and was stopped") from None
        finally:
            process.stdout.close()
            stop_group(process, KILL_AFTER_SECONDS)
    code = process.returncode
    if code != 0:
        how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
        raise CommandFailed(f"{command[0]} {how}")
    return size


class _TooLate(Exception):
    pass


class _TooMuch(Exception):
    pass


def _copied(source: IO[bytes], target: IO[bytes], deadline: float, bytes_max: int) -> int:
    size = 0
    while True:
        ready, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise _TooLate
        block = os.read(source.fileno(), _BLOCK_BYTES)
        if not block:
            return size
        size += len(block)
        if size > bytes_max:
            raise _TooMuch
        target.write(block)


def _worst(codes: Sequence[int]) -> int:
    # What somebody else is doing is no fault.
    return max(code for code in codes if code != BUSY) if set(codes) != {BUSY} else BUSY


def _refused(name: str, error: Exception, code: int) -> int:
    print(f"{name}: refused: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.fetch_labels",
        description="Run the commands that [labels] of the settings file names, and record the labels they print: "
        "CSV by the rules of 'make labels'. The scheduler does so every fetch_interval_seconds.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", metavar="N", help="only the command of [labels.models.N] (default: all commands)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
