"""Days are scored again as labels come, and no label is lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from drift_engine.results.days import EARLIER_KEPT_MAX, DayRecord, DayStore, Revision
from gateway.log import seal
from tests.drift_engine.history.place import (
    DAY,
    NOBODY,
    TODAY,
    anew,
    day_text,
    days,
    history,
    label_client,
    log_client,
    orphaned,
    records,
    said,
    scenario,
)
from tests.drift_engine.scenario import NOW, rows
from tests.drift_engine.test_reproduce import registered


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
