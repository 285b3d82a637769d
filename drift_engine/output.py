"""Where verdicts go: a document on standard output, or into a folder with the words on standard output."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drift_engine.exit_codes import fail_on
from gateway.files import make_dirs, write_atomically

Format = Literal["text", "json", "junit"]
FORMATS: tuple[Format, ...] = ("text", "json", "junit")
_FILES = {"json": "drift.json", "junit": "junit.xml"}


@dataclass(frozen=True)
class Output:
    """`format` of the document, and the folder that it goes to; None is standard output."""

    format: Format
    folder: Path | None

    @property
    def says_words(self) -> bool:
        """Whether people are told on standard output, which the document does not need."""
        return self.format == "text" or self.folder is not None

    def write(self, document: bytes) -> None:
        """Write the document to its place. Raises OSError."""
        if self.folder is None:
            sys.stdout.buffer.write(document)
            sys.stdout.flush()
            return
        make_dirs(self.folder)
        path = self.folder / _FILES[self.format]
        write_atomically(path, document)
        print(f"{self.format}: {path}")


def add_output_arguments(parser: argparse.ArgumentParser, output_help: str) -> None:
    """--format, --output and --fail-on."""
    parser.add_argument("--format", choices=FORMATS, default="text", help="what is printed (default: text)")
    parser.add_argument("--output", metavar="DIR", type=Path, help=output_help)
    parser.add_argument("--fail-on", metavar="GATES", type=fail_on, default=(), help="see below")
