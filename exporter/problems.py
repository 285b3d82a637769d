"""Errors of the JSON routes: RFC 9457 `application/problem+json`."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from flask import Response

from gateway.tokens import CHALLENGES


class Refused(Exception):
    """A request is refused: `status` is the HTTP status, the text says why and what would be accepted."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def problem(status: HTTPStatus, detail: str) -> Response:
    """The answer to a refused request."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    response = Response(msgspec.json.encode(body), status=status.value, content_type="application/problem+json")
    if status is HTTPStatus.UNAUTHORIZED:
        for challenge in CHALLENGES:
            response.headers.add("WWW-Authenticate", challenge)
    return response
