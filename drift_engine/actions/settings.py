"""What is done when retraining is recommended: section `[retraining]`. Nothing, unless it is set."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from gateway.settings import setting


def _parse_command(raw: Any) -> tuple[str, ...]:
    """Words as they are, or one text that is split as a shell would. No shell ever runs it. Raises ValueError."""
    words = shlex.split(raw) if isinstance(raw, str) else raw
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words) or not words[0]:
        raise ValueError("must be a list of words, or one text that can be split into words")
    if any("\0" in word for word in words):
        raise ValueError("a word holds a NUL")
    return tuple(words)


def _parse_url(raw: Any) -> str:
    """An http or https URL without credentials. Raises ValueError, whose text never shows the URL: it may be secret."""
    if not isinstance(raw, str) or not raw.isascii() or not raw.isprintable() or " " in raw:
        raise ValueError("is no URL")
    try:
        parts = urlsplit(raw)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be an http:// or https:// URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; name a file with a bearer token in webhook_token_file")
    return raw


@dataclass(frozen=True)
class RetrainingSettings:
    """Section `[retraining]`."""

    section: ClassVar[str] = "retraining"

    command: tuple[str, ...] | None = setting(
        None,
        "run once per incident when retraining is recommended: a list of words, or one text, which no "
        "shell runs; in the settings file only",
        parse=_parse_command,
        file_only=True,
    )
    webhook: str | None = setting(None, "URL that is posted the decision as JSON, once per incident", parse=_parse_url)
    webhook_token_file: Path | None = setting(None, "file that holds the bearer token to send to the webhook")
    timeout_seconds: float = setting(
        600.0, "a command that runs longer is stopped; a webhook has 30 s at most", minimum=1, maximum=86400
    )
    cooldown_hours: float = setting(
        24.0, "at least so long between two actions of one kind for a model", minimum=0, maximum=8760
    )

    @property
    def is_on(self) -> bool:
        """Whether anything is to be done."""
        return self.command is not None or self.webhook is not None
