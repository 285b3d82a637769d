"""Replaying a log: a version gives its own answers again, and another one's differences are counted and placed."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier

from drift_engine.reading.logged import EVER
from drift_engine.replay.replay import NothingToReplay, Order, replay
from drift_engine.replay.schema import Replay
from drift_engine.retraining.retrain import retrain
from drift_engine.retraining.rows import Limits
from drift_engine.retraining.rows import Order as RetrainOrder
from drift_engine.run import Silent
from gateway.clock import utc_text
from gateway.log import predictions
from gateway.log.line import header_line
from gateway.registry import ModelCard
from gateway.registry.register import register
from tests import answered
from tests.models import (
    COLUMNS,
    flag_table,
    mixed_table,
    number_table,
    register_colours,
    register_flags,
    register_linear,
    register_mixed,
    register_numbers,
    register_regression,
)
from tests.running import Place

START, STEP = 1_780_000_000.0, 600.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty place."""
    return Place(tmp_path)


def served(place: Place, card: ModelCard, table: pd.DataFrame, *, start: float = START) -> list[str]:
    """Answer the table."""
    return answered.answer(place.registry, place.paths.live, card, table, start=start, step_seconds=STEP)


def replayed(place: Place, card: ModelCard, log: ModelCard | None = None, **changes: Any) -> tuple[Replay, Path]:
    """Replay in this process."""
    order = replace(Order(card, log or card, *EVER, 10**6, 1), **changes)
    return replay(place.paths, order, replay_id="test", now=START, progress=Silent())


def other_version(place: Place, version: str = "2") -> ModelCard:
    """Another forest on the numbers, fitted on a world where x0 does not matter above 1."""
    train = number_table(1000, seed=11)
    train.loc[train["x0"] > 1, "y"] = 0
    model = RandomForestClassifier(20, max_depth=5, random_state=1).fit(train[COLUMNS], train["y"])
    model_file, table_file = place.root / "other.skops", place.root / "other.csv"
    skops.io.dump(model, model_file)
    number_table(500, seed=12).to_csv(table_file, index=False)
    return register(model_file, table_file, "y", "numbers", registry=place.registry, version=version, now=START)


def test_every_kind_of_model_gives_its_logged_answers_again(place: Place) -> None:
    """Floats, missing values, texts and booleans come back from the log as they were scored: nothing differs."""
    folder = place.root / "in"
    colours = number_table(300, seed=5)
    cases = [
        (register_numbers(place.registry, folder), number_table(300, seed=3)),
        (register_mixed(place.registry, folder), mixed_table(300, seed=3)),
        (register_flags(place.registry, folder), flag_table(300, seed=3)),
        (register_colours(place.registry, folder), colours),
        (register_regression(place.registry, folder), number_table(300, seed=3)),
        (register_linear(place.registry, folder, name="linear"), number_table(300, seed=3)),
    ]
    for card, table in cases:
        served(place, card, table)
        found, _ = replayed(place, card)
        assert (found.rows, found.refused_rows, found.corrupt) == (300, 0, 0)
        assert (found.differing, found.changed.count) == (0, 0), card.name
        assert found.largest_difference <= 1e-12
        assert (found.segments, found.largest) == ((), 0)


def test_another_version_differs_where_it_was_made_to(place: Place) -> None:
    """Counted with an interval, by class, with the segment that holds the change, and row by row in the CSV."""
    card = register_numbers(place.registry, place.root / "in")
    other = other_version(place)
    table = number_table(3000, seed=3)
    ids = served(place, card, table)
    found, folder = replayed(place, other, card)
    expected = _predictions(place, card, table) != _predictions(place, other, table)
    assert found.changed.count == int(expected.sum()) > 100
    assert found.changed.lower < found.changed.share < found.changed.upper
    assert found.confusion is not None
    counts = np.array(found.confusion.counts)
    assert counts.sum() == 3000
    assert counts[0, 1] + counts[1, 0] == found.changed.count
    assert sum(found.spread.counts) == 3000
    assert found.segments[0].feature == "x0"
    assert found.segments[0].change > 2 * found.segments[0].elsewhere
    rows = list(csv.DictReader(io.StringIO((folder / "changes.csv").read_text(), newline="")))
    assert len(rows) == found.largest == 1000
    assert {row["request_id"] for row in rows[: found.changed.count]} == {
        request_id for request_id, changed in zip(ids, expected, strict=True) if changed
    }
    first = rows[0]
    place_of = ids.index(first["request_id"])
    assert float(first["feature.x0"]) == table["x0"].iloc[place_of]
    assert first["logged_prediction"] != first["replayed_prediction"]
    assert float(first["change"]) == pytest.approx(
        float(first["replayed_probability_1"]) - float(first["logged_probability_1"])
    )
    stored = msgspec.json.decode((folder / "replay.json").read_bytes(), type=Replay)
    assert stored == found
    assert "of the answers change" in (folder / "replay.html").read_text()


def test_labels_say_which_of_the_two_is_right(place: Place) -> None:
    """The paired comparison of what was answered with what would have been; it needs 100 labels."""
    card = register_numbers(place.registry, place.root / "in")
    other = other_version(place)
    table = number_table(2000, seed=3)
    ids = served(place, card, table)
    answered.label(place.paths.live, card, ids[:50], table["y"].tolist()[:50], START + 10**7)
    few, _ = replayed(place, other, card)
    assert few.comparison is None
    assert few.comparison_reason == "50 labelled rows; 100 are needed to say which version is right"
    answered.label(place.paths.live, card, ids, table["y"].tolist(), START + 10**7)
    found, _ = replayed(place, other, card)
    assert found.comparison is not None
    assert found.comparison.verdict == "worse"
    assert found.comparison.rows == 2000


def test_a_candidate_is_not_praised_on_rows_that_it_was_fitted_on(place: Place) -> None:
    """Its model report says from when on it had not seen the labels."""
    card = register_numbers(place.registry, place.root / "in")
    table = number_table(1000, seed=3)
    table["y"] = (table["x2"] > 0).astype(int)
    ids = served(place, card, table)
    answered.label(place.paths.live, card, ids, table["y"].tolist(), START + 10**7)
    report = retrain(place.paths, RetrainOrder(card, None, None, Limits(), 1), now=START, progress=Silent())
    found, _ = replayed(place, place.registry.card("numbers", "2"), card)
    assert found.rows == 1000
    assert found.comparison is not None
    assert found.comparison.rows == report.judged.rows == 300
    assert found.comparison.decided_by.second == report.comparison.decided_by.second


def test_an_answer_that_the_artifact_does_not_give_is_found(place: Place) -> None:
    """A log whose answers are another model's is no proof of this one: exit code 8, and how many."""
    card = register_numbers(place.registry, place.root / "in")
    table = number_table(200, seed=3)
    served(place, card, table)
    row = answered.rows_of(card, table.iloc[:1])[0]
    forged = predictions.PredictionEncoder(card).encode(
        "11111111-1111-4111-8111-111111111111", utc_text(START + 1), 0, None, row, "1", 0.75, [0.25, 0.75], 1.0
    )
    folder = predictions.folder(place.paths.live, card.name, card.version)
    answered.append(folder, predictions.PREFIX, header_line(predictions.columns(card)), [forged])
    done = place.run("-m", "drift_engine", "replay", "--name", "numbers", "--version", "1")
    assert done.returncode == 8, done.stderr
    assert "The log is not reproduced: 1 of 201 answers differ" in done.stdout


def test_rows_that_a_version_would_refuse_are_counted(place: Place) -> None:
    """A level that its reference does not show: the gateway would have said 422."""
    narrow = mixed_table(1000, seed=2)
    register_mixed(place.registry, place.root / "in")
    card = place.registry.card("mixed", "1")
    narrow = narrow[narrow["job"] != "student"]
    other = register(
        place.root / "in" / "mixed.skops", _saved(place, narrow), "outcome", "mixed", registry=place.registry, now=START
    )
    table = mixed_table(400, seed=3)
    served(place, card, table)
    students = int((table["job"] == "student").sum())
    found, _ = replayed(place, other, card)
    assert (found.rows, found.refused_rows) == (400 - students, students)
    assert found.refused == {"job: a value it does not know": students}


def test_time_and_rows_choose_what_is_replayed(place: Place) -> None:
    """[since, until), the newest so many; nothing of that time is said so."""
    card = register_numbers(place.registry, place.root / "in")
    served(place, card, number_table(300, seed=3))
    since, until = utc_text(START + 100 * STEP), utc_text(START + 200 * STEP)
    found, _ = replayed(place, card, since=since, until=until)
    assert (found.rows, found.since) == (100, since)
    newest, _ = replayed(place, card, rows_max=10)
    assert (newest.rows, newest.since) == (10, utc_text(START + 290 * STEP))
    with pytest.raises(NothingToReplay, match="holds no row of that time"):
        replayed(place, card, until=utc_text(START))


def test_the_command_refuses_plainly(place: Place) -> None:
    """No such version, other features, no rows, a changed artifact: an exit code and a sentence each."""
    card = register_numbers(place.registry, place.root / "in")
    command = ("-m", "drift_engine", "replay", "--name", "numbers", "--version")
    empty = place.run(*command, "1")
    assert (empty.returncode, "holds no row" in empty.stderr) == (4, True)
    absent = place.run(*command, "9")
    assert (absent.returncode, "no model 'numbers' version '9'" in absent.stderr) == (2, True)
    train = number_table(300, seed=1).rename(columns={"x4": "x9"})
    names = [*COLUMNS[:-1], "x9"]
    model = RandomForestClassifier(5, random_state=0).fit(train[names], train["y"])
    skops.io.dump(model, place.root / "unlike.skops")
    register(place.root / "unlike.skops", _saved(place, train), "y", "numbers", registry=place.registry, now=START)
    unlike = place.run(*command, "2")
    assert unlike.returncode == 2
    assert "without x4; with x9" in unlike.stderr
    served(place, card, number_table(100, seed=3))
    wrong = place.run(*command, "1", "--since", "yesterday")
    assert (wrong.returncode, "is not a moment" in wrong.stderr) == (2, True)
    artifact = place.registry.folder("numbers", "1") / card.artifact.record.file
    artifact.write_bytes(artifact.read_bytes()[:-1])
    changed = place.run(*command, "1")
    assert (changed.returncode, "SHA-256" in changed.stderr) == (1, True)
    assert "Traceback" not in empty.stderr + absent.stderr + unlike.stderr + wrong.stderr + changed.stderr


def _saved(place: Place, table: pd.DataFrame) -> Path:
    path = place.root / "saved.csv"
    table.to_csv(path, index=False)
    return path


def _predictions(place: Place, card: ModelCard, table: pd.DataFrame) -> np.ndarray:
    batches = answered.answers_to(place.registry, card, answered.rows_of(card, table))
    return np.concatenate([np.array(answers.recorded, dtype=object) for _, answers in batches])
