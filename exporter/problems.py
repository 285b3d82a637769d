"""Errors of the JSON routes: RFC 9457 `application/problem+json`."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response

from gateway.tokens import CHALLENGES


@dataclass(frozen=True)
class Fault:
    """What is wrong with one query parameter."""

    parameter: str
    detail: str


class Refused(Exception):
    """A request is refused: `status` is the HTTP status, the text says why and what would be accepted.

    `faults` names every parameter that cannot be used; empty where the fault is another.
    """

    def __init__(self, status: HTTPStatus, detail: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = faults


def problem(status: HTTPStatus, detail: str, faults: tuple[Fault, ...] = ()) -> Response:
    """The answer to a refused request."""
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    if faults:
        body["errors"] = faults
    response = Response(msgspec.json.encode(body), status=status.value, content_type="application/problem+json")
    if status is HTTPStatus.UNAUTHORIZED:
        for challenge in CHALLENGES:
            response.headers.add("WWW-Authenticate", challenge)
    return response
