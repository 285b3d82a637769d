"""`POST /monitoring/run`: who may ask for a run."""

from __future__ import annotations

from typing import Any

import pytest

from drift_engine.run_requests import PENDING_MAX, take, write
from tests.exporter.site import Site
from tests.results import NOON

URL = "/monitoring/run"
LOCAL = {"base_url": "http://127.0.0.1:9108", "environ_base": {"REMOTE_ADDR": "127.0.0.1"}}


def post(site: Site, body: bytes = b"{}", **changes: Any) -> tuple[int, dict[str, Any]]:
    """Ask as the page on this host does, but for `changes`; the status and the JSON answer."""
    request: dict[str, Any] = LOCAL | {"data": body, "content_type": "application/json"} | changes
    answer = site.client(NOON).post(URL, **request)
    return answer.status_code, answer.get_json(force=True)


@pytest.mark.parametrize(
    ("body", "name"), [(b"{}", None), (b'{"model_name": null}', None), (b'{"model_name": "fraud"}', "fraud")]
)
def test_a_local_request_is_accepted_and_reaches_the_spool(site: Site, body: bytes, name: str | None) -> None:
    """202 with what will happen; the scheduler finds it."""
    site.serve(fraud="1")
    status, answer = post(site, body)
    assert status == 202
    assert answer == {"status": "accepted", "model_name": name, "requested_at": "2026-11-20T12:00:00.000000Z"}
    assert [request.model_name for request in take(site.paths.state)] == [name]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}, 403),
        ({"environ_base": {"REMOTE_ADDR": ""}}, 403),
        ({"headers": {"X-Forwarded-For": "192.0.2.7"}}, 403),
        ({"headers": {"Origin": "https://evil.example"}}, 403),
        ({"headers": {"Origin": "null"}}, 403),
        ({"headers": {"Origin": "http://127.0.0.1:8000"}}, 403),
        ({"base_url": "http://evil.example:9108", "headers": {"Origin": "http://evil.example:9108"}}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": None}, 415),
    ],
    ids=[
        "another host", "no address", "through a proxy", "a foreign page", "a sandboxed report", "another port",
        "a rebound name", "plain text", "a form", "no type",
    ],
)  # fmt: skip
def test_others_are_refused_and_nothing_is_asked_for(site: Site, changes: dict[str, Any], status: int) -> None:
    """A page that a browser on this host happens to show is "from this host" too; it must not get through."""
    got, answer = post(site, **changes)
    assert got == answer["status"] == status
    assert answer["detail"]
    assert take(site.paths.state) == ()


def test_the_pages_own_button_is_accepted(site: Site) -> None:
    """Same origin, by either name of this host, and over IPv6."""
    for base, address in (
        ("http://127.0.0.1:9108", "127.0.0.1"),
        ("http://localhost:9108", "127.0.0.1"),
        ("http://[::1]:9108", "::1"),
    ):
        changes: dict[str, Any] = {
            "base_url": base,
            "environ_base": {"REMOTE_ADDR": address},
            "headers": {"Origin": base},
        }
        assert post(site, **changes)[0] == 202


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"model_name": 1}', b"{} {}", b"\xff", b'{"model_name": "' + b"x" * 9000 + b'"}',
     b"[" * 3000],
)  # fmt: skip
def test_a_body_that_is_not_understood_is_refused(site: Site, body: bytes) -> None:
    """400, or 413 for one that is too long; never a run."""
    status, answer = post(site, body)
    assert status in (400, 413)
    assert answer["title"]
    assert take(site.paths.state) == ()


@pytest.mark.parametrize("name", ["nobody", "../../etc", "", "--help"])
def test_a_model_that_does_not_serve_is_refused(site: Site, name: str) -> None:
    """No name reaches the scheduler's command line that is not a serving model's."""
    site.serve(fraud="1")
    status, answer = post(site, b'{"model_name": "%s"}' % name.encode())
    assert status == 404
    assert "fraud" in answer["detail"]
    assert take(site.paths.state) == ()


def test_a_full_spool_is_told(site: Site) -> None:
    """429 rather than a pile of files."""
    for number in range(PENDING_MAX):
        write(site.paths.state, f"model{number}", NOON)
    status, answer = post(site)
    assert status == 429
    assert "is the scheduler running" in answer["detail"]


def test_other_methods_are_refused(site: Site) -> None:
    """A link or an image cannot ask for a run."""
    answer = site.client().get(URL)
    assert answer.status_code == 405
    assert answer.content_type == "application/problem+json"
    assert "POST" in answer.headers["Allow"]
