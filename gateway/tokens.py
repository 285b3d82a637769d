"""Who may ask: tokens from a file, each with a name that may be shown, for the gateway and for the exporter.

They come as `Authorization: Bearer <token>`, or as the password of `Authorization: Basic`, which is how a browser
asks a person for one; the user name then does not matter.

One `<name> <token>` a line; empty lines and lines that begin with `#` do not count. A name may stand twice, so
that the next token is valid beside the last one while clients change over. Only hashes are kept in memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("gateway.tokens")

#: How long a change of the file may take to be seen.
KEPT_SECONDS = 1.0
_LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})[ \t]+(?P<token>[A-Za-z0-9._~+/-]{16,512}={0,2})")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}={0,2}")
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z]+) +(?P<value>[A-Za-z0-9._~+/-]{1,4096}={0,2})")
#: How a refusal says what would be accepted: headers WWW-Authenticate (RFC 9110, 11.6.1), for browsers one for each.
CHALLENGES = ("Bearer", 'Basic realm="SentinelML: a token is the password"')


class InvalidTokens(Exception):
    """The file cannot be used; the text says why and shows no token."""


class Tokens:
    """The tokens of one file, read again when it changes.

    A file that vanishes, or that becomes unreadable, admits nobody: shut means shut.

    Raises:
        InvalidTokens: at the start, when the file cannot be used.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._known = read_tokens(path)
        self._mark = _mark(path)
        self._looked_at = monotonic()
        self._looking = threading.Lock()

    def owner(self, authorization: str) -> str | None:
        """The name of the token in an Authorization header; None when it may not pass."""
        self._look()
        token = _token_in(authorization)
        if token is None:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        owner = None
        # All of them, each in constant time: how long it takes says nothing about any.
        for name, known in self._known:
            if hmac.compare_digest(known, digest):
                owner = name
        return owner

    def _look(self) -> None:
        now = self._monotonic()
        if now - self._looked_at < KEPT_SECONDS or not self._looking.acquire(blocking=False):
            return
        try:
            self._looked_at = now
            mark = _mark(self._path)
            if mark != self._mark:
                self._mark = mark
                self._known = read_tokens(self._path)
                log.info("%s: tokens of %s are valid", self._path, ", ".join(sorted({name for name, _ in self._known})))
        except InvalidTokens as error:
            self._known = ()
            log.error("nobody is admitted: %s", error)
        finally:
            self._looking.release()


def read_tokens(path: Path) -> tuple[tuple[str, bytes], ...]:
    """The names and hashes of a token file. Raises InvalidTokens."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidTokens(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise InvalidTokens(
                f"{path}, line {number}: must be '<name> <token>', the token of at least 16 letters, digits or ._~+/-"
            )
        found.append((match["name"], hashlib.sha256(match["token"].encode()).digest()))
    if not found:
        raise InvalidTokens(f"{path}: holds no token")
    return tuple(found)


def _token_in(authorization: str) -> str | None:
    credentials = _CREDENTIALS.fullmatch(authorization)
    if credentials is None:
        return None
    token = credentials["value"]
    match credentials["scheme"].lower():
        case "bearer":
            pass
        case "basic":
            try:
                token = base64.b64decode(token, validate=True).partition(b":")[2].decode("ascii")
            except (binascii.Error, UnicodeDecodeError):
                return None
        case _:
            return None
    return token if _TOKEN.fullmatch(token) else None


def _mark(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
