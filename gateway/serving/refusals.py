"""What the gateway keeps of a request that it refused: a count and a line in its own log."""

from __future__ import annotations

import logging

import msgspec

from gateway.registry import ModelCard
from gateway.serving.metrics import count_error
from gateway.serving.problems import Problem
from gateway.serving.v2.errors import error_body, is_v2

log = logging.getLogger("gateway.requests")


def note(problem: Problem, *, request_id: str, timestamp: str, method: str, path: str, card: ModelCard | None) -> None:
    """Count and log a refusal. `card`: the model that was asked, None when none was found."""
    name, version = (card.name, card.version) if card else ("", "")
    count_error(name, version, problem.kind.name)
    line = {
        "request_id": request_id,
        "timestamp": timestamp,
        "method": method,
        "path": _printable(path),
        "status": problem.kind.status,
        "error_type": problem.kind.name,
    }
    log.info("%s", msgspec.json.encode(line).decode())


def response(problem: Problem, request_id: str, path: str) -> tuple[dict[str, str], bytes]:
    """Headers, beside those that every answer has, and body of a refusal, in the form that is spoken at that path."""
    retried = {"Retry-After": "1"} if problem.kind.status == 503 else {}
    if is_v2(path):
        return {"Content-Type": "application/json", **retried}, error_body(problem, request_id)
    return {"Content-Type": "application/problem+json", **retried}, problem.body(request_id)


def _printable(path: str) -> str:
    """A path for a log line: no control characters, no surrogates, bounded."""
    return path[:200].encode("unicode_escape").decode("ascii")
