"""The demo itself: unchanged traffic, a drift run, changed traffic, another run, and the two side by side."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console

from demo import show
from demo.client import Address, GatewayClient, NoAnswer
from demo.errors import DemoError
from demo.generate import Shift
from demo.replay import Tally, Traffic, replay, traffic_rows
from demo.table import Parts, Shares, read_table, split, thinned, usable
from demo.train import (
    FRAUD_POPULATION,
    FRAUD_SHIFT,
    find_registered,
    fit_and_register,
    fraud_card,
    fraud_parts,
    model_for,
    serve,
)
from drift_engine.results import Result, ResultStore
from drift_engine.results.store import ResultError
from gateway.clock import parse_utc, utc_text
from gateway.registry import ModelCard, Registry
from gateway.settings import GatewaySettings, Paths

#: `python -m drift_engine run` says with this code that another run of the model is under way.
_RUN_IS_BUSY = 75
_SPLIT_SEED = 20_261


@dataclass(frozen=True)
class Options:
    """What the person asked for; see `python -m demo play --help`.

    `rows`: per phase, at most; 0 is all that the file has. `data`: a real file with its `label` column, or None
    for the generated data, of which `shift` says what changes in phase 2.
    """

    data: Path | None = None
    label: str | None = None
    exclude: tuple[str, ...] = ()
    first_share: float = Shares.first
    rows: int = 3000
    rate: float = 100.0
    label_delay_seconds: float = 5.0
    wait_seconds: float = 20.0
    shift: Shift = field(default_factory=lambda: FRAUD_SHIFT)


@dataclass(frozen=True)
class Place:
    """Where the running system is."""

    paths: Paths
    gateway: Address
    reload_seconds: float
    exporter_url: str

    @classmethod
    def of(cls, paths: Paths, gateway: GatewaySettings, exporter_url: str) -> Place:
        """From the settings that the processes were started with."""
        return cls(paths, Address(_reachable(gateway.host), gateway.port), gateway.reload_seconds, exporter_url)


@dataclass(frozen=True)
class Prepared:
    """A serving model and the rows for both phases."""

    card: ModelCard
    alike: pd.DataFrame
    later: pd.DataFrame
    about_alike: str
    about_later: str


@dataclass(frozen=True)
class Phase:
    """One phase when it is over; `result` is what the drift run found in exactly its rows."""

    title: str
    about: str
    tally: Tally
    result: Result
    folder: Path


def play(options: Options, place: Place, console: Console, clock: Callable[[], float] = time.time) -> list[Phase]:
    """Run the whole demo against the running gateway.

    Raises:
        DemoError: no gateway, a file that cannot be used, a drift run that failed.
        RegistryError: the registry refused the model.
    """
    _wait_until_alive(place, options.wait_seconds, console)
    registry = Registry(place.paths.models, place.paths.reference)
    prepared = _prepare(options, registry, console, clock)
    _wait_until_serving(place, prepared.card, options.wait_seconds)
    show.serving(console, prepared.card, place.gateway.url)
    phases = [
        _phase("Phase 1", prepared.about_alike, prepared.alike, prepared.card, options, place, console, clock),
        _phase("Phase 2", prepared.about_later, prepared.later, prepared.card, options, place, console, clock),
    ]
    show.outcome(console, prepared.card, phases, place.exporter_url)
    return phases


def model_name(data: Path) -> str:
    """The name of the model that is trained on a file: `demo-` and the file's stem, made fit for a URL.

    >>> model_name(Path("/x/bank additional.csv.gz"))
    'demo-bank-additional'
    """
    stem = data.name.partition(".")[0]
    return f"demo-{re.sub('[^A-Za-z0-9_]+', '-', stem).strip('-') or 'table'}"[:64]


def _prepare(options: Options, registry: Registry, console: Console, clock: Callable[[], float]) -> Prepared:
    if options.data is None:
        return _prepare_fraud(options, registry, console, clock)
    if options.label is None:
        raise DemoError("a data file needs the name of its label column (LABEL=, --label)")
    console.print(f"Reading {options.data} ...", highlight=False)
    source = usable(read_table(options.data), options.label, options.exclude)
    show.left_out(console, source.left_out)
    parts = split(source.table, Shares(first=options.first_share), _SPLIT_SEED)
    name = model_name(options.data)
    card = find_registered(registry, name, source.features, options.label, len(parts.reference))
    if card is not None:
        serve(registry, card, clock())
    else:
        console.print(f"Training on {len(parts.fit):,} rows, registering on {len(parts.reference):,} others ...")
        model = model_for(source.table, source.features, options.label)
        card = fit_and_register(registry, name, model, parts, source.features, options.label, clock())
    return _with_phases(card, parts, options.rows)


def _prepare_fraud(options: Options, registry: Registry, console: Console, clock: Callable[[], float]) -> Prepared:
    if options.rows == 0:
        raise DemoError("generated data has no end; say how many rows (ROWS=, --rows)")
    parts = fraud_parts(options.rows, options.rows, options.shift)
    console.print("Preparing the fraud model (a few seconds the first time) ...")
    card = fraud_card(registry, clock())
    return Prepared(
        card,
        parts.alike,
        parts.later,
        about_alike="new transactions of the same kind as the reference",
        about_later=show.shift_in_words(options.shift, FRAUD_POPULATION.fraud_share),
    )


def _with_phases(card: ModelCard, parts: Parts, rows: int) -> Prepared:
    alike, later = thinned(parts.alike, rows), thinned(parts.later, rows)
    spaced = "" if len(later) == len(parts.later) else f"{len(later):,} evenly spaced of "
    return Prepared(
        card,
        alike,
        later,
        about_alike="rows of the first part that the model was not fitted on, in random order",
        about_later=f"{spaced}the {len(parts.later):,} later rows, in their order",
    )


def _phase(
    title: str,
    about: str,
    table: pd.DataFrame,
    card: ModelCard,
    options: Options,
    place: Place,
    console: Console,
    clock: Callable[[], float],
) -> Phase:
    since = utc_text(clock())
    traffic = Traffic(
        model_name=card.name,
        rows_per_second=options.rate,
        label_delay_seconds=options.label_delay_seconds,
        client_prefix=f"demo-{since}",
    )
    with show.sending(console, title, about, len(table)) as on_progress:
        tally = replay(place.gateway, traffic_rows(card, table), traffic, on_progress=on_progress)
    if tally.answered == 0:
        raise DemoError("not one row was answered; what the gateway said is listed above")
    until = utc_text(clock())
    result = _drift_run(card, since, until, place, console)
    folder = ResultStore(place.paths.reports).folder(card.name, card.version) / result.run_id
    return Phase(title, about, tally, result, folder)


def _drift_run(card: ModelCard, since: str, until: str, place: Place, console: Console) -> Result:
    """Run the drift engine on [since, until) and read what it committed."""
    console.print(
        f"Looking for drift: python -m drift_engine run --name {card.name} --since {since} --until {until}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
    command = [sys.executable, "-m", "drift_engine", "run", "--name", card.name]
    command += ["--version", card.version, "--since", since, "--until", until]
    deadline = time.monotonic() + 120
    while True:
        code = subprocess.run(command, check=False).returncode
        if code != _RUN_IS_BUSY or time.monotonic() > deadline:
            break
        # The scheduler's own run of this model is short; ours comes after it.
        time.sleep(1)
    if code != 0:
        raise DemoError(f"the drift run ended with exit code {code}; what it printed above says why")
    result = _result_of(card, since, ResultStore(place.paths.reports))
    if result is None:
        raise DemoError(f"the drift run left no result for this window under {place.paths.reports}")
    return result


def _result_of(card: ModelCard, since: str, store: ResultStore) -> Result | None:
    for run in store.runs():
        if (run.model_name, run.model_version) != (card.name, card.version):
            continue
        try:
            result = store.result(run.model_name, run.model_version, run.run_id)
        except ResultError:
            continue
        if result.window.kind == "adhoc" and abs(parse_utc(result.window.start) - parse_utc(since)) < 1e-3:
            return result
    return None


def _wait_until_alive(place: Place, wait_seconds: float, console: Console) -> None:
    if _is_alive(place, patience_seconds=1):
        return
    console.print(
        f"No gateway answers at {place.gateway.url} yet; waiting up to {wait_seconds:g} s for one ...",
        highlight=False,
        soft_wrap=True,
    )
    if not _is_alive(place, wait_seconds):
        raise DemoError(
            f"no gateway answers at {place.gateway.url}; start it with 'make run' in another terminal, then try again"
        )


def _is_alive(place: Place, patience_seconds: float) -> bool:
    client = GatewayClient(place.gateway, patience_seconds=patience_seconds, timeout_seconds=5)
    try:
        return client.get("/health").status == 200
    except NoAnswer:
        return False
    finally:
        client.close()


def _wait_until_serving(place: Place, card: ModelCard, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    client = GatewayClient(place.gateway, patience_seconds=wait_seconds)
    seen = ""
    while time.monotonic() < deadline:
        try:
            seen = str(client.get(f"/models/{card.name}").body.get("version", ""))
        except NoAnswer:
            break
        # A fresh connection each time may reach another worker.
        client.close()
        if seen == card.version:
            # Each worker looks for itself, this often: now the others have seen it, too.
            time.sleep(1.5 * place.reload_seconds)
            return
        time.sleep(0.2)
    client.close()
    raise DemoError(
        f"the gateway at {place.gateway.url} does not serve {card.name} {card.version}"
        + (f" but {seen}" if seen else "")
        + f"; does it use the registry {place.paths.models.resolve()}? Its own output says why"
    )


def _reachable(host: str) -> str:
    """An address to call for an address to listen on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
