"""The demo's two commands: their options, and what is said when one cannot be done."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.errors import DemoError
from demo.generate import Shift
from demo.play import Options, Place, play
from demo.table import Shares
from demo.train import FRAUD_SHIFT, fraud_card
from exporter.settings import ExporterSettings
from gateway.registry import Registry, RegistryError
from gateway.settings import GatewaySettings, InvalidSettings, Paths, load

_SHIFT_OPTIONS = {field.name for field in dataclasses.fields(Shift)}


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands. Returns 0; 1 when it could not be done; 2 for settings. Ctrl-C passes through."""
    parser = _parser()
    options = parser.parse_args(arguments)
    console, errors = Console(), Console(stderr=True)
    try:
        paths, gateway, exporter = load(Paths, GatewaySettings, ExporterSettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    try:
        if options.command == "model":
            _make_model(paths, console)
        else:
            exporter_url = f"http://{exporter.host}:{exporter.port}"
            play(_play_options(parser, options), Place.of(paths, gateway, exporter_url), console)
    except (DemoError, RegistryError) as error:
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except OSError as error:
        errors.print(f"the demo cannot go on: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def _make_model(paths: Paths, console: Console) -> None:
    registry = Registry(paths.models, paths.reference)
    names = registry.names()
    if names:
        console.print(f"The registry has {', '.join(names)}; no demo model is needed.", highlight=False)
        return
    console.print("The registry is empty: training a fraud model on generated data (a few seconds) ...", soft_wrap=True)
    card = fraud_card(registry, time.time())
    accuracy = card.baseline_metric("accuracy")
    figure = f", accuracy {accuracy.value:.3f} on {card.reference_rows:,} held-out rows" if accuracy else ""
    console.print(f"Registered {card.name} version {card.version}{figure}.", highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description="A model to try, and traffic for it.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "model",
        help="train and register the fraud model if the registry is empty",
        description="Train a fraud model on generated data and register it, if the registry is empty.",
    )
    _add_play(
        commands.add_parser(
            "play",
            help="send unchanged, then changed traffic through the running gateway",
            description="Train and register a model, send it traffic like its reference and look for drift, then send "
            "it changed traffic and look again. The gateway must be running ('make run').",
        )
    )
    return parser


def _add_play(parser: argparse.ArgumentParser) -> None:
    defaults = Options()
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="a CSV (.gz too) or Parquet file, rows in time order; without it, generated card transactions",
    )
    parser.add_argument("--label", metavar="COLUMN", help="the column of FILE to predict")
    parser.add_argument(
        "--exclude",
        nargs="*",
        default=[],
        metavar="COLUMN",
        help="columns of FILE to leave out, such as ones that give the label away",
    )
    parser.add_argument(
        "--first",
        type=_share,
        default=Shares.first,
        metavar="SHARE",
        help="share of FILE's rows, from its start, to learn from (default: %(default)s)",
    )
    parser.add_argument(
        "--rows",
        type=_count,
        default=defaults.rows,
        metavar="N",
        help="rows per phase, at most; 0: all of FILE (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=_amount,
        default=defaults.rate,
        metavar="R",
        help="rows per second; 0: as fast as the gateway answers (default: %(default)g)",
    )
    parser.add_argument(
        "--label-delay",
        type=_amount,
        default=defaults.label_delay_seconds,
        metavar="SECONDS",
        help="time between an answer and its label (default: %(default)g)",
    )
    parser.add_argument(
        "--wait",
        type=_amount,
        default=defaults.wait_seconds,
        metavar="SECONDS",
        help="how long to wait for the gateway (default: %(default)g)",
    )
    shift = parser.add_argument_group("what changes in phase 2 of the generated data")
    shift.add_argument(
        "--covariate",
        type=float,
        metavar="SD",
        help=f"standard deviations that columns move by (default: {FRAUD_SHIFT.covariate:g})",
    )
    shift.add_argument(
        "--covariate-columns",
        nargs="+",
        metavar="COLUMN",
        help=f"which ones (default: {' '.join(FRAUD_SHIFT.covariate_columns)})",
    )
    shift.add_argument(
        "--fraud-share", type=float, metavar="SHARE", help=f"share of frauds (default: {FRAUD_SHIFT.fraud_share:g})"
    )
    shift.add_argument(
        "--concept",
        type=float,
        metavar="PART",
        help=f"how far the label function turns round, 0 to 1 (default: {FRAUD_SHIFT.concept:g})",
    )
    shift.add_argument(
        "--missing-share",
        type=float,
        metavar="SHARE",
        help=f"share of values lost (default: {FRAUD_SHIFT.missing_share:g})",
    )
    shift.add_argument(
        "--missing-columns",
        nargs="+",
        metavar="COLUMN",
        help=f"of these columns (default: {' '.join(FRAUD_SHIFT.missing_columns)}); the model takes "
        "missing values in V27 and V28",
    )
    shift.add_argument("--volume", type=float, metavar="FACTOR", help="factor on the number of rows (default: 1)")


def _play_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Options:
    given = {name: value for name, value in vars(options).items() if name in _SHIFT_OPTIONS and value is not None}
    if options.data is None and (options.label or options.exclude):
        parser.error("--label and --exclude go with --data")
    if options.data is not None and options.label is None:
        parser.error("--data needs --label, the column to predict")
    if options.data is not None and given:
        parser.error(
            f"--{next(iter(given)).replace('_', '-')} changes generated data; with --data the file's own "
            "later rows are phase 2"
        )
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    return Options(
        data=options.data,
        label=options.label,
        exclude=tuple(column for item in options.exclude for column in item.split(",") if column),
        first_share=options.first,
        rows=options.rows,
        rate=options.rate,
        label_delay_seconds=options.label_delay,
        wait_seconds=options.wait,
        shift=dataclasses.replace(FRAUD_SHIFT, **changes),
    )


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and a million")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
