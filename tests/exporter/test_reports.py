"""Reports: served as they are, boxed in, and never anything else."""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path

import pytest

from exporter.report_files import open_report
from tests import results
from tests.exporter.site import Site

RUN = results.result().run_id
SECRET = "the secret"


@pytest.fixture
def guarded(site: Site) -> Site:
    """An installation with one run, and a secret beside the reports."""
    site.commit(results.result(), b"<!doctype html><title>the report</title>")
    (site.paths.reports.parent / "secret.html").write_text(SECRET)
    (site.paths.reports / "report.html").write_text(SECRET)
    return site


def test_a_report_is_served_whole_in_a_sandbox(guarded: Site) -> None:
    """Its own scripts run, in an origin of their own, without any network."""
    answer = guarded.client().get(f"/reports/fraud/1/{RUN}/report.html", buffered=True)
    assert answer.status_code == 200
    assert answer.data == b"<!doctype html><title>the report</title>"
    assert answer.content_length == len(answer.data)
    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = {part.split()[0]: part.split()[1:] for part in answer.headers["Content-Security-Policy"].split("; ")}
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'unsafe-inline'"]
    assert "connect-src" not in policy
    assert "allow-same-origin" not in policy["sandbox"]


def test_the_result_is_served_as_json(guarded: Site) -> None:
    """The file itself, byte for byte."""
    answer = guarded.client().get(f"/reports/fraud/1/{RUN}/result.json", buffered=True)
    assert answer.content_type == "application/json"
    assert answer.data == (guarded.home() / RUN / "result.json").read_bytes()


def test_head_costs_no_body(guarded: Site) -> None:
    """HEAD tells the size."""
    answer = guarded.client().head(f"/reports/fraud/1/{RUN}/report.html", buffered=True)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.content_length == 40


@pytest.mark.parametrize(
    "path",
    [
        "/reports/../secret.html",
        "/reports/fraud/1/../../../secret.html",
        "/reports/fraud/1/../report.html",
        "/reports/fraud/../1/report.html",
        "/reports/../../1/x/report.html",
        f"/reports/fraud/1/{RUN}/../../../../secret.html",
        f"/reports/fraud/1/{RUN}/..%2f..%2f..%2f..%2fsecret.html",
        f"/reports/fraud/1/{RUN}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret.html",
        f"/reports/fraud/1/{RUN}/..%5c..%5csecret.html",
        "/reports/%2e%2e/%2e%2e/%2e%2e/report.html",
        "/reports/..%2f/..%2f/..%2f/report.html",
        "/reports/./././report.html",
        "/reports/%2e/%2e/%2e/report.html",
        f"/reports/fraud/1/{RUN}/report.html%00",
        f"/reports/fraud/1/{RUN}%00/report.html",
        f"/reports/fraud/1/{RUN}%0a/report.html",
        f"/reports/fraud%0a/1/{RUN}/report.html",
        f"/reports/fraud/1/{RUN}/.tmp-report.html",
        f"/reports/fraud/1/{RUN}/latest.json",
        "/reports/fraud/1/latest.json/report.html",
        f"/reports/fraud/1/{RUN}/",
        "/reports/fraud/1/",
        "/reports/",
        "/reports/fraud/1/absent/report.html",
        f"/reports/absent/1/{RUN}/report.html",
        f"/static/../../reports/fraud/1/{RUN}/report.html",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        f"/reports/{'x' * 10_000}/1/{RUN}/report.html",
        f"/reports/fraud/1/{RUN}/report.html/",
    ],
)
def test_no_path_leaves_the_reports(guarded: Site, path: str) -> None:
    """Dots, encodings, separators, NULs, line feeds: not found, and nothing of the secret."""
    answer = guarded.client().get(path, follow_redirects=True, buffered=True)
    assert SECRET not in answer.text
    assert answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST)


@pytest.mark.parametrize("level", ["name", "version", "run", "file"])
def test_no_link_leads_out_of_the_reports(guarded: Site, tmp_path: Path, level: str) -> None:
    """A symbolic link at any level is not followed, not even one that stays inside."""
    outside = tmp_path / "outside"
    (outside / "1" / RUN).mkdir(parents=True)
    for folder in (outside, outside / "1", outside / "1" / RUN):
        (folder / "report.html").write_text(SECRET)
        (folder / "1").mkdir(exist_ok=True)
    reports = guarded.paths.reports
    if level == "name":
        (reports / "link").symlink_to(outside)
        path = f"link/1/{RUN}"
    elif level == "version":
        (reports / "fraud" / "link").symlink_to(outside / "1")
        path = f"fraud/link/{RUN}"
    elif level == "run":
        (reports / "fraud" / "1" / "link").symlink_to(outside / "1" / RUN)
        path = "fraud/1/link"
    else:
        (reports / "fraud" / "1" / RUN / "report.html").unlink()
        (reports / "fraud" / "1" / RUN / "report.html").symlink_to(outside / "report.html")
        path = f"fraud/1/{RUN}"
    assert (reports / path / "report.html").read_text() == SECRET
    answer = guarded.client().get(f"/reports/{path}/report.html", buffered=True)
    assert answer.status_code == 404
    assert SECRET not in answer.text


def test_only_regular_files_are_served(guarded: Site) -> None:
    """A FIFO would hang the thread that opens it, a folder is no report."""
    folder = guarded.home() / RUN
    (folder / "report.html").unlink()
    os.mkfifo(folder / "report.html")
    (folder / "result.json").unlink()
    (folder / "result.json").mkdir()
    for file in ("report.html", "result.json"):
        assert open_report(guarded.paths.reports, "fraud", "1", RUN, file) is None


def test_a_refused_report_leaves_no_file_open(guarded: Site) -> None:
    """Thousands of bad requests must not use up the process's descriptors."""
    client = guarded.client()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        client.get("/reports/fraud/1/absent/report.html")
        client.get(f"/reports/fraud/1/{RUN}/absent.html")
        client.get(f"/reports/fraud/1/{RUN}/report.html").close()
        client.head(f"/reports/fraud/1/{RUN}/report.html").close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_missing_report_is_a_page_for_people(guarded: Site) -> None:
    """The link may be older than the retention."""
    answer = guarded.client().get("/reports/fraud/1/absent/report.html")
    assert answer.content_type.startswith("text/html")
    assert "There is no such report" in answer.text
