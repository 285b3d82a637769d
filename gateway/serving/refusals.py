"""What becomes of a request that was refused: a count, a line in the access log, and the headers of its answer."""

from __future__ import annotations

from gateway.registry import ModelCard
from gateway.serving import problems
from gateway.serving.access import AccessLog, Asked
from gateway.serving.metrics import count_error
from gateway.serving.problems import Problem


def note(problem: Problem, access: AccessLog, asked: Asked, card: ModelCard | None) -> None:
    """Count and log a refusal. `card`: the model that was asked, None when none was found."""
    name, version = (card.name, card.version) if card else ("", "")
    count_error(name, version, problem.kind.name)
    access.refused(asked, problem.kind.status, problem.kind.name)


def headers(problem: Problem) -> dict[str, str]:
    """The headers of a refusal beside those that every answer has."""
    found = {"Content-Type": "application/problem+json"}
    if problem.kind.status in (429, 503):
        found["Retry-After"] = "1"
    if problem.kind is problems.UNAUTHORIZED:
        found["WWW-Authenticate"] = "Bearer"
    return found
