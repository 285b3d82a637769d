"""`python -m drift_engine compare`: any two tables, without a running system."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import logging
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from drift_engine import exit_codes, junit
from drift_engine.comparison.compare import Compared, compare_file, judgement, subjects_of
from drift_engine.comparison.schema import Comparison, Comparisons
from drift_engine.comparison.tables import ReferenceTable, UnusableTable, read_reference
from drift_engine.comparison.text import lines_of, suite_of
from drift_engine.output import Output, add_output_arguments
from drift_engine.settings import DriftSettings
from gateway.files import make_dirs, write_atomically

_LIBRARIES = ("numpy", "scipy", "pandas", "pyarrow")

_EPILOG = f"""\
{exit_codes.FAIL_ON_HELP}
exit codes:
  0   every file was compared, whatever the verdict
  1   a report or a document could not be written
  2   usage, or a file that cannot be read; the other files are compared all the same
  3   --fail-on drift or warning: it is so for a file
  4   --fail-on insufficient: a file, or the reference, holds too few rows

Files are CSV (comma, semicolon or tab; plain or gzip) or Parquet, told by their content. Types are inferred from the
reference as 'make register' does. The chance of a false alarm is --alpha for each current file.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = DriftSettings(alpha=options.alpha, minimum_rows=options.minimum_rows)
    answers = [name for name in (options.label, options.prediction) if name]
    try:
        reference = read_reference(options.reference, _names(options.columns, answers), options.exclude)
        if absent := [name for name in answers if name not in reference.types]:
            raise UnusableTable(f"{options.reference}: has no column {absent[0]!r} that can be compared")
    except (UnusableTable, OSError) as error:
        print(error, file=sys.stderr)
        return exit_codes.USAGE
    output = Output(options.format, options.output)
    try:
        found = [_compare(number, path, reference, answers, settings, options) for number, path in _numbered(options)]
        _tell(_comparisons(reference, settings, found), output, options.fail_on)
    except OSError as error:
        print(f"cannot be written: {error}", file=sys.stderr)
        return exit_codes.FAILED
    return exit_codes.worst(_code(comparison, options.fail_on) for comparison in found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m drift_engine compare",
        description="Compare tables with a reference table: what moved beyond chance?",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("reference", type=Path, metavar="REFERENCE", help="the table to compare with")
    parser.add_argument("current", type=Path, nargs="+", metavar="CURRENT", help="a table to judge; one verdict each")
    parser.add_argument("--columns", type=_list, default=[], metavar="A,B", help="compare these alone")
    parser.add_argument("--exclude", type=_list, default=[], metavar="A,B", help="leave these out, e.g. ids")
    parser.add_argument("--label", metavar="COLUMN", help="the true values, judged apart from the inputs")
    parser.add_argument("--prediction", metavar="COLUMN", help="the model's answers, judged apart from the inputs")
    parser.add_argument(
        "--alpha",
        type=_share,
        default=DriftSettings.alpha,
        help="chance of a false alarm of one comparison, over all columns (default: %(default)s)",
    )
    parser.add_argument(
        "--minimum-rows",
        type=int,
        choices=range(20, 1_000_001),
        default=DriftSettings.minimum_rows,
        metavar="N",
        help="fewest values of a column that its shape is judged on (default: %(default)s)",
    )
    parser.add_argument("--no-report", action="store_true", help="write no HTML report, whose plots take seconds")
    add_output_arguments(parser, "where the document and an HTML report per file go (default: no report)")
    return parser


def _list(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _share(text: str) -> float:
    value = float(text)
    if not 1e-9 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{text} is not between 1e-9 and 0.5")
    return value


def _names(columns: list[str], answers: list[str]) -> list[str]:
    return [*columns, *(name for name in answers if name not in columns)] if columns else []


def _numbered(options: argparse.Namespace) -> list[tuple[int, Path]]:
    return list(enumerate(options.current, start=1))


def _compare(
    number: int,
    path: Path,
    reference: ReferenceTable,
    answers: Sequence[str],
    settings: DriftSettings,
    options: argparse.Namespace,
) -> Comparison:
    compared = compare_file(path, reference, options.exclude, answers, settings)
    if compared.comparison.outcome == "failed":
        print(compared.comparison.reason, file=sys.stderr)
    elif options.output is not None and not options.no_report:
        # The number keeps files of one name apart.
        page = options.output / f"report-{number}-{path.name.partition('.')[0]}.html"
        return _with_report(page, compared, reference, answers, settings)
    return compared.comparison


def _with_report(
    page: Path, compared: Compared, reference: ReferenceTable, answers: Sequence[str], settings: DriftSettings
) -> Comparison:
    # Late: drawing alone needs Evidently, which takes seconds to import.
    from drift_engine.comparison.page import comparison_page

    assert compared.current is not None
    html = comparison_page(compared.comparison, reference, compared.current, subjects_of(reference, answers), settings)
    make_dirs(page.parent)
    write_atomically(page, html.encode())
    return dataclasses.replace(compared.comparison, report=str(page))


def _comparisons(reference: ReferenceTable, settings: DriftSettings, found: Sequence[Comparison]) -> Comparisons:
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return Comparisons(reference.file, settings.alpha, tuple(found), {"python": platform.python_version(), **libraries})


def _tell(found: Comparisons, output: Output, gates: Sequence[exit_codes.Gate]) -> None:
    if output.says_words:
        for line in lines_of(found):
            print(line)
    if output.format == "json":
        output.write(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    elif output.format == "junit":
        output.write(junit.document([suite_of(comparison, gates) for comparison in found.comparisons]))


def _code(comparison: Comparison, gates: Sequence[exit_codes.Gate]) -> int:
    code = exit_codes.code_of(judgement(comparison), gates)
    # A file that cannot be read is a fault of the call.
    return exit_codes.USAGE if code == exit_codes.FAILED else code
