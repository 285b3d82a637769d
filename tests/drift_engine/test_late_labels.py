"""Labels that come late: quality looks back for them, and no further than they can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from drift_engine.labels import look_back as module
from drift_engine.reproduce import reproduce
from drift_engine.results.schema import InputFile, Result, Window
from gateway.clock import utc_text
from gateway.files import make_dirs
from gateway.log.seal import seal
from gateway.registry.card import encode
from tests.drift_engine.scenario import NOW, Scenario, rows

DAY = 86400.0


def scenario(tmp_path: Path) -> Scenario:
    """A model, registered."""
    made = Scenario(tmp_path).reference(rows(1000, 1))
    folder = made.paths.models / made.card.name / made.card.version
    make_dirs(folder)
    (folder / "model.json").write_bytes(encode(made.card))
    return made


def days(made: Scenario, *ago: float, count: int = 300) -> list[tuple[list[str], list[str]]]:
    """An hour of predictions so many days ago each; their ids and their true labels."""
    logged = []
    for number, day in enumerate(ago):
        found = rows(count, 20 + number)
        logged.append((made.log(found, start=NOW - day * DAY - 3600, seconds=3000.0), found["label"]))
    return logged


def interval() -> Window:
    """The scheduled window of the newest five minutes."""
    return Window(utc_text(NOW - 300), utc_text(NOW), "scheduled")


def run(made: Scenario, **settings: Any) -> Result:
    """A scheduled run."""
    return made.run(interval(), **settings).result


def segments(inputs: Sequence[InputFile], log: str) -> int:
    """How many files of a log were read."""
    return sum(file.log == log for file in inputs)


def seal_all(made: Scenario) -> None:
    """As the scheduler's job does."""
    assert not seal(made.paths.live, lambda: NOW).failures


@pytest.mark.parametrize("is_sealed", [False, True])
def test_the_newest_labelled_rows_count_however_old(tmp_path: Path, is_sealed: bool) -> None:
    """Labels a week late: the newest 500 labelled of the rows of seven, nine and thirty days ago."""
    made = scenario(tmp_path)
    _, *old = days(made, 0.5, 7, 9, 30)
    for ids, labels in old:
        made.label(ids, labels, received=NOW - 100)
    if is_sealed:
        seal_all(made)
    result = run(made, performance_rows=500)
    assert (result.performance.outcome, result.performance.labelled_rows) == ("ok", 500)
    # Sixteen days are looked through: the thirty of the oldest are not needed.
    assert result.labels is not None
    assert result.labels.since == utc_text(NOW - 16 * DAY)
    assert (result.labels.predictions, result.labels.labelled) == (900, 600)
    assert result.performance.labelled_ratio == result.labels.coverage == pytest.approx(2 / 3)
    assert result.labels.delay_seconds is not None
    assert result.labels.delay_seconds.maximum == pytest.approx(9 * DAY + 3500)
    right = sum(
        (score > 0.5) == (label == "yes")
        for seed, first in ((22, 100), (21, 0))
        for score, label in list(zip(rows(300, seed)["score"], rows(300, seed)["label"], strict=True))[first:]
    )
    accuracy = result.performance.metric("accuracy")
    assert accuracy is not None
    assert accuracy.value == pytest.approx(right / 500, abs=1e-12)


def test_without_labels_no_older_row_is_read(tmp_path: Path) -> None:
    """There is nothing to find; neither where all labels are of rows that were read anyway."""
    made = scenario(tmp_path)
    (ids, labels), *_ = days(made, 0.5, 7)
    seal_all(made)
    assert segments(run(made).inputs, "predictions") == 1
    made.label(ids[:50], labels[:50])
    seal_all(made)
    result = run(made)
    assert segments(result.inputs, "predictions") == 1
    assert result.labels is not None
    assert (result.labels.labelled, result.labels.since) == (50, utc_text(NOW - DAY))


def test_a_label_of_nobody_makes_a_run_look_as_far_as_the_setting_says(tmp_path: Path) -> None:
    """And no further. It is counted as being elsewhere while it is received in the window."""
    made = scenario(tmp_path)
    days(made, 0.5, 7, 40)
    made.label(["00000000-0000-4000-8000-000000000000"], ["yes"], received=NOW - 100)
    seal_all(made)
    result = run(made, performance_days=20.0)
    assert result.labels is not None
    assert (result.labels.since, result.labels.predictions) == (utc_text(NOW - 20 * DAY), 600)
    assert (result.labels.received, result.labels.elsewhere, result.labels.orphaned) == (0, 1, None)
    assert result.performance.reason == "0 labelled rows of 100 needed"


def test_an_ad_hoc_run_looks_back_too(tmp_path: Path) -> None:
    """Its window is compared for itself; quality is that of the newest labelled rows as of its end."""
    made = scenario(tmp_path)
    _, (ids, labels), (later, more) = days(made, 0.5, 7, 3)
    made.label(ids, labels)
    made.label(later, more)
    before = Window(utc_text(NOW - 6 * DAY), utc_text(NOW - 5 * DAY), "adhoc")
    result = made.run(before).result
    assert (result.rows.read, result.performance.labelled_rows) == (0, 300)
    assert result.outcome == "insufficient_data"
    assert result.labels is not None
    assert result.labels.newest_age_seconds == pytest.approx(10 - 5 * DAY)


def test_what_was_looked_back_for_is_reproduced(tmp_path: Path) -> None:
    """After rows, labels and sealing have come; the older files are among the inputs, each once."""
    made = scenario(tmp_path)
    _, (ids, labels), (older, more) = days(made, 0.5, 7, 30)
    made.label(ids[:200], labels[:200], received=NOW - 6 * DAY)
    made.label(ids[150:250], labels[150:250], received=NOW - 100)
    seal_all(made)
    made.label(older, more, received=NOW - 50)
    first = made.run(interval(), performance_rows=400)
    seal_all(made)
    second = made.run(interval(), performance_rows=400)
    assert first.result.performance == second.result.performance
    assert first.result.labels == second.result.labels
    assert first.result.performance.labelled_rows == 400
    places = [file.path for file in first.result.inputs]
    assert (segments(first.result.inputs, "predictions"), len(set(places))) == (3, len(places))
    made.label(ids, ["no"] * len(ids), received=NOW - 20)
    days(made, 6)
    seal_all(made)
    for committed in (first, second):
        found = reproduce(made.paths, committed.result.run_id)
        assert (found.differences, found.notes) == ((), ())


def test_what_is_held_while_looking_back_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that no label names are let go on the way, to no effect."""
    made = scenario(tmp_path)
    _, (ids, labels), *_ = days(made, 0.5, 7, 6, 5)
    made.label(ids, labels)
    expected = run(made)
    monkeypatch.setattr(module, "HELD_MAX", 1)
    found = run(made)
    assert found.labels == expected.labels
    assert found.performance == expected.performance


def test_an_id_that_a_client_uses_again_labels_the_older_prediction_too(tmp_path: Path) -> None:
    """A label of the newest day is not kept from the day before, whose prediction has the same id."""
    made = scenario(tmp_path)
    (ids, labels), (older, more) = days(made, 0.5, 2, count=120)
    made.label(ids[:60], labels[:60])
    made.label(older, more)
    result = run(made)
    assert result.labels is not None
    assert (result.labels.labelled, result.labels.received) == (180, 180)


def test_results_of_the_setting_before_are_still_reproduced(tmp_path: Path) -> None:
    """`performance_hours` was 24 by default, which is the day that a scheduled run reads anyway."""
    made = scenario(tmp_path)
    (ids, labels), *_ = days(made, 0.5, 7)
    made.label(ids, labels)
    committed = made.run(interval(), performance_days=1.0)
    path = committed.folder / "result.json"
    content = path.read_text()
    assert '"performance_days": 1.0' in content
    path.write_text(content.replace('"performance_days": 1.0', '"performance_hours": 24.0'))
    found = reproduce(made.paths, committed.result.run_id)
    assert [item.place for item in found.differences] == []
    assert dataclasses.asdict(found.recorded)["config"]["performance_hours"] == 24.0


def test_a_run_over_the_window_of_an_earlier_one_names_it(tmp_path: Path) -> None:
    """The newest such, by exactly its bounds; a run of another time, or of a time that is new, names none."""
    made = scenario(tmp_path)
    (ids, labels), *_ = days(made, 2, 1)
    past = Window(utc_text(NOW - 3 * DAY), utc_text(NOW - 1.5 * DAY), "adhoc")
    first = made.run(past).result
    assert first.supersedes is None
    assert run(made).supersedes is None
    made.label(ids, labels)
    second = made.run(past).result
    third = made.run(past).result
    assert (second.supersedes, third.supersedes) == (first.run_id, second.run_id)
    assert (first.performance.labelled_rows, second.performance.labelled_rows) == (0, 300)
    assert made.run(dataclasses.replace(past, start=utc_text(NOW - 4 * DAY))).result.supersedes is None


def test_what_only_looks_like_a_run_of_that_window_is_not_named(tmp_path: Path) -> None:
    """One whose name has the same digits by chance, one that was never completed, and a folder that is no run."""
    made = scenario(tmp_path)
    days(made, 2)
    past = Window(utc_text(NOW - 3 * DAY), utc_text(NOW - 1.5 * DAY), "adhoc")
    newest = made.run(dataclasses.replace(past, end=utc_text(NOW)))
    first = made.run(past)
    home, mark = first.folder.parent, first.folder.name[-6:-3]
    newest.folder.rename(home / f"{newest.folder.name[:-6]}{mark}abc")
    (home / f"20991231T000000.000000Z-{mark}000").mkdir()
    assert made.run(past).result.supersedes == first.result.run_id
