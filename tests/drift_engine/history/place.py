"""A model with answers on some days, their history, and what is kept of it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drift_engine.history.job import HistoryJob, Made
from drift_engine.results.days import DayRecord, DayStore
from drift_engine.run import Silent
from drift_engine.settings import DriftSettings
from gateway.clock import parse_utc, utc_text
from gateway.log import labels, predictions, seal
from gateway.log.line import header_line
from tests.drift_engine.scenario import NOW, Scenario, append, rows
from tests.drift_engine.test_reproduce import registered

DAY = 86400.0
TODAY = parse_utc("2026-11-20T00:00:00Z")
NOBODY = [str(uuid.UUID(int=number)) for number in range(1, 4)]


def day_text(back: int) -> str:
    """The day so many days ago."""
    return utc_text(TODAY - back * DAY)[:10]


def answered(made: Scenario, back: int, count: int = 300, **changes: Any) -> tuple[list[str], list[str]]:
    """Log a day's answers, sealed; return their ids and what was true."""
    found = rows(count, back + 1, **changes)
    seconds = DAY - 60 if back else NOW - TODAY - 60
    ids = made.log(found, start=TODAY - back * DAY, seconds=seconds)
    seal.seal(made.paths.live, lambda: NOW)
    return ids, found["label"]


def scenario(
    tmp_path: Path, backs: Sequence[int] = (3, 2, 1, 0)
) -> tuple[Scenario, dict[int, tuple[list[str], list[str]]]]:
    """A model with answers on some days."""
    made = registered(Scenario(tmp_path).reference(rows(1000, 1)))
    return made, {back: answered(made, back) for back in backs}


def history(made: Scenario, now: float = NOW, version: str | None = None, **settings: Any) -> list[Made]:
    """What one job makes."""
    job = HistoryJob(made.paths, DriftSettings(**settings), now, Silent())
    return list(job.run(made.card.name, version))


def days(found: list[Made]) -> list[str]:
    """The days made, oldest first."""
    return sorted(item.record.day for item in found)


def records(made: Scenario, version: str = "1") -> dict[str, DayRecord]:
    """All that is kept."""
    store = DayStore(made.paths.reports)
    found = {day: store.read(made.card.name, version, day) for day in store.days(made.card.name, version)}
    return {day: record for day, record in found.items() if record is not None}


def said(found: dict[str, DayRecord]) -> dict[str, DayRecord]:
    """The records without what says how and when they came about: equal for equal logs."""
    return {
        day: dataclasses.replace(
            record,
            revision=0,
            scored_at="",
            earlier=(),
            inputs=(),
            labels=dataclasses.replace(record.labels, elsewhere=0, orphaned=None),
        )
        for day, record in found.items()
    }


def anew(made: Scenario) -> dict[str, DayRecord]:
    """What the logs as they are say of each day, from nothing."""
    fresh = dataclasses.replace(made, root=made.root / f"fresh-{uuid.uuid4().hex}")
    fresh.paths.data.mkdir(parents=True)
    for place in ("models", "data/live", "data/reference"):
        (fresh.root / place).symlink_to((made.root / place).resolve())
    history(fresh)
    return said(records(fresh))


def orphaned(made: Scenario) -> int | None:
    """As the newest day has it."""
    found = records(made)
    return found[max(found)].labels.orphaned


def label_client(made: Scenario, client_id: str, value: str, received: float) -> None:
    """Append a label by the client's own id."""
    payload = labels.LabelEncoder(made.card).encode(None, client_id, 0, value, None, utc_text(received))
    folder = labels.folder(made.paths.live, made.card.name)
    append(folder, labels.PREFIX, header_line(labels.columns(made.card)), [payload])
    seal.seal(made.paths.live, lambda: NOW)


def log_client(made: Scenario, client_id: str, at: float) -> None:
    """Append one prediction that the client named."""
    found = rows(1, 5)
    payload = predictions.PredictionEncoder(made.card).encode(
        str(uuid.uuid4()),
        utc_text(at),
        0,
        client_id,
        [found[feature.name][0] for feature in made.card.features],
        "yes",
        0.6,
        [0.4, 0.6],
        1.5,
    )
    folder = predictions.folder(made.paths.live, made.card.name, made.card.version)
    append(folder, predictions.PREFIX, header_line(predictions.columns(made.card)), [payload])
    seal.seal(made.paths.live, lambda: NOW)
