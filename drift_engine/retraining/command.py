"""`python -m drift_engine retrain`: fit a candidate, hold it against the champion, register it, say what was found."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from drift_engine.arguments import count, refuse
from drift_engine.console import TerminalProgress
from drift_engine.errors import DriftError
from drift_engine.exit_codes import BUSY, FAILED, INSUFFICIENT, NOT_BETTER, OK, USAGE
from drift_engine.paired.compare import deciding_figures
from drift_engine.retraining.errors import TooFewRows
from drift_engine.retraining.page import headline
from drift_engine.retraining.retrain import retrain
from drift_engine.retraining.rows import Limits, Order
from drift_engine.retraining.schema import PAGE, ModelReport
from drift_engine.settings import DriftSettings
from gateway.locks import Busy, locked
from gateway.registry import ModelCard, Registry, RegistryError
from gateway.settings import InvalidSettings, Paths, load

_LOG = logging.getLogger(__name__)
_EPILOG = """\
exit codes:
  0    a candidate was registered, whatever the comparison says; with --promote: it was promoted, too
  1    something failed: the registry or the report could not be written, a promotion was refused; nothing is half done
  2    usage, settings, no such model, a table or pipeline that does not allow it
  4    too few labelled rows; what is lacking is said
  7    --promote: the candidate is registered, but not better beyond chance, so it was not promoted
  75   another retraining of the model is under way

The newest labelled rows judge both versions and are fitted by neither; they become the candidate's reference. A
candidate is better when its deciding figure is, by a paired test and by one that keeps neighbouring rows together,
both p < 5 %.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # The C library's allocator gives back what is freed; Arrow's own keeps it.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        paths, settings = load(Paths, DriftSettings)
        assert isinstance(paths, Paths)
        assert isinstance(settings, DriftSettings)
        card = Registry(paths.models, paths.reference).resolve(options.name, options.version)
        order = Order(card, options.train, _deciding(card, options.decide_by), _limits(options), settings.seed)
    except (InvalidSettings, RegistryError, DriftError) as error:
        return refuse(error, USAGE)
    return _run(paths, order, promote=options.promote)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m drift_engine retrain",
        description=(
            "Fit a candidate of a version's own pipeline on its training table, where given, and on the labelled rows "
            "of the prediction log; compare both on the newest labelled rows; register it as a new version."
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", required=True, help="the model")
    parser.add_argument("--version", help="the champion: the version to retrain and to beat (default: the serving one)")
    parser.add_argument(
        "--train",
        type=Path,
        metavar="T",
        help="the table it was first fitted on (CSV or Parquet), to be fitted on, too",
    )
    parser.add_argument("--promote", action="store_true", help="let the candidate serve, but only if it is better")
    parser.add_argument("--decide-by", metavar="FIGURE", help="the figure that decides (default: accuracy, or mae)")
    limits = Limits()
    parser.add_argument(
        "--judged-share",
        type=_share,
        default=limits.judged_share,
        metavar="S",
        help="part of the labelled rows, the newest, that stays unfitted and judges (default: %(default)s)",
    )
    for name, about in (
        ("rows_min", "fewest labelled rows of the champion's log"),
        ("class_rows_min", "fewest rows of each class among those that are fitted"),
        ("rows_max", "labelled rows used of each log, and rows fitted, at most; the newest"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=count,
            default=getattr(limits, name),
            metavar="N",
            help=f"{about} (default: %(default)s)",
        )
    return parser


def _run(paths: Paths, order: Order, *, promote: bool) -> int:
    card = order.card
    try:
        with (
            locked(paths.state / "locks" / f"retrain-{card.name}.lock", f"another retraining of {card.name}"),
            TerminalProgress(f"{card.name} {card.version}") as progress,
        ):
            report = retrain(paths, order, now=time.time(), progress=progress)
    except Busy as error:
        return refuse(error, BUSY)
    except TooFewRows as error:
        return refuse(error, INSUFFICIENT)
    except DriftError as error:
        return refuse(error, USAGE)
    except (RegistryError, OSError) as error:
        return refuse(error, FAILED)
    _tell(paths, report)
    return _promote(report) if promote else OK


def _deciding(card: ModelCard, asked: str | None) -> str | None:
    if asked is not None and asked not in deciding_figures(card):
        raise DriftError(f"--decide-by {asked}: {card.name} can be decided by {', '.join(deciding_figures(card))}")
    return asked


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(options.rows_min, options.class_rows_min, options.judged_share, options.rows_max)


def _share(text: str) -> float:
    value = float(text)
    if not 0.05 <= value <= 0.9:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.05 and 0.9")
    return value


def _tell(paths: Paths, report: ModelReport) -> None:
    name, version = report.model_name, report.model_version
    print(f"{headline(report)}: {name} {version}, retrained from {report.champion}, is registered and does not serve")
    print(report.comparison.sentence)
    print(f"fitted on {'; '.join(f'{used.rows:,} rows of {used.source}' for used in report.fitted)}")
    print(f"judged on {report.judged.rows:,} newer rows, {report.judged.first} to {report.judged.last}")
    for note in report.notes:
        print(f"note: {note}")
    print(f"report: {paths.reports / name / version / PAGE}")
    print(f"where its answers differ: make replay NAME={name} VERSION={version}")


def _promote(report: ModelReport) -> int:
    """Ask the gateway's own command, which loads the version as a worker would before anything changes."""
    name, version, comparison = report.model_name, report.model_version, report.comparison
    if comparison.verdict != "better" or comparison.against:
        print(f"not promoted: {headline(report)}", file=sys.stderr)
        return NOT_BETTER
    sys.stdout.flush()
    why = f"retrained from {report.champion}: {comparison.sentence}"
    done = subprocess.run(
        [sys.executable, "-m", "gateway.versions", "promote", name, version, "--why", why], check=False
    )
    return OK if done.returncode == 0 else FAILED
