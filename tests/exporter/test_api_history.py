"""The JSON routes over labels, quality, incidents, retraining and kept days."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from drift_engine.results import Result
from drift_engine.results.actions import ActionLog
from drift_engine.results.schema import Alert, ConceptDrift, Performance, Retraining
from gateway.registry import ModelCard, Registry
from tests import kept, results
from tests.exporter.site import Site
from tests.results import accuracy


def get(site: Site, url: str) -> Any:
    """The JSON of a route that answers."""
    answer = site.client().get(url)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def rich(**changes: Any) -> Result:
    """A run that knows of labels, an estimate, a trend and evidence."""
    values: dict[str, Any] = {
        "performance": Performance(
            "ok", None, 200, 2 / 3, (accuracy(0.91),), (accuracy(0.93),), confusion=kept.confusion()
        ),
        "window_performance": Performance("insufficient_data", "40 of 100 labelled rows", 40, 0.2, (), ()),
        "estimated": kept.estimate(),
        "labels": kept.label_counts(),
        "concept_drift": ConceptDrift(
            True, "warning", "accuracy", 2.15, -0.5, 4.8, 5.0, 0.2, "accuracy fell", kept.trend(), ("less sure",)
        ),
        "alerts": (Alert("performance", "high", "accuracy is low"),),
        "retraining": Retraining("recommended", ("accuracy fell",), ("800 labelled rows to retrain on",)),
    }
    return results.result(**values | changes)


def test_the_latest_metrics_tell_of_window_estimate_labels_and_confusion(site: Site) -> None:
    """What is known stands there, what is not is null."""
    site.commit(rich())
    site.commit(results.result(model_name="churn"))
    churn, fraud = get(site, "/api/metrics/latest")["models"]
    assert fraud["performance"]["confusion"]["counts"] == [[160, 10], [8, 22]]
    assert fraud["window_performance"]["outcome"] == "insufficient_data"
    assert fraud["estimated"]["back_test"][0]["error"] == 0.02
    assert fraud["labels"]["corrected"] == 1
    assert fraud["labels"]["delay_seconds"]["p50"] == 3600
    assert (churn["window_performance"], churn["estimated"], churn["labels"]) == (None, None, None)


def test_the_baseline_is_the_registered_one(site: Site) -> None:
    """With what it is of: task, target, classes."""
    site.serve(baseline=(accuracy(0.93),), fraud="1")
    (fraud,) = get(site, "/api/metrics/baseline")["models"]
    assert (fraud["baseline"][0]["value"], fraud["target"], fraud["classes"]) == (0.93, "paid", [0, 1])


def test_concept_drift_has_its_trend_and_its_early_signs(site: Site) -> None:
    """One definition, and what is seen before labels."""
    site.commit(rich())
    (fraud,) = get(site, "/api/drift/concept")["models"]
    assert fraud["concept_drift"]["trend"]["declining_days"] == 4
    assert fraud["concept_drift"]["early"] == ["less sure"]


def test_alerts_list_incidents_with_their_history_and_report(site: Site) -> None:
    """Open and resolved apart; a report that was thinned out has no link; the newest run's alerts beside them."""
    run = rich()
    site.commit(run)
    kept.keep_incidents(site.paths.reports, kept.incidents(kept.incident(), kept.resolved()))
    (fraud,) = get(site, "/api/alerts?model=fraud")["models"]
    assert [alert["cause"] for alert in fraud["alerts"]] == ["accuracy is low"]
    assert fraud["as_of"] == "2026-11-20T12:00:00.000000Z"
    (open_,), (over,) = fraud["open"], fraud["resolved"]
    assert (open_["first_seen_at"], open_["last_seen_at"]) == (
        "2026-11-19T12:00:00.000000Z",
        "2026-11-20T12:00:00.000000Z",
    )
    assert [event["what"] for event in open_["history"]] == ["opened", "eased"]
    assert open_["report"] == f"/reports/fraud/1/{run.run_id}/report.html"
    assert open_["first_report"] is None
    assert over["resolved_at"] == "2026-11-10T12:00:00.000000Z"


def test_without_incidents_nothing_is_claimed(site: Site) -> None:
    """Nobody took stock: as of no time, and that is to be seen."""
    site.commit(results.result())
    (fraud,) = get(site, "/api/alerts")["models"]
    assert (fraud["as_of"], fraud["open"], fraud["resolved"]) == (None, [], [])


def test_the_history_has_each_kept_day_with_its_interval_and_revision(site: Site) -> None:
    """As many days as asked for, today among them, oldest first; days that are not kept are left out."""
    site.commit(results.result())
    thin = Performance("insufficient_data", "12 of 100 labelled rows", 12, 0.012, (), ())
    kept.keep_days(
        site.paths.reports, kept.day(0, performance=thin, estimated=None), kept.day(2, revision=3), kept.day(30)
    )
    answer = get(site, "/api/metrics/history?days=7&model=fraud")
    assert (answer["since"], answer["until"]) == ("2026-11-14", "2026-11-20")
    older, newer = answer["models"][0]["history"]
    assert (older["day"], older["revision"], older["complete"]) == ("2026-11-18", 3, True)
    figure = older["performance"]["metrics"][0]
    assert figure["lower"] < figure["value"] < figure["upper"]
    assert older["labels"]["coverage"] == 0.8
    assert older["estimated"]["metrics"][0]["value"] == 0.92
    assert (newer["performance"]["outcome"], newer["performance"]["metrics"], newer["estimated"]) == (
        "insufficient_data",
        [],
        None,
    )
    assert len(get(site, "/api/metrics/history")["models"][0]["history"]) == 3


def site_card(site: Site, version: str) -> ModelCard:
    """The card of a version."""
    return Registry(site.paths.models, site.paths.reference).card("fraud", version)


def retraining_versions(site: Site) -> dict[str, Any]:
    """What the API says of each version."""
    (fraud,) = get(site, "/api/retraining/status")["models"]
    return {version["version"]: version for version in fraud["versions"]}


def test_retraining_tells_reasons_evidence_and_candidates(site: Site) -> None:
    """A candidate is a registered version that does not serve, with its model report where it has one."""
    site.serve(fraud="2")
    site.serve(fraud="1")
    site.commit(rich())
    report = site.home(version="2") / "model_report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<!doctype html><title>candidate</title>")
    artifact = site_card(site, "2").artifact.record.sha256
    told = report.with_suffix(".json")
    told.write_text(json.dumps({"artifact_sha256": "of a version that never was"}))
    assert all(version["model_report"] is None for version in retraining_versions(site).values())
    told.write_text(json.dumps({"artifact_sha256": artifact}))
    replay = site.home(version="2") / "replays" / "20261120T120000.000000Z-0a1b2c" / "replay.html"
    replay.parent.mkdir(parents=True)
    replay.write_text("<!doctype html><title>replayed</title>")
    (fraud,) = get(site, "/api/retraining/status")["models"]
    assert fraud["retraining"]["decision"] == "recommended"
    assert fraud["retraining"]["evidence"] == ["800 labelled rows to retrain on"]
    assert fraud["actions"] == []
    versions = {version["version"]: version for version in fraud["versions"]}
    assert (versions["1"]["role"], versions["1"]["model_report"]) == ("serving", None)
    assert (versions["2"]["role"], versions["2"]["model_report"]) == ("", "/reports/fraud/2/model_report.html")
    served = site.client().get(versions["2"]["model_report"], buffered=True)
    assert b"candidate" in served.data
    assert "sandbox" in served.headers["Content-Security-Policy"]
    assert b"replayed" in site.client().get(versions["2"]["replay"], buffered=True).data
    assert versions["1"]["replay"] is None


def test_what_was_done_about_it_is_told_newest_first(site: Site) -> None:
    """One whose end nobody knows has none; a damaged file is counted and hides nothing that was read before."""
    site.commit(rich())
    log = ActionLog(site.paths.reports)
    for line in (*kept.action(), kept.action("performance-2")[0]):
        log.append("fraud", "1", line)
    client = site.client()
    newer, older = client.get("/api/retraining/status").get_json()["models"][0]["actions"]
    assert (newer["begun"]["incident"], newer["ended"]) == ("performance-2", None)
    assert (older["ended"]["outcome"], older["ended"]["code"], older["ended"]["output"]) == ("failed", 2, "no rows")
    shown = client.get("/models/fraud").text
    assert "not known: under way, or it died" in shown
    assert "failed (2): exit code 2." in shown
    log.path("fraud", "1").write_bytes(b"{}\n")
    assert len(client.get("/api/retraining/status").get_json()["models"][0]["actions"]) == 2
    assert 'sentinel_exporter_errors_total{source="actions"} 1.0' in client.get("/metrics").text


def test_statistics_add_up_days(site: Site) -> None:
    """Totals, means weighed by rows, and latency quantiles of all rows together."""
    site.commit(results.result())
    kept.keep_days(
        site.paths.reports,
        kept.day(0, predictions=100, labels=kept.label_counts(100, 0), classes={"1": 100}, latency_counts={300: 100}),
        kept.day(1, latency_counts={200: 900}),
    )
    found = get(site, "/api/predictions/stats?days=7&model=fraud")["models"][0]["statistics"]
    assert (found["predictions"], found["labelled"], found["coverage"]) == (1100, 800, 800 / 1100)
    assert found["classes"] == {"0": 900, "1": 200}
    assert found["confidence_mean"] == pytest.approx(0.9)
    assert found["latency_ms"]["p50"] == pytest.approx(0.01 * 1.02**199.5)
    assert found["latency_ms"]["p95"] == pytest.approx(0.01 * 1.02**299.5)
    assert [day["predictions"] for day in found["per_day"]] == [1000, 100]


def test_statistics_of_nothing_are_null_and_not_zero(site: Site) -> None:
    """No kept day is no count of nothing."""
    site.commit(results.result())
    found = get(site, "/api/predictions/stats")["models"][0]["statistics"]
    assert (found["predictions"], found["coverage"], found["confidence_mean"]) == (None, None, None)
    assert found["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert found["per_day"] == []


@pytest.mark.parametrize(
    ("url", "parameters"),
    [
        ("/api/predictions/stats?days=0", ["days"]),
        ("/api/predictions/stats?days=1.5", ["days"]),
        ("/api/metrics/history?days=many&colour=red", ["days", "colour"]),
        (
            "/api/predictions/low-confidence?threshold=nan&days=-1&sort=size&limit=99999999999999999999&format=xml",
            ["days", "threshold", "sort", "limit", "format"],
        ),
        ("/api/alerts?days=7", ["days"]),
    ],
)
def test_parameters_that_cannot_be_used_are_all_named(site: Site, url: str, parameters: list[str]) -> None:
    """400, as a problem, with one entry per parameter: a misspelt filter must not silently filter nothing."""
    site.commit(results.result())
    answer = site.client().get(url)
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert [fault["parameter"] for fault in answer.get_json()["errors"]] == parameters


@pytest.mark.parametrize("route", ["metrics/latest", "metrics/history", "alerts", "predictions/stats", "drift/concept"])
def test_an_unknown_model_is_404(site: Site, route: str) -> None:
    """With the names that there are."""
    site.commit(results.result())
    for query in ("model=nobody", "model=fraud&version=9"):
        answer = site.client().get(f"/api/{route}?{query}")
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
        assert "fraud 1" in answer.get_json()["detail"]


def half(path: Path) -> None:
    """A file that a crash cut."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """A file that a crash left empty."""
    path.write_bytes(b"")


def newer_format(path: Path) -> None:
    """A file of a later version of the program."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"format_version":1', b'"format_version":9').replace(b": 1\n}", b": 9\n}"))


def another_models(path: Path) -> None:
    """A file that lies in another model's folder."""
    path.write_bytes(path.read_bytes().replace(b"fraud", b"freud"))


def no_moment(path: Path) -> None:
    """A file with a time that is none."""
    path.write_bytes(path.read_bytes().replace(b"2026-11-20T1", b"2026-99-20T1"))


@pytest.mark.parametrize("damage", [half, empty, newer_format, another_models, no_moment])
@pytest.mark.parametrize("what", ["days", "incidents"])
def test_a_broken_file_is_counted_and_its_last_good_answer_kept(site: Site, damage: Any, what: str) -> None:
    """Never a 500, never a healthy default: what was known stays, and /health and the page say what is broken."""
    site.commit(results.result())
    kept.keep_days(site.paths.reports, kept.day(0), kept.day(1))
    kept.keep_incidents(site.paths.reports, kept.incidents(kept.incident()))
    client = site.client()
    urls = ("/api/predictions/stats", "/api/metrics/history", "/api/alerts")
    before = [client.get(url).get_json() for url in urls]
    damage(site.home() / ("incidents.json" if what == "incidents" else f"days/{kept.TODAY}.json"))
    assert [client.get(url).get_json() for url in urls] == before
    source = "incidents" if what == "incidents" else "history"
    assert source in client.get("/health").get_json()["failing"]
    assert f'sentinel_exporter_errors_total{{source="{source}"}}' in client.get("/metrics").text
    assert "Something could not be read" in client.get("/models/fraud").text
    # Broken from the start it is simply not there.
    fresh = site.client()
    for url in (*urls, "/models/fraud", "/metrics"):
        assert fresh.get(url).status_code == 200


def test_days_that_expired_are_forgotten(site: Site) -> None:
    """A day whose file is gone is gone; it is no error."""
    site.commit(results.result())
    kept.keep_days(site.paths.reports, kept.day(0), kept.day(1))
    client = site.client()
    assert client.get("/api/predictions/stats").get_json()["models"][0]["statistics"]["predictions"] == 2000
    (site.home() / "days" / f"{kept.TODAY}.json").unlink()
    assert client.get("/api/predictions/stats").get_json()["models"][0]["statistics"]["predictions"] == 1000
    assert client.get("/health").get_json()["failing"] == {}


def test_a_version_that_has_only_days_is_shown(site: Site) -> None:
    """Kept history outlives results, and may come before the first of them."""
    kept.keep_days(site.paths.reports, kept.day(1))
    found = get(site, "/api/predictions/stats?model=fraud")["models"][0]
    assert (found["serving"], found["statistics"]["predictions"]) == (False, 1000)
    assert site.client().get("/models/fraud").status_code == 200
    (site.paths.reports / ".hidden" / "1" / "days").mkdir(parents=True)
    assert len(get(site, "/api/predictions/stats")["models"]) == 1


def test_an_unchanged_day_is_not_read_again(site: Site) -> None:
    """Ninety days are parsed once."""
    site.commit(results.result())
    kept.keep_days(site.paths.reports, kept.day(0), kept.day(1))
    sources = site.sources()
    first = sources.days("fraud", "1", "2026-11-01", "2026-11-30")
    assert [a is b for a, b in zip(first, sources.days("fraud", "1", "2026-11-01", "2026-11-30"), strict=True)] == [
        True,
        True,
    ]
    kept.keep_days(site.paths.reports, dataclasses.replace(kept.day(0), revision=2))
    again = sources.days("fraud", "1", "2026-11-01", "2026-11-30")
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, False]
