"""The spool of run requests: how others ask the scheduler for a drift run now.

One file per request, `data/state/run_requests/<time>-<random>.json`: `{"model_name", "requested_at"}`,
`model_name` null for all serving models. Written atomically; the scheduler takes all of them at once,
deleting each before the runs start. A scheduler that dies right then loses the request, never runs it twice;
the regular run follows anyway.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.clock import utc_text
from gateway.files import make_dirs, write_atomically

#: More requests than this wait only when no scheduler runs; another one would not be heard sooner.
PENDING_MAX = 32


class SpoolFull(Exception):
    """Too many requests wait already; nothing takes them."""


@dataclass(frozen=True)
class RunRequest:
    """Somebody asked for a run of `model_name` (None: of every serving model) at `requested_at` (RFC 3339, UTC)."""

    model_name: str | None
    requested_at: str


def write(state: Path, model_name: str | None, now: float) -> RunRequest:
    """Ask for a run. An equal request that still waits is returned instead of asking twice.

    Raises:
        SpoolFull: `PENDING_MAX` other requests wait.
        OSError: the request cannot be written.
    """
    spool = state / "run_requests"
    make_dirs(spool)
    waiting = [request for path in _files(spool) if (request := _read(path)) is not None]
    for request in waiting:
        if request.model_name == model_name:
            return request
    if len(waiting) >= PENDING_MAX:
        raise SpoolFull(f"{len(waiting)} run requests wait already; is the scheduler running?")
    request = RunRequest(model_name, utc_text(now))
    name = f"{request.requested_at.replace(':', '')}-{secrets.token_hex(3)}.json"
    write_atomically(spool / name, msgspec.json.encode(request))
    return request


def take(state: Path) -> tuple[RunRequest, ...]:
    """Remove and return all waiting requests, oldest first, each model once. Unreadable ones are removed too.

    Raises:
        OSError: a request cannot be removed. It is not returned then: it would come again and again.
    """
    taken: dict[str | None, RunRequest] = {}
    for path in _files(state / "run_requests"):
        request = _read(path)
        path.unlink(missing_ok=True)
        if request is not None:
            taken.setdefault(request.model_name, request)
    return tuple(taken.values())


def _files(spool: Path) -> list[Path]:
    return sorted(spool.glob("[!.]*.json"))


def _read(path: Path) -> RunRequest | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunRequest)
    except (OSError, msgspec.MsgspecError):
        return None
