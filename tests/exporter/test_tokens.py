"""An exporter behind tokens: shut by default; a browser gets in with a token as its password."""

from __future__ import annotations

import base64
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from drift_engine.run_requests import take
from exporter.app import create_app
from exporter.settings import ExporterSettings
from tests.exporter.running import ROOT, environment, exporter
from tests.exporter.site import Site
from tests.exporter.test_browser import chromium
from tests.tools import free_port

TOKEN = "a-token-of-some-length"
BASIC = "Basic " + base64.b64encode(f"anybody:{TOKEN}".encode()).decode()


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"prometheus {TOKEN}\n")
    return path


@pytest.fixture
def client(site: Site, tokens_file: Path) -> FlaskClient:
    """A client of an exporter that has tokens and a model."""
    site.serve(fraud="1")
    settings = dataclasses.replace(ExporterSettings(), tokens_file=tokens_file)
    return create_app(site.paths, settings, time.time).test_client()


def path_of(rule: Rule) -> str:
    """A path that the rule matches."""
    _, path = rule.build(dict.fromkeys(rule.arguments, "x"), append_unknown=False) or ("", rule.rule)
    return path


def test_every_route_but_life_is_shut(client: FlaskClient) -> None:
    """Also what does not exist; the refusal says what would be accepted."""
    rules = [rule for rule in client.application.url_map.iter_rules() if rule.endpoint != "health"]
    assert len(rules) >= 7
    asked = [(method, path_of(rule)) for rule in rules for method in (rule.methods or set()) - {"OPTIONS"}]
    for method, path in [*asked, ("GET", "/nothing-here"), ("DELETE", "/metrics")]:
        answer = client.open(path, method=method)
        assert answer.status_code == 401, (method, path)
        assert [sent.split()[0] for sent in answer.headers.getlist("WWW-Authenticate")] == ["Bearer", "Basic"]
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("sent", [f"Bearer {TOKEN}", BASIC])
def test_a_token_opens_pages_and_metrics(client: FlaskClient, sent: str) -> None:
    for path in ("/", "/metrics", "/static/icon.svg", "/api/metrics/latest"):
        assert client.get(path, headers={"Authorization": sent}, buffered=True).status_code == 200, path
    assert client.get("/nothing-here", headers={"Authorization": sent}).status_code == 404


@pytest.mark.parametrize("sent", [f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Basic ====", BASIC[:-4], "Digest abc"])
def test_what_is_no_token_opens_nothing(client: FlaskClient, sent: str) -> None:
    assert client.get("/metrics", headers={"Authorization": sent}).status_code == 401


def test_with_a_token_a_run_can_be_asked_for_from_anywhere_but_a_foreign_page(client: FlaskClient, site: Site) -> None:
    def ask(**headers: str) -> int:
        return client.post(
            "/monitoring/run",
            json={},
            headers={"Authorization": BASIC, **headers},
            base_url="https://models.example",
            environ_base={"REMOTE_ADDR": "192.0.2.7"},
        ).status_code

    assert ask(Origin="https://evil.example") == 403
    assert take(site.paths.state) == ()
    assert ask(Origin="https://models.example") == 202
    assert len(take(site.paths.state)) == 1


@pytest.mark.parametrize("content", ["", "short x\n", None])
def test_it_does_not_start_with_unusable_tokens(site: Site, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    wanted = environment(site, free_port(), SENTINEL_EXPORTER_TOKENS_FILE=str(path))
    ended = subprocess.run([sys.executable, "-m", "exporter"], cwd=ROOT, env=wanted, capture_output=True, timeout=60)
    assert ended.returncode == 2
    assert str(path) in ended.stderr.decode()


def test_a_browser_browses_the_reports(site: Site, tokens_file: Path) -> None:
    """Asked for a password, it gives the token; style and script of the page come, too."""
    site.serve(fraud="1")
    with exporter(site, SENTINEL_EXPORTER_TOKENS_FILE=str(tokens_file)) as running, chromium() as browser:
        browser.get(f"http://anybody:{TOKEN}@127.0.0.1:{running.port}/")
        assert "fraud" in browser.page_source
        browser.get(running.url + "/")
        assert "fraud" in browser.page_source
        assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
