"""What becomes of a request that was refused: a count, a line in the access log, and the headers of its answer."""

from __future__ import annotations

from gateway.registry import ModelCard
from gateway.serving import problems
from gateway.serving.access import AccessLog, Asked
from gateway.serving.metrics import count_error
from gateway.serving.problems import Problem
from gateway.serving.v2.errors import error_body, is_v2
from gateway.tokens import CHALLENGES


def note(problem: Problem, access: AccessLog, asked: Asked, card: ModelCard | None) -> None:
    """Count and log a refusal. `card`: the model that was asked, None when none was found."""
    name, version = (card.name, card.version) if card else ("", "")
    count_error(name, version, problem.kind.name)
    access.refused(asked, problem.kind.status, problem.kind.name)


def response(problem: Problem, request_id: str, path: str) -> tuple[list[tuple[str, str]], bytes]:
    """Headers, beside those that every answer has, and body of a refusal, in the form that is spoken at that path."""
    more = []
    if problem.kind.status in (429, 503):
        more.append(("Retry-After", "1"))
    if problem.kind is problems.UNAUTHORIZED:
        more += [("WWW-Authenticate", challenge) for challenge in CHALLENGES]
    if is_v2(path):
        return [("Content-Type", "application/json"), *more], error_body(problem, request_id)
    return [("Content-Type", "application/problem+json"), *more], problem.body(request_id)
