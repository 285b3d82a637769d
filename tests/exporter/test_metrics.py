"""What Prometheus gets from results, registry and heartbeats."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drift_engine.results import Result
from drift_engine.results.schema import Alert, Check, ConceptDrift, DataQuality, Performance, QualityFinding, Severity
from exporter.collector import exposition
from gateway import heartbeat
from gateway.registry import Metric
from tests import kept, results
from tests.exporter.site import Scrape, Site
from tests.results import NOON, later
from tests.tools import require_tool

VERDICTS = {
    "model_data_drift_detected",
    "model_drifted_columns_ratio",
    "model_drift_score",
    "model_drift_threshold",
    "model_feature_drift_score",
    "model_feature_drift_threshold",
    "model_feature_drift_ratio",
    "model_prediction_drift_detected",
    "model_concept_drift_detected",
    "model_accuracy_drop_percent",
    "model_accuracy_drop_lower_percent",
    "model_alert_severity",
    "model_retraining_recommended",
}
GAPS: dict[str, Severity] = {"amount": "notice", "age": "high"}
FACTS = {
    "model_serving",
    "model_drift_run_timestamp_seconds",
    "model_drift_run_duration_seconds",
    "model_drift_outcome",
    "model_window_rows",
    "model_labeled_ratio",
    "model_data_quality_findings",
    "model_data_quality_severity",
}


def test_a_run_with_a_verdict_shows_every_figure_it_has(site: Site) -> None:
    """The names that dashboards rely on, each with the value of the run."""
    site.commit(results.drifted())
    scrape = Scrape(site.sources())
    expected = VERDICTS | FACTS | {"model_accuracy", "model_drift_last_success_timestamp_seconds"}
    assert scrape.names() == expected
    assert scrape.get("model_data_drift_detected") == 1
    assert scrape.get("model_drifted_columns_ratio") == 0.5
    assert scrape.get("model_drift_score") == 0.31
    assert scrape.get("model_feature_drift_score", feature="amount", method="psi") == 0.4
    assert scrape.get("model_feature_drift_threshold", feature="amount", method="psi") == 0.05
    assert scrape.get("model_feature_drift_ratio", feature="amount") == 8
    assert scrape.get("model_prediction_drift_detected") == 1
    assert scrape.get("model_concept_drift_detected") == 0
    assert scrape.get("model_accuracy_drop_percent") == 2.15
    assert scrape.get("model_accuracy_drop_lower_percent") == -0.5
    assert scrape.get("model_retraining_recommended") == 1
    assert scrape.get("model_window_rows") == 300
    assert scrape.get("model_labeled_ratio") == 2 / 3
    assert scrape.get("model_drift_run_duration_seconds") == 2


def test_labels_estimate_and_trend_have_their_gauges(site: Site) -> None:
    """Coverage, delay, corrections; the estimate, whether to trust it and how wrong it was; the week's figure."""
    low = Performance("ok", None, 120, 0.4, (results.accuracy(0.88),), ())
    concept = dataclasses.replace(results.result().concept_drift, trend=kept.trend())
    run = results.result(
        labels=kept.label_counts(), estimated=kept.estimate(), window_performance=low, concept_drift=concept
    )
    site.commit(run)
    scrape = Scrape(site.sources())
    assert scrape.get("model_label_coverage_ratio") == 2 / 3
    assert scrape.get("model_labels_corrected") == 1
    assert scrape.get("model_labels_repeated") == 2
    assert scrape.get("model_labels_orphaned") == 1
    assert scrape.get("model_label_delay_seconds", quantile="0.9") == 7200
    assert scrape.get("model_label_newest_timestamp_seconds") == NOON - 600
    assert scrape.get("model_estimated_accuracy", average="") == 0.92
    assert scrape.get("model_estimate_trusted") == 1
    assert scrape.get("model_estimate_outside_support_ratio") == 0.01
    assert scrape.get("model_estimate_error", metric="accuracy", average="") == 0.02
    assert scrape.get("model_estimate_covered", metric="accuracy", average="") == 1
    assert scrape.get("model_window_accuracy", average="") == 0.88
    assert scrape.get("model_accuracy_7d") == 0.91
    assert scrape.get("model_accuracy_previous_7d") == 0.93
    assert scrape.get("model_quality_declining") == 1
    assert scrape.get("model_quality_declining_days") == 4


def test_what_labels_and_estimate_do_not_tell_is_absent(site: Site) -> None:
    """No labels: no coverage, no delay, no age. No estimate: no figure of it. A trend that cannot be told: none."""
    nothing = kept.label_counts(0, 0, coverage=None, delay_seconds=None, newest_received_at=None, orphaned=None)
    unknown = kept.trend(value_7d=None, lower_7d=None, upper_7d=None, value_previous_7d=None, declining=None)
    concept = dataclasses.replace(results.result().concept_drift, trend=unknown)
    run = results.result(labels=nothing, estimated=kept.estimate(reason="no reference"), concept_drift=concept)
    site.commit(run)
    names = Scrape(site.sources()).names()
    absent = ("model_label_coverage", "model_label_delay", "model_label_newest", "model_labels_orphaned")
    absent += ("model_estimate", "model_window_accuracy", "model_accuracy_7d", "model_history")
    assert not [name for name in names if name.startswith(absent)]
    assert not names & {"model_quality_declining", "model_accuracy_previous_7d", "model_incidents_open"}
    assert Scrape(site.sources()).get("model_labels_received") == 3


def test_a_failed_run_knows_of_no_labels(site: Site) -> None:
    """Whatever stands in its result."""
    site.commit(results.failed(labels=kept.label_counts(), estimated=kept.estimate()))
    assert not [name for name in Scrape(site.sources()).names() if "label" in name or "estimat" in name]


def test_incidents_and_history_have_their_gauges(site: Site) -> None:
    """Open incidents by severity, back at 0 when resolved; when the kept history was last scored."""
    site.commit(results.result())
    kept.keep_days(site.paths.reports, kept.day(0), kept.day(1))
    kept.keep_incidents(site.paths.reports, kept.incidents(kept.incident(), kept.resolved()))
    sources = site.sources()
    scrape = Scrape(sources)
    assert scrape.get("model_incidents_open", severity="high") == 1
    assert scrape.get("model_incidents_open", severity="warning") == 0
    assert scrape.get("model_history_scored_timestamp_seconds") == NOON - 600
    # The run did not look; the history did.
    assert scrape.get("model_labels_orphaned") == 1
    kept.keep_incidents(site.paths.reports, kept.incidents(kept.resolved()))
    assert Scrape(sources).get("model_incidents_open", severity="high") == 0


def test_what_is_wrong_with_the_data_is_counted_by_kind(site: Site) -> None:
    """Also of a run without a verdict; a kind that is over goes back to 0, and a failed run knows nothing."""
    gaps = [QualityFinding("missing", name, 9, 0.03, severity, "gaps") for name, severity in GAPS.items()]
    site.commit(results.insufficient(data_quality=DataQuality(tuple(gaps))))
    sources = site.sources()
    scrape = Scrape(sources)
    assert scrape.get("model_data_quality_findings", kind="missing") == 2
    assert scrape.get("model_data_quality_severity", kind="missing") == 3
    assert scrape.get("model_data_quality_findings", kind="volume") == 0
    site.commit(later(results.result(), 300))
    assert Scrape(sources).get("model_data_quality_severity", kind="missing") == 0
    site.commit(later(results.failed(), 600, 3))
    assert Scrape(sources).get("model_data_quality_findings", kind="missing") is None


def test_prometheus_accepts_the_exposition(site: Site) -> None:
    """promtool finds nothing to complain about, hostile names included."""
    hostile = results.finding('a"b\\c\nd\u2028{}', 0.3)
    site.commit(results.drifted(data_drift=results.data_drift(hostile)))
    site.serve(baseline=(results.accuracy(0.93),), fraud="1")
    text = exposition(site.sources(), "")[0]
    checked = subprocess.run([require_tool("promtool"), "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.parametrize("make", [results.insufficient, results.failed])
def test_without_a_verdict_the_verdict_gauges_are_absent_not_zero(site: Site, make: Callable[[], Result]) -> None:
    """ "Not enough data" and "failed" are no health: nothing is there to be mistaken for it."""
    site.commit(results.drifted())
    sources = site.sources()
    assert Scrape(sources).get("model_data_drift_detected") == 1
    site.commit(later(make(), 300))
    scrape = Scrape(sources)
    assert scrape.names() & VERDICTS == set()
    assert scrape.get("model_accuracy", average="") is None
    outcome = make().outcome
    shown = {name: scrape.get("model_drift_outcome", outcome=name) for name in ("ok", "insufficient_data", "failed")}
    assert shown == {name: float(name == outcome) for name in shown}


def test_a_failed_run_claims_no_rows(site: Site) -> None:
    """A run that could not read its input does not know how many rows there were."""
    site.commit(results.failed())
    scrape = Scrape(site.sources())
    assert scrape.get("model_window_rows") is None
    assert scrape.get("model_drift_run_timestamp_seconds") == NOON + 3


def test_a_recovered_model_goes_back(site: Site) -> None:
    """Gauges follow the newest run down as well as up; nothing latches."""
    sources = site.sources()
    severe = (Alert("drifted_columns", "high", "1 of 2"), Alert("drifted_columns", "notice", "1 of 2"))
    site.commit(results.drifted(alerts=severe))
    before = Scrape(sources)
    assert before.get("model_alert_severity", alert="drifted_columns") == 3
    site.commit(later(results.result(), 300))
    after = Scrape(sources)
    for name in ("model_data_drift_detected", "model_prediction_drift_detected", "model_retraining_recommended"):
        assert (before.get(name), after.get(name)) == (1, 0)
    assert after.get("model_alert_severity", alert="drifted_columns") == 0
    assert after.get("model_feature_drift_score", feature="amount", method="psi") == 0.01


def test_times_are_the_runs_own(site: Site) -> None:
    """A run of November shows November, however late it is scraped; the last success stays the last success."""
    site.commit(results.result())
    site.commit(later(results.insufficient(), 300))
    scrape = Scrape(site.sources())
    assert scrape.get("model_drift_run_timestamp_seconds") == NOON + 303
    assert scrape.get("model_drift_last_success_timestamp_seconds") == NOON + 3


def test_a_verdict_that_could_not_be_made_is_absent_among_others(site: Site) -> None:
    """A run can know about the inputs and not about the quality."""
    no_labels = results.insufficient()
    run = results.result(performance=no_labels.performance, concept_drift=no_labels.concept_drift)
    site.commit(run)
    scrape = Scrape(site.sources())
    assert scrape.get("model_data_drift_detected") == 0
    assert scrape.get("model_concept_drift_detected") is None
    assert scrape.get("model_accuracy", average="") is None
    assert scrape.get("model_labeled_ratio") == 0


def test_performance_says_how_classes_were_averaged(site: Site) -> None:
    """Weighted and positive-class figures are different series; so are their baselines."""
    live = (
        Metric("accuracy", 0.9, None, None),
        Metric("f1_score", 0.8, None, None, "weighted"),
        Metric("f1_score", 0.4, None, None, "positive"),
        Metric("something_new", 1.0, None, None),
    )
    base = (Metric("f1_score", 0.5, None, None, "positive"),)
    site.commit(results.result(performance=Performance("ok", None, 200, 1.0, live, base)))
    site.serve(baseline=base, fraud="1")
    scrape = Scrape(site.sources())
    assert scrape.get("model_accuracy", average="") == 0.9
    assert scrape.get("model_f1_score", average="weighted") == 0.8
    assert scrape.get("model_f1_score", average="positive") == 0.4
    assert scrape.get("model_baseline_f1_score", average="positive") == 0.5


def test_a_regression_drop_is_not_called_accuracy(site: Site) -> None:
    """The drop of another figure must not appear under accuracy's name."""
    concept = ConceptDrift(True, "warning", "mae", 12.0, 6.0, 18.0, 5.0, 0.001, "mae rose")
    site.commit(results.result(concept_drift=concept))
    scrape = Scrape(site.sources())
    assert scrape.get("model_concept_drift_detected") == 1
    assert scrape.get("model_accuracy_drop_percent") is None


def test_one_score_is_never_of_two_kinds(site: Site) -> None:
    """A feature found by its missing values has a ratio; the score series stays the distribution's."""
    missing = Check("missing", "hypergeometric", 30.0, 3.0, 10.0, True)
    shape = Check("shape", "psi", None, None, None, None, "too few rows")
    site.commit(results.drifted(data_drift=results.data_drift(results.finding("age", 0.4, checks=(shape, missing)))))
    scrape = Scrape(site.sources())
    assert scrape.get("model_feature_drift_ratio", feature="age") == 8
    assert not [key for key in scrape.samples if key[0] == "model_feature_drift_score"]


def test_a_column_listed_twice_does_not_spoil_the_scrape(site: Site) -> None:
    """Two values of one series would make Prometheus reject what came along with them."""
    site.commit(results.result(data_drift=results.data_drift(results.finding("a", 0.01), results.finding("a", 0.02))))
    assert Scrape(site.sources()).get("model_feature_drift_score", feature="a", method="psi") == 0.01


def test_only_versions_that_serve_or_have_results_appear(site: Site) -> None:
    """A serving model without results is visible as such; an old version with results is marked as not serving."""
    site.commit(results.result())
    site.serve(fraud="2", churn="1")
    scrape = Scrape(site.sources())
    assert scrape.get("model_serving", version="1") == 0
    assert scrape.get("model_serving", version="2") == 1
    assert scrape.get("model_serving", model="churn") == 1
    assert scrape.names(model="churn") == {"model_serving"}


def break_result(home: Path, run_id: str) -> None:
    """Half a result."""
    path = home / run_id / "result.json"
    path.write_bytes(path.read_bytes()[:200])


def empty_result(home: Path, run_id: str) -> None:
    """A file that a crash left empty."""
    (home / run_id / "result.json").write_bytes(b"")


def remove_result(home: Path, run_id: str) -> None:
    """A pointer to nothing."""
    (home / run_id / "result.json").unlink()


def break_pointer(home: Path, run_id: str) -> None:
    """A pointer that is no pointer."""
    (home / "latest.json").write_bytes(b"[]")


def remove_pointer(home: Path, run_id: str) -> None:
    """Results without a pointer."""
    (home / "latest.json").unlink()


def newer_format(home: Path, run_id: str) -> None:
    """A result of a later version of the program."""
    path = home / run_id / "result.json"
    path.write_bytes(path.read_bytes().replace(b'"format_version": 1', b'"format_version": 99'))


def swap_result(home: Path, run_id: str) -> None:
    """The result of another run in this one's place."""
    other = dataclasses.replace(results.result(), run_id="another")
    (home / run_id / "result.json").write_bytes(results.encode(other))


@pytest.mark.parametrize(
    "damage",
    [break_result, empty_result, remove_result, break_pointer, remove_pointer, newer_format, swap_result],
)
def test_a_broken_result_is_counted_and_the_last_good_answer_kept(
    site: Site, damage: Callable[[Path, str], None]
) -> None:
    """The model shows what was last known, with its own old time; the other model is not touched at all."""
    run = results.drifted()
    site.commit(run)
    site.commit(results.result(model_name="churn"))
    sources = site.sources()
    good = Scrape(sources)
    damage(site.home(), run.run_id)
    after = Scrape(sources)
    assert after.of("sentinel_exporter_errors_total", source="result") == 1
    errors = ("sentinel_exporter_errors_total", frozenset({("source", "result")}))
    # The disk fills as it likes.
    disk = {key: value for key, value in good.samples.items() if key[0] == "sentinel_log_disk_used_ratio"}
    assert {**after.samples, **disk, errors: 0.0} == good.samples
    # It stays broken, and stays counted, until a good run comes.
    assert Scrape(sources).of("sentinel_exporter_errors_total", source="result") == 2
    if damage is not remove_pointer and damage is not break_pointer:
        site.commit(later(results.result(), 300))
        recovered = Scrape(sources)
        assert recovered.get("model_data_drift_detected") == 0
        assert recovered.of("sentinel_exporter_errors_total", source="result") == 2


def test_a_result_that_was_broken_from_the_start_shows_no_verdict(site: Site) -> None:
    """Without any good answer there is none to show, and above all no healthy one."""
    run = results.result()
    site.commit(run)
    site.serve(fraud="1")
    break_result(site.home(), run.run_id)
    scrape = Scrape(site.sources())
    assert scrape.names() == {"model_serving"}
    assert scrape.of("sentinel_exporter_errors_total", source="result") == 1


def test_a_model_whose_results_were_removed_on_purpose_is_forgotten(site: Site) -> None:
    """Deleting a version's folder is how an operator retires it."""
    site.commit(results.result())
    sources = site.sources()
    assert "model_drift_outcome" in Scrape(sources).names()
    shutil.rmtree(site.home())
    after = Scrape(sources)
    assert after.names() == set()
    assert after.of("sentinel_exporter_errors_total", source="result") == 0


def test_a_run_that_was_not_committed_is_invisible(site: Site) -> None:
    """A folder without a pointer to it is a run that died; it is no error either."""
    site.commit(results.result())
    dead = site.home() / "20261120T130000.000000Z-dead00"
    dead.mkdir()
    (dead / "report.html").write_text("half")
    scrape = Scrape(site.sources())
    assert scrape.get("model_drift_run_timestamp_seconds") == NOON + 3
    assert scrape.of("sentinel_exporter_errors_total", source="result") == 0


@pytest.mark.parametrize("content", [b"", b"{", b'{"format_version": 99}', b'{"versions": {"../../etc": "1"}}'])
def test_a_broken_serving_pointer_is_counted_and_results_stay(site: Site, content: bytes) -> None:
    """The registry is another source: its damage takes no verdict away."""
    site.commit(results.result())
    site.serve(fraud="1")
    sources = site.sources()
    Scrape(sources)
    (site.paths.models / "serving.json").write_bytes(content)
    scrape = Scrape(sources)
    assert scrape.get("model_data_drift_detected") == 0
    assert sum(scrape.of("sentinel_exporter_errors_total", source=name) or 0 for name in ("registry", "result")) >= 1


def test_nothing_at_all_is_a_valid_scrape(site: Site) -> None:
    """Before anything ran there are no models, no heartbeats, and all counters stand at 0. A disk there is."""
    scrape = Scrape(site.sources())
    names = {name for name, _ in scrape.samples}
    assert names == {"sentinel_exporter_errors_total", "sentinel_log_disk_used_ratio"}
    assert {value for (name, _), value in scrape.samples.items() if name != "sentinel_log_disk_used_ratio"} == {0.0}


def test_heartbeats_carry_their_own_times_and_absent_ones_are_absent(site: Site) -> None:
    """An old heartbeat stays old; an unreadable one is not there."""
    heartbeat.write(site.paths.state, "gateway", 1234.5)
    heartbeat.write(site.paths.state, "scheduler", 5.0)
    (site.paths.state / "heartbeats" / "scheduler.json").write_bytes(b"")
    scrape = Scrape(site.sources())
    assert scrape.of("sentinel_heartbeat_timestamp_seconds", process="gateway") == 1234.5
    assert scrape.of("sentinel_heartbeat_timestamp_seconds", process="scheduler") is None


def test_an_unchanged_result_is_not_read_again(site: Site) -> None:
    """A scrape looks at the files' states only, so that it stays a matter of milliseconds."""
    site.commit(results.result())
    sources = site.sources()
    first = sources.models()[0].answer
    assert sources.models()[0].answer is first
    # A result rewritten in place keeps its inode; its time or size gives it away.
    path = site.home() / results.result().run_id / "result.json"
    os.utime(path, ns=(1, 1))
    assert sources.models()[0].answer is not first


def test_scrapes_in_parallel_with_commits_see_whole_answers(site: Site) -> None:
    """Whatever the moment, a scrape shows one run: its rows and its verdict belong together."""
    rows = results.result().rows
    runs = [
        later((results.drifted if i % 2 else results.result)(rows=dataclasses.replace(rows, read=i)), i, i)
        for i in range(60)
    ]
    site.commit(runs[0])
    sources = site.sources()
    seen: list[tuple[float | None, float | None]] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            shown = Scrape(sources)
            seen.append((shown.get("model_window_rows"), shown.get("model_data_drift_detected")))

    threads = [threading.Thread(target=scrape) for _ in range(3)]
    for thread in threads:
        thread.start()
    for run in runs[1:]:
        site.commit(run)
    done.set()
    for thread in threads:
        thread.join()
    assert seen
    assert all(number is not None and verdict == number % 2 for number, verdict in seen)
    assert sources.errors()["result"] == 0


def test_openmetrics_is_answered_when_asked_for(site: Site) -> None:
    """Prometheus asks for OpenMetrics first."""
    site.commit(results.result())
    body, content_type = exposition(site.sources(), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
