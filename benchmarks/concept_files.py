"""Real files replayed in time order through real logs, with labels that come days later: when is concept drift found?

A model is fitted on the first rows of a file and registered with the next ones; what follows is logged day by day by
the gateway's own writers, labelled so many days later, sealed, and looked at each evening as the scheduler would: the
history first, then a run over the last days.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from drift_engine.history.job import HistoryJob
from drift_engine.reading.sources import Logs
from drift_engine.results.schema import Result, Window
from drift_engine.run import Engine, Known, Silent
from drift_engine.settings import DriftSettings
from gateway.clock import parse_utc, utc_text
from gateway.log import labels, predictions, seal
from gateway.log.line import LogColumn, header_line
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard, Registry
from gateway.registry.register import register
from gateway.settings import Paths

DAY = 86400.0
START = parse_utc("2026-05-01T00:00:00Z")
SEED = 20261120
Find = Callable[[str], Path]


@dataclass(frozen=True)
class Stream:
    """A file as a model would meet it.

    Attributes:
        fitted, reference: rows that the model is fitted on, and registered with.
        days: what comes then, by day.
        delay_days: labels come so many days after the predictions.
        changed_on: the day (0-based) on which the world is known to have changed; None where it did not.
    """

    name: str
    target: str
    fitted: pd.DataFrame
    reference: pd.DataFrame
    days: tuple[pd.DataFrame, ...]
    delay_days: int
    changed_on: int | None


@dataclass(frozen=True)
class Evening:
    """What was known at the end of a day."""

    day: int
    result: Result


def streams(find: Find) -> dict[str, Stream]:
    """The three files. A day of elec2 is a week of half hours, one of bank 280 calls, one of fdh a day."""
    bank = pd.read_csv(find("bank_additional_full.csv.gz"), sep=";").drop(columns="duration")
    elec2 = pd.read_csv(find("elec2.csv.gz")).drop(columns=["date", "nswprice"])
    cards = pd.read_parquet(find("fdh_simulated_customers_mod10.parquet"))
    day = cards["TX_TIME_DAYS"].astype(int)
    others = ("TX_AMOUNT", "TX_DURING_NIGHT", "TX_FRAUD")
    names = [name for name in map(str, cards) if "WINDOW" in name or name in others]
    by_day = dict(iter(cards[names].groupby(day)))
    return {
        "elec2": Stream(
            "elec2", "class", elec2[:8_000], elec2[8_000:13_440], _cut(elec2[13_440:], 336), 2, (17_424 - 13_440) // 336
        ),
        "bank": Stream("bank", "y", bank[:12_000], bank[12_000:16_000], _cut(bank[16_000:], 280), 2, 11_690 // 280),
        "fdh": Stream(
            "fdh",
            "TX_FRAUD",
            pd.concat([by_day[number] for number in range(30, 60)]),
            pd.concat([by_day[number] for number in range(60, 90)]),
            tuple(by_day[number] for number in range(120, 150)),
            7,
            None,
        ),
    }


def replay(stream: Stream, root: Path, every: int = 1) -> Iterator[Evening]:
    """Serve the stream day by day, and look at it on every so many evenings."""
    paths = Paths(data=root / "data", models=root / "models", reports=root / "reports")
    model, card = _registered(stream, root, Registry(paths.models, paths.reference))
    settings = DriftSettings()
    waiting: list[tuple[list[str], list[str]]] = []
    for number, rows in enumerate(stream.days):
        start = START + number * DAY
        ids = _log(paths.live, card, model, rows.drop(columns=stream.target), start)
        waiting.append((ids, [str(value) for value in rows[stream.target]]))
        if number >= stream.delay_days:
            _label(paths.live, card, *waiting[number - stream.delay_days], received=start + DAY - 60)
        end = start + DAY
        seal.seal(paths.live, lambda: end)  # noqa: B023 - called at once
        if number % every and number != len(stream.days) - 1:
            continue
        for _ in HistoryJob(paths, settings, end, Silent()).run(card.name):
            pass
        yield Evening(number, _evening(Engine(paths, settings, lambda: end), card, end))  # noqa: B023


def _evening(engine: Engine, card: ModelCard, end: float) -> Result:
    """A run over the day; its quality is that of the newest labelled rows, however old."""
    window = Window(utc_text(end - DAY), utc_text(end), "adhoc")
    return engine.repeat(card, window, Logs(engine.paths), Known(engine.trend(card, window)))


def _registered(stream: Stream, root: Path, registry: Registry) -> tuple[Any, ModelCard]:
    inputs = stream.fitted.drop(columns=stream.target)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    texts = make_column_selector(dtype_exclude=np.number)
    model = make_pipeline(
        make_column_transformer((encoder, texts), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=60, random_state=0),
    ).fit(inputs, stream.fitted[stream.target])
    folder = root / "in"
    folder.mkdir(parents=True)
    skops.io.dump(model, folder / "model.skops")
    stream.reference.to_csv(folder / "reference.csv", index=False)
    card = register(
        folder / "model.skops",
        folder / "reference.csv",
        stream.target,
        stream.name,
        registry=registry,
        unseen={"*": "accept"},
        now=START,
    )
    return model, card


def _log(live: Path, card: ModelCard, model: Any, rows: pd.DataFrame, start: float) -> list[str]:
    """Log a day's answers, evenly over it; return their ids."""
    encode = predictions.PredictionEncoder(card).encode
    shares = model.predict_proba(rows)
    ids = [str(uuid.UUID(int=int(start) << 64 | number)) for number in range(len(rows))]
    classes = [str(label) for label in model.classes_]
    payloads = [
        encode(
            ids[number],
            utc_text(start + DAY * number / len(rows)),
            0,
            None,
            list(values),
            classes[int(np.argmax(share))],
            float(share.max()),
            [float(part) for part in share],
            1.5,
        )
        for number, (values, share) in enumerate(zip(rows.astype(object).to_numpy().tolist(), shares, strict=True))
    ]
    _append(predictions.folder(live, card.name, card.version), predictions.PREFIX, predictions.columns(card), payloads)
    return ids


def _label(live: Path, card: ModelCard, ids: list[str], values: list[str], received: float) -> None:
    encode = labels.LabelEncoder(card).encode
    payloads = [encode(key, None, 0, value, None, utc_text(received)) for key, value in zip(ids, values, strict=True)]
    _append(labels.folder(live, card.name), labels.PREFIX, labels.columns(card), payloads)


def _append(folder: Path, prefix: str, columns: tuple[LogColumn, ...], payloads: list[bytes]) -> None:
    writer = SegmentWriter(folder, prefix, header_line(columns), durable=False)
    writer.append(payloads)
    writer.close()


def _cut(table: pd.DataFrame, rows: int) -> tuple[pd.DataFrame, ...]:
    """Whole days of so many rows."""
    return tuple(table[first : first + rows] for first in range(0, len(table) - rows + 1, rows))
