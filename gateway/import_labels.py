"""`python -m gateway.import_labels labels.csv --name fraud`: true outcomes from a file into the label log.

The whole file is judged first; nothing is written while any line is wrong (unless told to skip such lines).
Labels that the log has already are skipped, so an import that was stopped is finished by running it again.

Exit codes: 0 done, 1 refused or not recorded, 2 wrong usage or settings, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import utc_text
from gateway.label_file import FAULTS_KEPT, Key, LabelFile, UnreadableFile, read_labels
from gateway.locks import Busy, locked
from gateway.log import labels
from gateway.log.line import header_line, unescape
from gateway.log.reader import SegmentStream
from gateway.log.segment import UnreadableSegment
from gateway.log.writer import LogUnavailable, SegmentWriter
from gateway.registry import ModelCard, Registry, RegistryError
from gateway.serving.validation import Label, LabelInput
from gateway.settings import GatewaySettings, InvalidSettings, Paths, load

DONE, REFUSED, USAGE, STOPPED = 0, 1, 2, 130
#: Labels that are recorded together, with one sync.
BATCH = 10_000
#: Told what is under way and how many are done.
Progress = Callable[[str, int], None]


class ImportRefused(Exception):
    """Nothing was recorded, or not all; the text says what and why."""


class ImportBusy(ImportRefused):
    """Another import of this model's labels is under way."""


class InvalidLines(ImportRefused):
    """Lines of the file are wrong; `file` knows which."""

    def __init__(self, file: LabelFile) -> None:
        super().__init__(f"{file.invalid_lines:,} of {file.lines:,} lines are not acceptable; nothing was recorded")
        self.file = file


@dataclass(frozen=True)
class Imported:
    """What an import did: labels recorded, those the log had already, repeats in the file, invalid lines left out."""

    recorded: int
    known: int
    repeated: int
    skipped: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        paths, settings = load(Paths, GatewaySettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return USAGE
    try:
        card = Registry(paths.models, paths.reference).resolve(options.name)
        done = import_labels(
            options.file, card, paths, settings, skip_invalid=options.skip_invalid, progress=_Terminal()
        )
    except InvalidLines as error:
        print_faults(options.file, error.file)
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except (ImportRefused, UnreadableFile, RegistryError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("stopped; run it again to finish: labels that are recorded are skipped", file=sys.stderr)
        return STOPPED
    print(summary(card.name, done))
    return DONE


def import_labels(
    file: Path,
    card: ModelCard,
    paths: Paths,
    settings: GatewaySettings,
    *,
    skip_invalid: bool = False,
    clock: Callable[[], float] = time.time,
    progress: Progress = lambda *_: None,
) -> Imported:
    """Record the labels of a file.

    Raises:
        UnreadableFile: it is no table of labels.
        InvalidLines: lines are wrong, and `skip_invalid` is not set.
        ImportBusy: another import is under way.
        ImportRefused: not all labels could be recorded.
    """
    label_input = LabelInput(card, instances_max=settings.instances_max, text_length_max=settings.text_length_max)
    found = read_labels(file, card, label_input, lambda count: progress("lines checked", count))
    if found.invalid_lines and not skip_invalid:
        raise InvalidLines(found)
    with _alone(paths.state / "locks" / f"labels-{card.name}.lock"):
        known = _newest_known(paths.live, card, found.labels)
        fresh = [label for key, label in found.labels.items() if key not in known or not _same(known[key][1], label)]
        received_at = utc_text(clock())
        if any(known.get(_key(label), ("", ""))[0] >= received_at for label in fresh):
            raise ImportRefused("labels that were to be corrected are recorded as from later than now: check the clock")
        _record(fresh, received_at, card, paths, settings, progress)
    return Imported(len(fresh), len(found.labels) - len(fresh), found.repeated, found.invalid_lines)


def _newest_known(live: Path, card: ModelCard, wanted: dict[Key, Label]) -> dict[Key, tuple[str, str]]:
    """Time and text of the newest label that the log has for each of the wanted predictions it has any for."""
    newest: dict[Key, tuple[str, str]] = {}
    for path in labels.segments(live, card.name):
        # What cannot be read is damage for `make verify`; its labels are recorded again, which changes nothing.
        with contextlib.suppress(UnreadableSegment, ValueError, csv.Error):
            for block in SegmentStream(path, labels.columns(card)):
                for fields in csv.reader(block.decode().split("\n")[:-1]):
                    _, request_id, client_id, instance, label, _, received_at, _ = fields
                    key = (request_id or None, unescape(client_id) or None, int(instance))
                    if key in wanted and (key not in newest or received_at >= newest[key][0]):
                        newest[key] = (received_at, unescape(label))
    return newest


def _key(label: Label) -> Key:
    return label.request_id, label.client_id, label.instance


def _same(text: str, label: Label) -> bool:
    return text == label.label if isinstance(label.label, str) else text == repr(label.label)


def _record(
    fresh: Sequence[Label],
    received_at: str,
    card: ModelCard,
    paths: Paths,
    settings: GatewaySettings,
    progress: Progress,
) -> None:
    encode = labels.LabelEncoder(card).encode
    writer = SegmentWriter(
        labels.folder(paths.live, card.name),
        labels.PREFIX,
        header_line(labels.columns(card)),
        durable=settings.durability == "power",
        timeout_seconds=settings.append_timeout_seconds,
    )
    try:
        for at in range(0, len(fresh), BATCH):
            batch = fresh[at : at + BATCH]
            writer.append(
                [
                    encode(
                        label.request_id, label.client_id, label.instance, label.label, label.observed_at, received_at
                    )
                    for label in batch
                ]
            )
            progress("labels recorded", at + len(batch))
    except LogUnavailable as error:
        raise ImportRefused(
            f"{at:,} of {len(fresh):,} labels are recorded, then: {error}; run it again to finish"
        ) from None
    finally:
        writer.close()


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One import of a model's labels at a time: two at once would not see what the other records."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, "another import of this model's labels"))
        except Busy as error:
            raise ImportBusy(str(error)) from None
        except OSError as error:
            raise ImportRefused(f"cannot lock {lock}: {error.strerror}") from None
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.import_labels",
        description="Record true outcomes from a CSV file with the columns label and request_id or client_id, and "
        "perhaps instance and observed_at. The rules are those of POST /feedback; nothing is recorded while any line "
        "is wrong. Labels that are recorded already are skipped.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the CSV file, UTF-8")
    parser.add_argument("--name", metavar="N", help="the model (default: the default model)")
    parser.add_argument("--skip-invalid", action="store_true", help="leave out lines that are wrong, and count them")
    return parser


def summary(name: str, done: Imported) -> str:
    """What an import did, in one line."""
    return (
        f"{name}: {done.recorded:,} labels recorded; skipped: {done.known:,} that the log has already, "
        f"{done.repeated:,} repeated in the file, {done.skipped:,} invalid lines"
    )


def print_faults(path: Path, file: LabelFile) -> None:
    """The faults of a file, each with its line, on standard error."""
    for fault in file.faults:
        column = f"{fault.column}: " if fault.column else ""
        print(f"{path}:{fault.line}: {column}{fault.detail}", file=sys.stderr)
    if len(file.faults) == FAULTS_KEPT:
        print(f"only the first {FAULTS_KEPT} faults are shown", file=sys.stderr)


class _Terminal:
    """Progress for a person: one line a second, none for what is done sooner."""

    def __init__(self) -> None:
        self._next = time.monotonic() + 1

    def __call__(self, what: str, count: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            print(f"{count:,} {what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
