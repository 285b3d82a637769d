"""Refused requests are findings of the window in which they were written: by feature and reason, with examples."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from drift_engine.reading.logged import read_log
from drift_engine.reproduce import reproduce
from drift_engine.results.schema import DataQuality, QualityFinding, Window
from drift_engine.results.store import read_result
from drift_engine.run import Committed
from gateway.clock import utc_text
from gateway.log import refusals
from gateway.log.line import id_checksum, seal_line
from gateway.log.seal import seal
from tests.drift_engine.scenario import NOW, Scenario, rows
from tests.drift_engine.test_reproduce import registered

HOUR = 3600.0
TYPE, LEVEL = ("wrong type", "amount", '"41,5"'), ("unseen category", "country", '"xx"')


@pytest.fixture
def made(tmp_path: Path) -> Scenario:
    """A model with 300 rows in its last hour, in which nothing is wrong."""
    made = registered(Scenario(tmp_path).reference(rows(2000, 1)))
    made.log(rows(300, 2))
    return made


def last_hour() -> Window:
    """The hour before NOW."""
    return Window(utc_text(NOW - HOUR), utc_text(NOW), "adhoc")


def quality(committed: Committed) -> DataQuality:
    """The data quality as a reader of the result has it."""
    found = read_result(committed.folder / "result.json").data_quality
    assert found is not None
    return found


def refused(committed: Committed) -> list[QualityFinding]:
    """The findings about refused requests."""
    return [finding for finding in quality(committed).findings if finding.kind == "refused"]


def test_each_cause_is_a_finding_with_its_share_of_all_rows_that_were_asked_for(made: Scenario) -> None:
    """300 rows answered, 100 refused: each cause's part of the 400. The verdict on drift has nothing of it."""
    before = made.run(last_hour()).result
    made.refuse(TYPE, requests=60)
    made.refuse(("wrong type", "amount", '"abc"'), requests=10)
    made.refuse(TYPE, LEVEL, requests=10, rows=30)
    committed = made.run(last_hour())
    typed, unseen = refused(committed)
    assert (typed.column, typed.count, typed.share, typed.severity) == ("amount", 100, 0.25, "high")
    assert typed.examples == ('"41,5"', '"abc"')
    assert typed.sentence == (
        "80 requests refused: its value was of a wrong type; 100 of 400 rows asked for (25 %) got no answer for that"
    )
    assert (unseen.column, unseen.count, unseen.share, unseen.severity) == ("country", 30, 0.075, "warning")
    after = committed.result
    assert (after.data_drift, after.prediction_drift) == (before.data_drift, before.prediction_drift)
    assert (after.outcome, after.rows) == (before.outcome, before.rows)


def test_what_was_read_is_recorded_as_of_the_other_logs(made: Scenario) -> None:
    """Predictions, labels, refusals, in this order; the bytes and their hash."""
    made.refuse(TYPE, requests=60)
    made.label(made.log(rows(10, 3)), ["yes"] * 10)
    result = made.run(last_hour()).result
    assert [file.log for file in result.inputs] == ["predictions", "predictions", "labels", "refusals"]
    (path,) = refusals.segments(made.paths.live, "loans", "1")
    data = path.read_bytes()
    assert (result.inputs[-1].bytes_read, result.inputs[-1].sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_log_without_refusals_says_nothing_of_them(made: Scenario) -> None:
    """Neither a finding nor that there were none: an older gateway wrote none either."""
    committed = made.run(last_hour())
    assert quality(committed).findings == ()
    assert {file.log for file in committed.result.inputs} == {"predictions"}
    assert "refused" not in (committed.folder / "result.json").read_text().split('"config"')[0]


def test_a_line_is_of_the_window_in_which_it_was_written(made: Scenario) -> None:
    """Not of those before and after it."""
    start = NOW - HOUR
    made.refuse(TYPE, requests=11, at=start - 0.000001)
    made.refuse(TYPE, requests=22, at=start)
    made.refuse(TYPE, requests=44, at=NOW)
    (finding,) = refused(made.run(last_hour()))
    assert finding.count == 22
    (finding,) = refused(made.run(Window(utc_text(start - 60), utc_text(start), "scheduled")))
    assert (finding.count, finding.share) == (11, 1.0)


def test_a_producer_that_is_refused_altogether_is_told_with_no_row_in_the_window(tmp_path: Path) -> None:
    """There is no verdict on drift then, and this finding."""
    made = Scenario(tmp_path).reference(rows(2000, 1))
    made.refuse(TYPE, requests=200)
    committed = made.run(last_hour())
    assert committed.result.outcome == "insufficient_data"
    (finding,) = refused(committed)
    assert (finding.count, finding.share, finding.severity) == (200, 1.0, "high")


def test_a_handful_of_refused_requests_is_a_notice(tmp_path: Path) -> None:
    """Whatever their share: somebody tries something."""
    made = Scenario(tmp_path).reference(rows(2000, 1))
    made.refuse(TYPE, requests=9)
    (finding,) = refused(made.run(last_hour()))
    assert (finding.share, finding.severity) == (1.0, "notice")


def test_many_causes_are_few_findings(made: Scenario) -> None:
    """The first 20 by themselves, the others together by reason, with the largest of them."""
    for number in range(30):
        made.refuse(("missing feature", f"f{number}", None), ("null", f"g{number}", None), requests=100 - number)
    found = refused(made.run(last_hour()))
    assert len(found) == 22
    assert {finding.column for finding in found if finding.column} == {f"{c}{n}" for n in range(10) for c in "fg"}
    (together,) = [finding for finding in found if not finding.column and "missing" in finding.sentence]
    said = "90 requests refused: it was missing (20 further features, each at most so often); 90 of 2,865 rows"
    assert together.sentence.startswith(said)
    assert together.examples == ("f10", "f11", "f12", "f13", "f14")


def test_a_run_with_refusals_is_reproduced(made: Scenario) -> None:
    """After the log has grown, after sealing, from sealed segments, and with a damaged line."""
    made.refuse(TYPE, LEVEL, requests=40, at=NOW - 1200)
    first = made.run(last_hour())
    made.refuse(TYPE, requests=500)
    seal(made.paths.live, lambda: NOW)
    second = made.run(last_hour())
    before = set(refusals.segments(made.paths.live, "loans", "1"))
    for committed, count in ((first, 40), (second, 540)):
        assert refused(committed)[0].count == count
        found = reproduce(made.paths, committed.result.run_id)
        assert (found.differences, found.notes) == ((), ())
    made.refuse(TYPE, requests=70)
    (newest,) = set(refusals.segments(made.paths.live, "loans", "1")) - before
    newest.write_bytes(newest.read_bytes().replace(b",70,", b",71,", 1))
    third = made.run(last_hour())
    kinds = [finding.kind for finding in quality(third).findings]
    assert kinds == ["refused", "damaged lines", "refused"]
    assert third.result.rows.corrupt == 1
    assert reproduce(made.paths, third.result.run_id).differences == ()


def test_lines_that_say_nothing_are_counted_and_left_out(made: Scenario) -> None:
    """Their checksum is right, so some writer made them; the run goes on with the others."""
    made.refuse(TYPE, requests=40)
    (path,) = refusals.segments(made.paths.live, "loans", "1")
    segment_id = path.stem.removeprefix(f"{refusals.PREFIX}-")
    said = (b",amount,1,1,,", b"null,,1,1,,", b"null,amount,,1,,", b"null,amount,nan,1,,", b"null,amount,many,1,,")
    times = b"%b,%b" % ((utc_text(NOW - 9).encode(),) * 2)
    lines = [seal_line(seq, odd + times, id_checksum(segment_id)) for seq, odd in enumerate(said, 2)]
    path.write_bytes(path.read_bytes() + b"".join(lines))
    committed = made.run(last_hour())
    assert committed.result.rows.dropped == {"unreadable refusal": 5}
    assert [(finding.kind, finding.count) for finding in quality(committed).findings] == [
        ("refused", 40),
        ("wrong type", 5),
    ]


def test_a_segment_of_other_columns_is_named(made: Scenario) -> None:
    """As in the other logs: a file that no row is used of."""
    made.refuse(TYPE, requests=40)
    (path,) = refusals.segments(made.paths.live, "loans", "1")
    path.rename(path.with_name("refusals-v1-20261120T150000Z-00000000-2ca426d800a1.csv"))
    (finding,) = quality(made.run(last_hour())).findings
    assert (finding.kind, finding.count, finding.share) == ("schema mismatch", 1, 0.5)


def test_the_newest_rows_of_the_prediction_log_are_counted_without_refusals(made: Scenario) -> None:
    """What bounds reading by what the manifests say must not take a line of another log for a row."""
    made.refuse(*(("null", f"f{number}", None) for number in range(150)), requests=1, at=NOW - 1)
    seal(made.paths.live, lambda: NOW)
    assert read_log(made.paths, made.card, rows_max=100).table.rows == 100


def test_the_report_says_it(made: Scenario) -> None:
    """As every other finding, escaped: what a client sent is only text."""
    made.refuse(("wrong type", "amount", '"<script>alert(1)</script>"'), requests=40)
    made.refuse(("unknown field", "", '"amuont"'), requests=40)
    page = made.run(last_hour()).report.read_text()
    assert "40 requests refused: its value was of a wrong type; 40 of 380 rows asked for (11 %)" in page
    assert "e.g. &#34;amuont&#34;" in page
    assert "<script>alert(1)" not in page
