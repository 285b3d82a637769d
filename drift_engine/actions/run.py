"""Runs a command, or posts to a webhook, and says how that ended. Bounded in time; nothing it does is repeated."""

from __future__ import annotations

import http.client
import os
import selectors
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Literal

from gateway.process_group import die_with_parent, has_ended, stop_group

#: How much of a command's output is kept, from its end.
OUTPUT_BYTES_MAX = 4096
#: A webhook that has not answered by then will not.
WEBHOOK_SECONDS_MAX = 30.0
#: How long a command that is stopped may take to clean up.
KILL_AFTER_SECONDS = 5.0
_TOKEN_LENGTH_MAX = 4096


@dataclass(frozen=True)
class Ending:
    """How it ended; fields as those of `results.actions.Ended`."""

    outcome: Literal["ok", "failed", "timeout"]
    code: int | None
    detail: str = ""
    output: str = ""


def run_command(words: Sequence[str], environment: Mapping[str, str], timeout_seconds: float) -> Ending:
    """Run a program without a shell, its input empty; stop it with all that it started when it takes too long.

    Args:
        environment: added to that of this process.
    """
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            # One system call, and no thread of ours holds a lock that the child would need.
            preexec_fn=die_with_parent,
        )
    except OSError as error:
        return Ending("failed", None, f"cannot be started: {error.strerror}")
    assert process.stdout is not None
    try:
        tail = _tail_until(process, process.stdout, time.monotonic() + timeout_seconds)
        late = not has_ended(process)
    finally:
        stop_group(process, KILL_AFTER_SECONDS)
        process.stdout.close()
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    if late:
        return Ending("timeout", code, f"stopped after {timeout_seconds:g} s", tail)
    return Ending("ok", code, "", tail) if code == 0 else Ending("failed", code, f"exit code {code}", tail)


def post(url: str, body: bytes, token_file: Path | None, timeout_seconds: float) -> Ending:
    """POST JSON. An answer of 2xx is success; a redirect is none, for it would take the token elsewhere.

    The answer's body is not read: it is not ours to keep.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "sentinelml"}
    if token_file is not None:
        token = _read_token(token_file)
        if token is None:
            return Ending("failed", None, "the token file cannot be used")
        headers["Authorization"] = f"Bearer {token}"
    seconds = min(timeout_seconds, WEBHOOK_SECONDS_MAX)
    call = _Call(urllib.request.Request(url, data=body, headers=headers, method="POST"), seconds)
    # A thread, since a socket's timeout bounds one read: a server that sends byte by byte would hold us for ever.
    thread = threading.Thread(target=call.run, daemon=True)
    thread.start()
    thread.join(seconds)
    return call.ending or Ending("timeout", None, f"no answer within {seconds:g} s")


@dataclass
class _Call:
    request: urllib.request.Request
    seconds: float
    ending: Ending | None = field(default=None, init=False)

    def run(self) -> None:
        """Ask; whatever happens becomes the ending. No text of it shows the URL or a header."""
        try:
            with urllib.request.build_opener(_NoRedirect).open(self.request, timeout=self.seconds) as answer:
                self.ending = Ending("ok", answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            self.ending = Ending("failed", error.code, f"HTTP status {error.code}")
        except TimeoutError:
            self.ending = Ending("timeout", None, f"no answer within {self.seconds:g} s")
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            late = isinstance(reason, TimeoutError)
            self.ending = Ending("timeout" if late else "failed", None, _network_words(reason))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow none."""


def _network_words(reason: object) -> str:
    """Why nobody answered, by the kind of the error: its own text may show where we called."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {reason.verify_message}"
    if isinstance(reason, OSError) and reason.strerror:
        return f"no answer: {reason.strerror}"
    return f"no answer: {type(reason).__name__}"


def _read_token(path: Path) -> str | None:
    """The one word in a file; None where there is not exactly one that may stand in a header."""
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return None
    fits = len(words) == 1 and words[0].isprintable() and len(words[0]) <= _TOKEN_LENGTH_MAX
    return words[0] if fits else None


def _tail_until(process: subprocess.Popen[bytes], stream: IO[bytes], deadline: float) -> str:
    """Read what a command prints until it ends, or until the deadline; return the end of it.

    A child of its own may keep the pipe open after it: whatever that prints is nobody's any more.
    """
    tail = b""
    os.set_blocking(stream.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        open_still = True
        while time.monotonic() < deadline:
            ended = has_ended(process)
            if open_still and selector.select(0.0 if ended else 0.1):
                block = os.read(stream.fileno(), 65536)
                open_still = bool(block)
                tail = (tail + block)[-OUTPUT_BYTES_MAX:]
            elif ended:
                break
            elif not open_still:
                time.sleep(0.05)
    return tail.decode("utf-8", "replace")
