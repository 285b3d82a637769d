"""Who may pass, and how often: every request but the question for life meets this first."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.serving import problems
from gateway.serving.problems import Problem
from gateway.settings import GatewaySettings
from gateway.tokens import Tokens


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

    def give_back(self, owner: str) -> None:
        """Take back the count of a request that was admitted and is to be admitted once more."""
        if self._tokens is not None:
            self._allowance.give_back(owner)


class Allowance:
    """So many requests a second for each name, and a burst of as many (a token bucket per name).

    For one thread at a time per call; a lost update costs or gives one request.

    Args:
        per_second: requests a second; 0 means no limit.
    """

    def __init__(self, per_second: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second)
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}

    def takes(self, name: str) -> bool:
        """Count one request of `name`, unless it has none left."""
        if not self._per_second:
            return True
        now = self._monotonic()
        left, at = self._left.get(name, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        self._left[name] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def give_back(self, name: str) -> None:
        """Count one request of `name` less."""
        if name in self._left:
            left, at = self._left[name]
            self._left[name] = (min(self._burst, left + 1), at)
