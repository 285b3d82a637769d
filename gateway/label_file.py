"""Labels from a CSV file, judged by the rules of /feedback; every fault with its line.

The header names the columns: `label`, and `request_id` or `client_id` (or both, one of them filled per line);
`instance` and `observed_at` may be there. An empty field is a value that is not given.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.registry import ModelCard
from gateway.registry.columns import class_text
from gateway.serving.validation import Label, LabelInput

IDS = ("request_id", "client_id")
COLUMNS = (*IDS, "instance", "label", "observed_at")
#: Faults that are kept to be shown; a file of the wrong kind has one on every line.
FAULTS_KEPT = 1000
_INTEGER = re.compile(r"(-?[0-9]{1,16})(?:\.0+)?").fullmatch
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch

#: Which prediction a label is for: request_id, client_id, instance.
Key = tuple[str | None, str | None, int]


@dataclass(frozen=True)
class LineFault:
    """One thing wrong with the file: its line (the header is 1), the column if it is one's, and what."""

    line: int
    column: str
    detail: str


@dataclass
class LabelFile:
    """What a file holds.

    Attributes:
        labels: one per prediction, in the order of the file.
        repeated: lines that say what a line before them said.
        faults: the first `FAULTS_KEPT`; `invalid_lines` is how many lines have any.
    """

    labels: dict[Key, Label] = field(default_factory=dict)
    lines: int = 0
    repeated: int = 0
    invalid_lines: int = 0
    faults: list[LineFault] = field(default_factory=list)

    def refuse(self, line: int, faults: Sequence[LineFault]) -> None:
        """Note a line that cannot be used."""
        self.invalid_lines += 1
        self.faults += faults[: FAULTS_KEPT - len(self.faults)]


class UnreadableFile(Exception):
    """The file is no table of labels: nothing of it can be used."""


def read_labels(
    path: Path, card: ModelCard, label_input: LabelInput, progress: Callable[[int], None] = lambda _: None
) -> LabelFile:
    """Read and judge a whole file.

    Args:
        progress: called now and then with the number of lines done.

    Raises:
        UnreadableFile: no such file, not UTF-8, not CSV, or not the right columns.
    """
    found = LabelFile()
    lines_of: dict[Key, int] = {}
    values = _Values(card)
    for number, fields in _rows(path):
        found.lines += 1
        if found.lines % 10_000 == 0:
            progress(found.lines)
        if isinstance(fields, str):
            found.refuse(number, [LineFault(number, "", fields)])
            continue
        label = label_input.load(values.item(fields))
        if not isinstance(label, Label):
            found.refuse(number, [LineFault(number, fault.pointer[1:], fault.detail) for fault in label])
            continue
        key = (label.request_id, label.client_id, label.instance)
        first = found.labels.setdefault(key, label)
        if lines_of.setdefault(key, number) == number:
            continue
        if first.label == label.label:
            found.repeated += 1
        else:
            detail = f"line {lines_of[key]} has another label for the same prediction"
            found.refuse(number, [LineFault(number, "label", detail)])
    return found


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Each line's number with its fields by column, or what is wrong with the line."""
    try:
        # utf-8-sig: a byte order mark, as spreadsheets write one, is no part of the first column's name.
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, None)
            _check_header(path, header)
            assert header is not None
            for fields in reader:
                if not fields:
                    continue
                if len(fields) != len(header):
                    yield reader.line_num, f"has {len(fields)} fields where the header has {len(header)}"
                else:
                    yield reader.line_num, dict(zip(header, fields, strict=True))
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"{path}: is not UTF-8 after line {reader.line_num} (byte {error.object[error.start]:#04x})"
        ) from None
    except csv.Error as error:
        raise UnreadableFile(f"{path}:{reader.line_num}: is not CSV: {error}") from None
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from None


def _check_header(path: Path, header: list[str] | None) -> None:
    if header is None:
        raise UnreadableFile(f"{path}: is empty")
    faults = [f"unknown column {name!r}" for name in header if name not in COLUMNS]
    faults += [f"column {name!r} stands twice" for name in COLUMNS if header.count(name) > 1]
    if "label" not in header:
        faults.append("no column 'label'")
    if not set(IDS) & set(header):
        faults.append("no column 'request_id' or 'client_id'")
    if faults:
        raise UnreadableFile(f"{path}:1: {', '.join(faults)}; columns are {', '.join(COLUMNS)}")


class _Values:
    """Turns texts into what a JSON client would have sent; what fits nothing stays text, and is refused as that."""

    def __init__(self, card: ModelCard) -> None:
        self._is_regression = card.task == "regression"
        self._classes = frozenset(class_text(label) for label in card.classes)

    def item(self, fields: dict[str, str]) -> dict[str, Any]:
        """The fields that are given, typed."""
        item: dict[str, Any] = {name: text for name, text in fields.items() if text}
        if (match := _INTEGER(item.get("instance", ""))) is not None:
            item["instance"] = int(match[1])
        if "label" in item:
            item["label"] = self._label(item["label"])
        return item

    def _label(self, text: str) -> str | float:
        if self._is_regression:
            return float(text) if _NUMBER(text) else text
        if text in self._classes:
            return text
        # Tables turn integers with gaps into 1.0, and booleans into True.
        match = _INTEGER(text)
        return match[1] if match is not None else text.lower() if text in ("True", "False") else text
