"""The kept history, from real logs: days made, scored again as labels come, and nothing lost whatever happens."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from drift_engine import exit_codes
from drift_engine.history.job import HistoryJob, Made
from drift_engine.history.label_index import read_index
from drift_engine.history.score import latency_counts
from drift_engine.results.days import (
    CONFIDENCE_BINS,
    EARLIER_KEPT_MAX,
    REVIEW_ROWS_MAX,
    DayError,
    DayRecord,
    DayStore,
    Review,
    latency_bucket_end_ms,
    latency_quantile_ms,
)
from drift_engine.results.schema import Window
from drift_engine.run import Silent
from drift_engine.settings import DriftSettings
from gateway.clock import parse_utc, utc_text
from gateway.locks import locked
from gateway.log import labels, predictions, retention, seal
from gateway.log.settings import LogSettings
from tests.drift_engine.scenario import NOW, Scenario, regression_card, rows
from tests.drift_engine.test_reproduce import environment, registered
from tests.drift_engine.test_result_format import GOLDEN, kept

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


def test_a_day_is_counted_row_by_row(tmp_path: Path) -> None:
    """Every figure of a record against the rows that were logged."""
    made, told = scenario(tmp_path)
    ids, true = told[2]
    made.label(ids[:200], true[:200], received=NOW - 5 * 3600)
    assert days(history(made)) == [day_text(back) for back in (3, 2, 1, 0)]
    found = records(made)
    record, logged = found[day_text(2)], rows(300, 3)
    answers = ["yes" if score > 0.5 else "no" for score in logged["score"]]
    confidence = np.array([max(score, 1 - score) for score in logged["score"]])
    assert (record.predictions, record.classes) == (300, dict(Counter(answers)))
    assert record.confidence_mean == pytest.approx(confidence.mean())
    assert record.confidence_counts == tuple(
        np.histogram(confidence, np.linspace(0, 1, CONFIDENCE_BINS + 1))[0].tolist()
    )
    assert latency_quantile_ms(record.latency_counts, 0.5) == pytest.approx(1.5, rel=0.01)
    wrong = sum(answer != label for answer, label in zip(answers[:200], true[:200], strict=True))
    assert dataclasses.astuple(record.losses) == (200, wrong, wrong)
    assert (record.labels.labelled, record.labels.coverage, record.labels.orphaned) == (200, 200 / 300, None)
    accuracy = record.performance.metric("accuracy")
    assert accuracy is not None
    assert accuracy.value == 1 - wrong / 200
    assert record.performance.labelled_rows == 200
    assert found[day_text(1)].performance.outcome == "insufficient_data"
    assert [found[day_text(back)].complete for back in (1, 0)] == [True, False]
    assert {file.log for file in record.inputs} == {"predictions", "labels"}
    assert {file.log for file in found[day_text(3)].inputs} == {"predictions"}


def test_the_answers_of_least_confidence_are_kept_with_what_was_asked(tmp_path: Path) -> None:
    """Least first, at most so many, features as JSON's own types."""
    made, told = scenario(tmp_path, (1,))
    answered(made, 2, REVIEW_ROWS_MAX + 50)
    ids, true = told[1]
    made.label(ids, true)
    history(made)
    store, logged = DayStore(made.paths.reports), rows(300, 2)
    review = store.review("loans", "1", day_text(1))
    assert review is not None
    assert (review.rows_of_day, len(review.rows)) == (300, 300)
    confidences = [row.confidence for row in review.rows]
    assert confidences == sorted(confidences)
    for row in review.rows[:20]:
        place = ids.index(row.request_id)
        assert row.label == true[place]
        assert row.timestamp[:10] == day_text(1)
        assert row.features == {feature.name: logged[feature.name][place] for feature in made.card.features}
        assert isinstance(row.features["age"], int)
        assert isinstance(row.features["member"], bool)
    many = store.review("loans", "1", day_text(2))
    assert many is not None
    assert (many.rows_of_day, len(many.rows)) == (REVIEW_ROWS_MAX + 50, REVIEW_ROWS_MAX)


def test_only_days_with_new_labels_are_scored_again(tmp_path: Path) -> None:
    """And today, which is not over. A correction counts, what was sent twice is no news, and what was said is kept."""
    made, told = scenario(tmp_path)
    history(made)
    assert days(history(made)) == [day_text(0)]
    ids, true = told[3]
    made.label(ids[:150], true[:150], received=NOW + 1)
    assert days(history(made, NOW + 60)) == [day_text(3), day_text(0)]
    record = records(made)[day_text(3)]
    assert (record.revision, record.labels.labelled) == (2, 150)
    assert [(item.revision, item.labelled, item.value) for item in record.earlier] == [(1, 0, None)]
    made.label(ids[:1], true[:1], received=NOW + 70)
    assert days(history(made, NOW + 120)) == [day_text(3), day_text(0)]
    repeated = records(made)[day_text(3)]
    assert (repeated.revision, repeated.labels.repeated) == (2, 1)
    other = {"yes": "no", "no": "yes"}[true[0]]
    made.label(ids[:1], [other], received=NOW + 130)
    history(made, NOW + 180)
    corrected = records(made)[day_text(3)]
    assert (corrected.revision, corrected.labels.corrected) == (3, 1)
    assert corrected.losses != record.losses
    assert corrected.earlier[-1].value == record.performance.metrics[0].value
    assert said(records(made)) == anew(made)
    assert records(made)[day_text(0)].revision == 1


def test_earlier_revisions_are_bounded(tmp_path: Path) -> None:
    """The first one stays, of the others the newest."""
    made, told = scenario(tmp_path, (1,))
    history(made)
    ids, true = told[1]
    store = DayStore(made.paths.reports)
    record = records(made)[day_text(1)]
    many = tuple(dataclasses.replace(_revision(record), revision=number) for number in range(1, EARLIER_KEPT_MAX + 1))
    store.write(dataclasses.replace(record, revision=EARLIER_KEPT_MAX + 1, earlier=many), None)
    made.label(ids[:1], true[:1])
    history(made)
    earlier = records(made)[day_text(1)].earlier
    assert [item.revision for item in earlier] == [1, *range(3, EARLIER_KEPT_MAX + 2)]


def _revision(record: DayRecord) -> Any:
    from drift_engine.results.days import Revision

    return Revision(record.revision, record.scored_at, record.labels.labelled, "accuracy", None)


def test_labels_by_the_clients_own_id_even_before_the_prediction(tmp_path: Path) -> None:
    """A client's clock may be ahead of the log's; a label of the day before still finds its prediction."""
    made, _ = scenario(tmp_path, (2,))
    history(made)
    label_client(made, "order-7", "yes", TODAY - 1.5 * DAY)
    assert history(made) == []
    assert orphaned(made) == 1
    log_client(made, "order-7", TODAY - DAY + 60)
    history(made)
    assert records(made)[day_text(1)].labels.labelled == 1
    assert said(records(made)) == anew(made)
    assert orphaned(made) == 1
    label_client(made, "order-8", "yes", NOW - 5)
    history(made)
    assert orphaned(made) == 1


def orphaned(made: Scenario) -> int | None:
    """As the newest day has it."""
    found = records(made)
    return found[max(found)].labels.orphaned


def label_client(made: Scenario, client_id: str, value: str, received: float) -> None:
    """Append a label by the client's own id."""
    from gateway.log.line import header_line
    from tests.drift_engine.scenario import _append

    payload = labels.LabelEncoder(made.card).encode(None, client_id, 0, value, None, utc_text(received))
    folder = labels.folder(made.paths.live, made.card.name)
    _append(folder, labels.PREFIX, header_line(labels.columns(made.card)), [payload])
    seal.seal(made.paths.live, lambda: NOW)


def log_client(made: Scenario, client_id: str, at: float) -> None:
    """Append one prediction that the client named."""
    from gateway.log.line import header_line
    from tests.drift_engine.scenario import _append

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
    _append(folder, predictions.PREFIX, header_line(predictions.columns(made.card)), [payload])
    seal.seal(made.paths.live, lambda: NOW)


def test_labels_of_another_version_are_no_orphans(tmp_path: Path) -> None:
    """Orphans are those that no version answered, counted over the whole label log, once each."""
    made, told = scenario(tmp_path, (2, 1))
    second = registered(dataclasses.replace(made, card=dataclasses.replace(made.card, version="2")))
    second.reference(rows(1000, 1))
    registered(second)
    theirs = second.log(rows(100, 9), start=TODAY - DAY + 7200.5, seconds=3600)
    seal.seal(made.paths.live, lambda: NOW)
    made.label(theirs, ["yes"] * 100, received=NOW - 50)
    made.label([*NOBODY, told[1][0][0]], ["yes"] * 4, received=NOW - 40)
    history(made)
    assert [records(made, version)[day_text(1)].labels.orphaned for version in ("1", "2")] == [3, 3]
    assert records(made)[day_text(1)].labels.labelled == 1
    assert records(made, "2")[day_text(1)].labels.labelled == 100
    made.label(NOBODY[:1], ["no"], received=NOW - 30)
    history(made)
    assert orphaned(made) == 4


def test_what_expired_keeps_its_record_and_nothing_worse_replaces_one(tmp_path: Path) -> None:
    """Its rows to look at go with the log, and what nobody can tell any more is not called an orphan."""
    made, told = scenario(tmp_path)
    made.label(told[3][0], told[3][1], received=NOW - 50)
    history(made)
    before = records(made)
    retention.expire(made.paths.live, LogSettings(retention_days=2.3), NOW)
    gone = [path for path in made.paths.live.glob("loans/1/*") if path.is_file()]
    assert len(gone) == 3
    made.label([told[3][0][0], *NOBODY], ["no"] * 4, received=NOW - 20)
    assert day_text(3) not in days(history(made))
    after = records(made)
    assert after[day_text(3)] == before[day_text(3)]
    store = DayStore(made.paths.reports)
    assert store.reviews("loans", "1") == [day_text(back) for back in (2, 1, 0)]
    assert orphaned(made) is None
    # A segment that was deleted behind our back, and labels that ask for its day.
    victim = next(path for path in made.paths.live.glob("loans/1/*.csv") if day_text(2) in path.read_text())
    victim.unlink()
    made.label(told[2][0][:5], told[2][1][:5], received=NOW - 10)
    history(made)
    assert records(made)[day_text(2)] == before[day_text(2)]


def test_lost_and_damaged_files_are_made_again(tmp_path: Path) -> None:
    """Records, reviews and the index of labels: all from the log, to the same figures."""
    made, told = scenario(tmp_path)
    made.label(told[3][0], told[3][1], received=NOW - 50)
    history(made)
    expected = said(records(made))
    folder = DayStore(made.paths.reports).folder("loans", "1")
    (folder / f"{day_text(3)}.json").unlink()
    (folder / f"{day_text(2)}.json").write_bytes(b'{"model_name": "loa')
    (folder / f"{day_text(1)}.review.json").unlink()
    with pytest.raises(DayError):
        DayStore(made.paths.reports).read("loans", "1", day_text(2))
    assert days(history(made)) == [day_text(back) for back in (3, 2, 1, 0)]
    assert said(records(made)) == expected
    (made.paths.state / "history" / "loans.json").write_bytes(b"[")
    assert days(history(made)) == [day_text(0)]
    assert said(records(made)) == expected
    assert read_index(made.paths.state, "loans").orphaned == 0


@pytest.mark.parametrize("point", range(1, 12))
def test_a_crash_at_any_write_leaves_what_the_next_job_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    """The index, reviews and records are written one after the other; each of them may be the last."""
    made, told = scenario(tmp_path)
    history(made)
    made.label(told[3][0], told[3][1], received=NOW - 50)
    made.label([*told[1][0], *NOBODY], [*told[1][1], *["no"] * 3], received=NOW - 40)
    writes = Writes(point)
    for module in ("drift_engine.results.days", "drift_engine.history.label_index"):
        monkeypatch.setattr(f"{module}.write_atomically", writes)
    with pytest.raises(Crash) if point <= 8 else _nothing():
        history(made)
    monkeypatch.undo()
    history(made)
    assert said(records(made)) == anew(made)
    assert orphaned(made) == 3


class Crash(Exception):
    """The process ends here."""


class Writes:
    """Lets the first writes through; the process dies before the Nth."""

    def __init__(self, point: int) -> None:
        self.left = point

    def __call__(self, target: Path, data: bytes) -> None:
        self.left -= 1
        if not self.left:
            raise Crash
        target.write_bytes(data)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_the_history_is_what_the_logs_say(tmp_path: Path, seed: int) -> None:
    """Answers, labels, corrections, repeats and orphans in any order, a job now and then: as if made from nothing."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    made = registered(Scenario(tmp_path).reference(rows(500, 1)))
    ids: list[str] = []
    for step in range(12):
        if step == 0 or rng.random() < 0.5:
            back, count = int(rng.integers(0, 6)), int(rng.integers(1, 60))
            ids += made.log(
                rows(count, step), start=TODAY - back * DAY + 100 * step + 0.5, seconds=float(rng.integers(5, 3600))
            )
        chosen = [str(key) for key in rng.choice([*ids, *NOBODY], int(rng.integers(1, 40)))]
        made.label(chosen, rng.choice(["yes", "no"], len(chosen)).tolist(), received=NOW - 1000 + step)
        seal.seal(made.paths.live, lambda: NOW)
        if rng.random() < 0.5:
            history(made)
    history(made)
    assert said(records(made)) == anew(made)


def test_regression_has_answers_and_errors_instead(tmp_path: Path) -> None:
    """No classes, no confidence, nothing to look at."""
    made = registered(Scenario(tmp_path, regression_card()).reference(rows(500, 1, label=[0.5] * 500)))
    found = rows(200, 2)
    ids = made.log(found, start=TODAY - DAY, seconds=3600)
    seal.seal(made.paths.live, lambda: NOW)
    made.label(ids[:150], [0.25] * 150)
    history(made)
    record = records(made)[day_text(1)]
    errors = np.abs(np.array(found["score"][:150]) - 0.25)
    assert record.losses.loss_sum == pytest.approx(errors.sum())
    assert record.losses.loss_squares == pytest.approx((errors**2).sum())
    assert record.answers is not None
    assert record.answers.p50 == pytest.approx(np.median(found["score"]))
    assert (record.classes, record.confidence_counts, record.confidence_mean) == ({}, (), None)
    assert DayStore(made.paths.reports).reviews("loans", "1") == []


def test_latency_buckets_end_where_the_format_says() -> None:
    """At an end belongs to the bucket before; nothing and less than the first are in the first; NaN is in none."""
    ends = [latency_bucket_end_ms(bucket) for bucket in range(700)]
    assert latency_counts(np.array(ends)) == dict.fromkeys(range(700), 1)
    assert latency_counts(np.array([0.0, 1e-9, 0.01, np.nan, np.inf, -1.0])) == {0: 3}


def test_the_run_takes_the_trend_from_the_history_and_reproduce_takes_it_from_the_result(tmp_path: Path) -> None:
    """Quality falls by day: concept drift, though the window's own labels are too few; and the run can be repeated."""
    from drift_engine.reproduce import reproduce

    made = registered(Scenario(tmp_path).reference(rows(1000, 1)))
    for back in range(16, 0, -1):
        found = rows(400, back)
        wrong = rows(400, back, score=[0.99 if label == "no" else 0.01 for label in found["label"]])
        right = rows(400, back, score=[0.01 if label == "no" else 0.99 for label in found["label"]])
        share = 40 if back > 6 else 40 + 30 * (7 - back)
        mixed = {name: [*wrong[name][:share], *right[name][share:]] for name in right}
        made.label(made.log(mixed, start=TODAY - back * DAY, seconds=DAY - 60), mixed["label"], received=NOW - 3600)
    seal.seal(made.paths.live, lambda: NOW)
    window = Window(utc_text(NOW - 3600), utc_text(NOW), "adhoc")
    assert made.run(window, performance_days=0.0).result.concept_drift.trend is None
    history(made)
    committed = made.run(window, performance_days=0.0)
    concept = committed.result.concept_drift
    assert (concept.detected, concept.severity) == (True, "warning")
    assert concept.trend is not None
    assert concept.trend.declining is True
    assert "declining" in concept.reason
    assert "wrong more often" in committed.result.diagnosis
    page = committed.report.read_text()
    assert "What it means" in page
    assert "Over days: accuracy was" in page
    before = Window(utc_text(TODAY - 7 * DAY), utc_text(TODAY - 6 * DAY), "adhoc")
    earlier = made.run(before, performance_days=0.0).result
    assert earlier.concept_drift.trend is not None
    assert earlier.concept_drift.trend.declining is not True
    found_again = reproduce(made.paths, committed.result.run_id)
    assert found_again.differences == ()
    assert any("trend over days is taken as recorded" in note for note in found_again.notes)


def command(made: Scenario, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as people and the scheduler start it."""
    return subprocess.run(
        [sys.executable, "-m", "drift_engine", "history", *arguments],
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | environment(made),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command(tmp_path: Path) -> None:
    """Says what it made, then that nothing is new; one at a time; wrong use is told apart."""
    made, told = scenario(tmp_path, (2, 1))
    made.label(*told[2], received=NOW - 50)
    first = command(made, "--days", "3660")
    assert first.returncode == exit_codes.OK, first.stderr
    assert first.stdout.startswith("loans: 2 days made, 0 of them scored again\n")
    assert f"  1 {day_text(2)}: 300 predictions, 300 labelled, accuracy 0." in first.stdout
    assert command(made, "--quiet").stdout == "loans: up to date\n"
    with locked(made.paths.state / "locks" / "history-loans.lock", "this"):
        assert command(made, "--quiet").returncode == exit_codes.BUSY
    assert command(made, "--name", "nobody").returncode == exit_codes.USAGE
    assert command(made, "--days", "3").returncode == exit_codes.USAGE
    assert command(made, "--version", "1").returncode == exit_codes.USAGE
    folder = DayStore(made.paths.reports).folder("loans", "1")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    failed = command(made, "--quiet", "--days", "3660")
    assert failed.returncode == exit_codes.FAILED
    assert "Traceback" not in failed.stderr


def test_records_of_version_1_stay_readable() -> None:
    """The golden files were written by a job over the logs of these tests and are never regenerated."""
    for name, kind in (("day-v1.json", DayRecord), ("review-v1.json", Review)):
        data = (GOLDEN / name).read_bytes()
        before, after = msgspec.json.decode(data), msgspec.json.encode(msgspec.json.decode(data, type=kind))
        assert kept(before, msgspec.json.decode(after)) == before


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """By version, and not by luck; and no job replaces it by less."""
    made, _ = scenario(tmp_path, (1,))
    history(made)
    store = DayStore(made.paths.reports)
    record = records(made)[day_text(1)]
    store.write(dataclasses.replace(record, format_version=2), None)
    for _ in range(2):
        with pytest.raises(DayError, match="newer"):
            store.read("loans", "1", day_text(1))
        assert history(made) == []
