"""The JSON routes."""

from __future__ import annotations

from tests import results
from tests.exporter.site import Site


def test_the_latest_performance_of_every_model(site: Site) -> None:
    """With its window and its outcome, so that an old figure can be seen to be old."""
    site.commit(results.result())
    site.serve(churn="1")
    answer = site.client().get("/api/metrics/latest").get_json()
    churn, fraud = answer["models"]
    assert (churn["model_name"], churn["serving"], churn["run"], churn["performance"]) == ("churn", True, None, None)
    assert (fraud["model_name"], fraud["serving"]) == ("fraud", False)
    assert fraud["run"]["window"]["end"] == "2026-11-20T12:00:00.000000Z"
    assert fraud["run"]["outcome"] == "ok"
    assert fraud["performance"]["metrics"][0]["value"] == 0.91


def test_the_latest_drift_of_one_model(site: Site) -> None:
    """Every column with its score and threshold; no answer is null, not false."""
    site.commit(results.drifted())
    site.commit(results.insufficient(model_name="churn"))
    client = site.client()
    (fraud,) = client.get("/api/drift/data?model=fraud").get_json()["models"]
    assert fraud["data_drift"]["detected"] is True
    assert fraud["data_drift"]["columns"][0]["checks"][0]["score"] == 0.4
    assert fraud["prediction_drift"]["detected"] is True
    assert fraud["data_quality"] == {"findings": [], "unanswered": []}
    (churn,) = client.get("/api/drift/data?model=churn").get_json()["models"]
    assert churn["data_drift"]["detected"] is None
    assert client.get("/api/drift/data?model=nobody").status_code == 404


def test_an_unknown_route_is_a_problem(site: Site) -> None:
    """RFC 9457, as everywhere in the API."""
    answer = site.client().get("/api/nothing")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
    assert answer.get_json()["status"] == 404


def test_health_tells_of_broken_sources(site: Site) -> None:
    """Alive is not the same as well: the exporter answers, and says what it cannot read."""
    run = results.result()
    site.commit(run)
    client = site.client()
    assert client.get("/health").get_json() == {"status": "ok", "failing": {}}
    (site.home() / run.run_id / "result.json").write_bytes(b"")
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.get_json()["status"] == "degraded"
    assert "fraud 1" in answer.get_json()["failing"]["result"]
