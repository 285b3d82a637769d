"""HTTPS in both ways that `deploy/` shows: by the gateway itself, and by nginx in front of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.logs import prediction_rows
from tests.models import register_numbers
from tests.running import ROOT, Place, gateway, started
from tests.tools import free_port, require_tool, wait_until

ROW = {f"x{index}": 0.5 for index in range(5)}


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    chain, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    command = [
        require_tool("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(key), "-out", str(chain), "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return chain, key


@contextlib.contextmanager
def https(port: int, chain: Path) -> Iterator[http.client.HTTPSConnection]:
    """A connection that trusts this certificate and no other."""
    connection = http.client.HTTPSConnection(
        "localhost", port, timeout=30, context=ssl.create_default_context(cafile=str(chain))
    )
    with contextlib.closing(connection):
        yield connection


def predict(connection: http.client.HTTPSConnection) -> str:
    """One answered prediction's request id."""
    connection.request("POST", "/predict", json.dumps(ROW), {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = json.loads(response.read())
    assert response.status == 200, body
    return str(body["request_id"])


def is_up(port: int, chain: Path) -> bool:
    """Whether HTTPS is answered there."""
    context = ssl.create_default_context(cafile=str(chain))
    with urllib.request.urlopen(f"https://localhost:{port}/health", timeout=5, context=context) as response:
        return bool(response.status == 200)


def test_the_gateway_speaks_https_itself(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """Two settings; every answer is recorded, and plain HTTP is not answered."""
    chain, key = certificate
    settings = {"SENTINEL_GATEWAY_TLS_CERTIFICATE_FILE": str(chain), "SENTINEL_GATEWAY_TLS_KEY_FILE": str(key)}
    place = Place(tmp_path, settings={**settings, "SENTINEL_GATEWAY_ACCESS_LOG": "all"})
    card = register_numbers(place.registry, tmp_path / "in", rows=300)
    with started(place, "-m", "gateway") as running:
        wait_until(lambda: is_up(place.gateway_port, chain), 60, "HTTPS")
        with https(place.gateway_port, chain) as connection:
            answered = [predict(connection) for _ in range(3)]
        with pytest.raises((OSError, http.client.HTTPException)):
            urllib.request.urlopen(f"http://127.0.0.1:{place.gateway_port}/health", timeout=5)
        wait_until(lambda: answered[-1] in running.output(), 10, "the access log")
    assert [row["request_id"] for row in prediction_rows(place.paths.live, card)] == answered


def test_nginx_in_front_of_the_gateway(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """The configuration of deploy/ with this test's ports and files; slow clients end at nginx."""
    nginx, (chain, key) = require_tool("nginx"), certificate
    place, port = Place(tmp_path), free_port()
    card = register_numbers(place.registry, tmp_path / "in", rows=300)
    shipped = (ROOT / "deploy" / "nginx.conf").read_text()
    for there, here in {
        "127.0.0.1:8000": f"127.0.0.1:{place.gateway_port}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "models.example.com": "localhost",
        "/etc/sentinelml/fullchain.pem": str(chain),
        "/etc/sentinelml/privkey.pem": str(key),
    }.items():
        assert there in shipped
        shipped = shipped.replace(there, here)
    folders = " ".join(
        f"{kind}_temp_path {tmp_path}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/nginx.pid; error_log stderr; daemon off; events {{}}\n"
        f"http {{ access_log off; {folders}\n{shipped}\n}}\n"
    )
    with gateway(place):
        process = subprocess.Popen([nginx, "-c", str(config), "-e", "stderr", "-p", str(tmp_path)])
        try:
            wait_until(lambda: is_up(port, chain), 30, "nginx")
            with https(port, chain) as connection:
                answered = [predict(connection) for _ in range(5)]
        finally:
            process.terminate()
            process.wait(20)
    assert sorted(row["request_id"] for row in prediction_rows(place.paths.live, card)) == sorted(answered)
