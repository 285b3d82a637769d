"""Who may pass, and how often: every request but the question for life meets this first."""

from __future__ import annotations

from gateway.serving import problems
from gateway.serving.problems import Problem
from gateway.settings import GatewaySettings
from gateway.tokens import Allowance, Tokens


class Guard:
    """Checks Authorization headers. Without a token file everybody passes, nameless and unlimited.

    Raises:
        InvalidTokens: the token file cannot be used.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._tokens = Tokens(settings.tokens_file) if settings.tokens_file is not None else None
        self._allowance = Allowance(settings.requests_per_second_max)

    def admit(self, authorization: str) -> str:
        """The name of the token that was sent, "" where none is needed. Raises Problem."""
        if self._tokens is None:
            return ""
        owner = self._tokens.owner(authorization)
        if owner is None:
            raise Problem(problems.UNAUTHORIZED, "send a valid token as 'Authorization: Bearer <token>'")
        if not self._allowance.takes(owner):
            raise Problem(problems.TOO_MANY_REQUESTS, f"{owner} has used up its requests for now")
        return owner
