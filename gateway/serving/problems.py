"""Refusals as data: one exception, one table of kinds, one rendering (RFC 9457 `application/problem+json`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.log.refusals import Reason

#: Faults shown in one answer; a batch of thousands of wrong rows would otherwise be answered at length.
FAULTS_SHOWN = 100


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: where, as a JSON pointer (RFC 6901), and what, as a sentence.

    Attributes:
        reason: what kind of thing it is, for whoever counts.
        feature: the input that it is about, "" for the request or a whole row of it.
        value: what was sent there; None for nothing, or nothing worth showing.
    """

    pointer: str
    detail: str
    reason: Reason = "wrong form"
    feature: str = ""
    value: Any = None


@dataclass(frozen=True)
class Kind:
    """A kind of refusal: its name (the metric's `error_type`), HTTP status and title."""

    name: str
    status: int
    title: str


MALFORMED = Kind("malformed", 400, "The request cannot be parsed")
UNAUTHORIZED = Kind("unauthorized", 401, "The request carries no valid token")
UNKNOWN_MODEL = Kind("unknown_model", 404, "There is no such model")
NOT_FOUND = Kind("not_found", 404, "There is no such resource")
METHOD_NOT_ALLOWED = Kind("method_not_allowed", 405, "The resource does not support this method")
TIMED_OUT = Kind("timed_out", 408, "The request did not arrive in time")
TOO_LARGE = Kind("too_large", 413, "The request is too large")
URI_TOO_LONG = Kind("uri_too_long", 414, "The request's address is too long")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported_media_type", 415, "The request body must be JSON")
INVALID = Kind("invalid", 422, "The request was understood and is not acceptable")
MODEL_FAILED = Kind("model_failed", 500, "The model could not score the request")
INTERNAL = Kind("internal", 500, "The gateway failed")
TOO_MANY_REQUESTS = Kind("too_many_requests", 429, "This token has asked too often")
HEAD_TOO_LARGE = Kind("head_too_large", 431, "The request's head is too large")
BUSY = Kind("busy", 503, "The gateway has too much to do")
NOT_RECORDED = Kind("not_recorded", 503, "The request cannot be recorded, so it was not answered")
NOT_READY = Kind("not_ready", 503, "No model is ready")


class Problem(Exception):
    """A request that is refused. `faults` lists everything that is wrong, not just the first thing.

    Attributes:
        causes: one fault of each reason and feature, also of those that are not shown.
        rows: how many were asked for, as far as that could be told; 1 otherwise.
    """

    def __init__(
        self, kind: Kind, detail: str, faults: Sequence[Fault] = (), *, causes: Sequence[Fault] = (), rows: int = 1
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = tuple(faults)
        self.causes = tuple(causes)
        self.rows = rows

    def body(self, request_id: str) -> bytes:
        """The response body. Non-ASCII is escaped, so whatever a client sent comes back as harmless text."""
        document: dict[str, Any] = {
            "type": f"urn:sentinelml:problem:{self.kind.name}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.faults:
            document["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in self.faults]
        return json.dumps(document).encode()


def too_large(bytes_max: int) -> Problem:
    """The refusal of a body beyond the limit."""
    return Problem(TOO_LARGE, f"the body is larger than {bytes_max} bytes")


def invalid(faults: Sequence[Fault], *, rows: int = 1) -> Problem:
    """The refusal of values that can be read and are not acceptable, with at most `FAULTS_SHOWN` of what is wrong.

    `rows`: how many were asked for.
    """
    count = len(faults)
    detail = "one value is not acceptable" if count == 1 else f"{count} values are not acceptable"
    if count > FAULTS_SHOWN:
        detail += f"; the first {FAULTS_SHOWN} are shown"
    causes: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        causes.setdefault((fault.reason, fault.feature), fault)
    return Problem(INVALID, detail, faults[:FAULTS_SHOWN], causes=tuple(causes.values()), rows=rows)


def pointer(*parts: str | int) -> str:
    """A JSON pointer, each part escaped as RFC 6901 says.

    >>> pointer("instances", 3, "a/b")
    '/instances/3/a~1b'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def parts_of(text: str) -> list[str]:
    """What a JSON pointer was made from, as texts: `pointer` undone.

    >>> parts_of("/instances/3/a~1b")
    ['instances', '3', 'a/b']
    """
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]
