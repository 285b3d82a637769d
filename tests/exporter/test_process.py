"""The real exporter process."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from http.client import HTTPConnection

from tests import results
from tests.exporter.running import ROOT, environment, exporter
from tests.exporter.site import Site
from tests.tools import free_port

#: An exporter in which heavy packages cannot be imported: what it needs must not bring them in.
BLOCKED = """
import sys
for name in ("evidently", "plotly", "pandas", "sklearn", "scipy", "numpy", "pyarrow", "skops", "matplotlib"):
    sys.modules[name] = None
from exporter.__main__ import main
sys.exit(main())
"""


def run(site: Site, port: int, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m exporter`, expected to end by itself."""
    command = [sys.executable, "-m", "exporter", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(site, port, **more), capture_output=True, text=True, timeout=30
    )


def test_it_serves_and_stops_without_evidently_pandas_or_scikit_learn(site: Site) -> None:
    """Scrapes, pages and reports need none of the drift engine's dependencies; SIGTERM ends it with 0."""
    site.commit(results.drifted())
    with exporter(site, ("-c", BLOCKED)) as running:
        assert b"model_data_drift_detected" in running.get("/metrics")
        assert b"Drift" in running.get("/")
        assert b"<title>report</title>" in running.get(f"/reports/fraud/1/{results.drifted().run_id}/report.html")


def test_the_gateways_variable_in_its_environment_changes_nothing(site: Site) -> None:
    """Started from a shell in which PROMETHEUS_MULTIPROC_DIR is set, it still answers and writes no metric files."""
    site.paths.gateway_metrics.mkdir()
    with exporter(site, PROMETHEUS_MULTIPROC_DIR=str(site.paths.gateway_metrics)) as running:
        assert b"sentinel_exporter_errors_total" in running.get("/metrics")
    assert list(site.paths.gateway_metrics.iterdir()) == []


def test_clients_that_never_finish_their_request_do_not_block_scrapes(site: Site) -> None:
    """As many half-sent requests as there are threads, and the next scrape still comes through."""
    with exporter(
        site,
        complaint="Socket error processing request",
        SENTINEL_EXPORTER_THREADS="2",
        SENTINEL_EXPORTER_SOCKET_TIMEOUT_SECONDS="1",
    ) as running:
        slow = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(4)]
        try:
            for connection in slow:
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            begun = time.monotonic()
            assert running.get("/metrics")
            assert time.monotonic() - begun < 8
        finally:
            for connection in slow:
                connection.close()


def test_an_encoded_path_is_refused_by_the_real_server_too(site: Site) -> None:
    """What clients' libraries would tidy up is sent as it is."""
    site.commit(results.result())
    (site.paths.reports.parent / "secret.html").write_text("the secret")
    with exporter(site) as running:
        for path in (
            "/reports/fraud/1/../../../secret.html",
            "/reports/fraud/1/..%2f..%2f..%2fsecret.html",
            "/reports/%2e%2e/%2e%2e/%2e%2e/secret.html",
            "//etc/passwd",
            "/static/../app.py",
        ):
            connection = HTTPConnection("127.0.0.1", running.port, timeout=10)
            connection.putrequest("GET", path, skip_host=False)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            assert answer.status in (308, 404), path
            assert b"the secret" not in body


def test_a_taken_port_is_told_at_once(site: Site) -> None:
    """One sentence and exit code 1, not a minute of retries."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = run(site, taken.getsockname()[1])
    assert refused.returncode == 1
    assert "cannot listen on 127.0.0.1" in refused.stderr
    assert "in use" in refused.stderr


def test_wrong_settings_are_all_told(site: Site) -> None:
    """Every fault at once, exit code 2."""
    refused = run(site, free_port(), SENTINEL_EXPORTER_THREADS="0", SENTINEL_EXPORTER_STALE_AFTER_SECONDS="soon")
    assert refused.returncode == 2
    assert "SENTINEL_EXPORTER_THREADS" in refused.stderr
    assert "SENTINEL_EXPORTER_STALE_AFTER_SECONDS" in refused.stderr


def test_help_works_without_a_setup(site: Site) -> None:
    """--help says what it is and how it is set up."""
    helped = run(site, free_port(), "--help")
    assert helped.returncode == 0
    assert "SENTINEL_EXPORTER_PORT" in helped.stdout
