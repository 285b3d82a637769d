"""`POST /monitoring/run`: who may ask for a drift run, and what the request must look like."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from flask import Request

from exporter.problems import Refused

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
#: The largest accepted request body of the exporter.
BODY_BYTES_MAX = 4096


@dataclass(frozen=True)
class RunNow:
    """The body: which model to run; every serving one when absent or null."""

    model_name: str | None = None


def read_request(request: Request, *, is_known: bool) -> RunNow:
    """The accepted body of a request: of one with a token (`is_known`), else of one from this host. Raises Refused.

    Without tokens, "from this host" is all there is to go by, and a web page open in a browser on this host
    is from here too. So a request must also be JSON, which a foreign page cannot send unasked; name this host
    in `Host`, which a rebound DNS name does not; and carry no foreign `Origin`. One that came through a proxy
    is refused as well: the proxy is local, its client need not be. A browser sends the password that it once was
    given unasked, too; so JSON and the origin count for those with a token as well.
    """
    if not is_known:
        _require_local(request)
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise Refused(HTTPStatus.FORBIDDEN, "requests from pages of other origins are refused")
    if request.mimetype != "application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body as application/json")
    body = request.get_data(cache=False)
    try:
        return msgspec.json.decode(body, type=RunNow)
    except msgspec.MsgspecError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f'the body must be {{}} or {{"model_name": "..."}}: {error}') from None


def _require_local(request: Request) -> None:
    if not _is_loopback(request.remote_addr) or _came_through_a_proxy(request):
        raise Refused(HTTPStatus.FORBIDDEN, "a run can be asked for from this host only")
    if urlsplit(f"//{request.host}").hostname not in _LOCAL_NAMES:
        raise Refused(HTTPStatus.FORBIDDEN, "address this host as 127.0.0.1 or localhost")


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _came_through_a_proxy(request: Request) -> bool:
    return any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"))
