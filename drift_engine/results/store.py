"""Where results lie and how one becomes visible: html, then result, then `latest.json`, the sole commit point.

```
reports/<name>/<version>/<run_id>/report.html
reports/<name>/<version>/<run_id>/result.json
reports/<name>/<version>/latest.json    which run is the newest; replaced atomically
```
A run that died before its commit leaves a folder without `result.json`, or one that `latest.json` does not
name: the first is never listed, the second is a complete result that merely is not the latest.

A pointer never stops a run: one that cannot be read, or that speaks of the future, is made anew from the results.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from drift_engine.results.schema import FORMAT_VERSION, Outcome, Result, Window
from gateway.clock import parse_utc, utc_text
from gateway.files import fsync_dir, make_dirs, write_atomically
from gateway.registry.card import NAME_PATTERN, VERSION_PATTERN, check_name, check_version

LATEST_FORMAT_VERSION = 1
#: A pointer may be this far ahead of the clock: clocks are corrected, and those of two hosts differ.
CLOCK_TOLERANCE_SECONDS = 300.0
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
#: What reading any bytes as JSON may raise. ValueError: msgspec's, a moment that is none, or bytes that are no UTF-8.
_UNREADABLE = (OSError, ValueError, RecursionError)
_LOG = logging.getLogger(__name__)


class ResultError(Exception):
    """A result cannot be read: absent, damaged, or of a newer format."""


@dataclass(frozen=True)
class Latest:
    """`latest.json`: the newest run by window end, and the newest one whose outcome was "ok".

    `scheduled_from` is where the next scheduled window starts: where the last scheduled one ended, or started
    when it gave no verdict; ad hoc runs leave it alone. None before the first scheduled run. `finished_at` and
    `last_ok_finished_at` are seconds since the epoch.
    """

    run_id: str
    outcome: Outcome
    window_start: str
    window_end: str
    finished_at: float
    last_ok_run_id: str | None
    last_ok_finished_at: float | None
    scheduled_from: str | None
    format_version: int = LATEST_FORMAT_VERSION

    def is_ahead_of(self, now: float) -> bool:
        """Whether it was written by a clock ahead of `now`: no run ends later than it, until that moment comes."""
        limit = utc_text(now + CLOCK_TOLERANCE_SECONDS)
        return self.window_end > limit or (self.scheduled_from or "") > limit


@dataclass(frozen=True)
class RunPlace:
    """Where one committed run lies: `reports/<model_name>/<model_version>/<run_id>`."""

    model_name: str
    model_version: str
    run_id: str
    folder: Path


class ResultStore:
    """The results under one `reports` folder."""

    def __init__(self, reports: Path) -> None:
        self.reports = reports

    def folder(self, name: str, version: str) -> Path:
        """Where the runs of one model version are. Raises RegistryError for names that could leave `reports`."""
        return self.reports / check_name(name) / check_version(version)

    def new_run_id(self, name: str, version: str, window: Window, started: float) -> str:
        """A name for a run that no other run has, e.g. 20261120T151139.123456Z-1a2b3c: it sorts by time.

        The first three digits behind the time are the window's, so that runs of one window are found by their names.
        """
        moment = datetime.fromtimestamp(started, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        while True:
            run_id = f"{moment}-{_window_mark(window)}{secrets.token_hex(2)[1:]}"
            if not (self.folder(name, version) / run_id).exists():
                return run_id

    def superseded(self, name: str, version: str, window: Window) -> str | None:
        """The newest committed run over exactly this time, which a new one replaces; None where there is none.

        Of the runs only those are opened whose names may be of this window. Those of program versions that did not
        name them so are not found.
        """
        try:
            latest = self.latest(name, version)
        except ResultError:
            latest = None
        if latest is not None and window.end > latest.window_end:
            return None
        folders = self.folder(name, version).glob(f"*-{_window_mark(window)}???")
        found = [_read_head(folder / "result.json") for folder in folders]
        same = [head for head in found if head and (head.window.start, head.window.end) == (window.start, window.end)]
        # Names sort by a clock, which may stand still or go back: what was replaced is not the newest.
        replaced = {head.supersedes for head in same}
        return max((head.run_id for head in same if head.run_id not in replaced), default=None)

    def commit(self, result: Result, html: bytes, finished_at: float) -> Path:
        """Write a run: report, result, and the pointer: to it, if no committed run ends later. Raises OSError.

        The caller holds the run lock, so that two runs of one version do not race for the pointer. `finished_at`
        is now, by the caller's clock: a pointer that is ahead of it is replaced, an unreadable one moved aside.
        """
        home = self.folder(result.model_name, result.model_version)
        folder = home / result.run_id
        make_dirs(folder)
        write_atomically(folder / "report.html", html)
        write_atomically(folder / "result.json", encode_result(result))
        found = self._usable(result, finished_at)
        before = found or self._rebuilt(home, result.run_id, finished_at)
        advanced = _advance(before, result, finished_at)
        if advanced != found:
            write_atomically(home / "latest.json", encode_latest(advanced))
        return folder

    def latest(self, name: str, version: str) -> Latest | None:
        """The pointer of one model version; None before the first run. Raises ResultError."""
        path = self.folder(name, version) / "latest.json"
        try:
            latest = msgspec.json.decode(path.read_bytes(), type=Latest)
            if latest.format_version > LATEST_FORMAT_VERSION:
                raise ResultError(f"{path}: format version {latest.format_version} is newer than this program")
            _check_moments(latest.window_start, latest.window_end, latest.scheduled_from)
        except FileNotFoundError:
            return None
        except _UNREADABLE as error:
            raise ResultError(f"{path}: {error}") from None
        return latest

    def result(self, name: str, version: str, run_id: str) -> Result:
        """Read one result. Raises ResultError."""
        return read_result(self.folder(name, version) / run_id / "result.json")

    def models(self) -> list[tuple[str, str]]:
        """(name, version) of every model version with at least one committed run, sorted."""
        found = {(path.parent.parent.name, path.parent.name) for path in self.reports.glob("*/*/latest.json")}
        return sorted(pair for pair in found if _is_valid(*pair))

    def runs(self) -> list[RunPlace]:
        """Every complete run, newest run id first. Run ids begin with their UTC time, so they sort by it."""
        found = [
            RunPlace(folder.parent.parent.name, folder.parent.name, folder.name, folder)
            for folder in (path.parent for path in self.reports.glob("*/*/*/result.json"))
            if _is_valid(folder.parent.parent.name, folder.parent.name)
        ]
        return sorted(found, key=lambda run: (run.run_id, run.model_name, run.model_version), reverse=True)

    def run_ids(self, name: str, version: str, after: str = "") -> list[str]:
        """The complete runs of one model version whose id sorts after a text, oldest first. Raises OSError."""
        home = self.folder(name, version)
        if not home.is_dir():
            return []
        # Names first: with runs of months in the folder, a look into each of them takes seconds.
        newer = sorted(path.name for path in home.iterdir() if path.name > after)
        return [run_id for run_id in newer if (home / run_id / "result.json").is_file()]

    def _usable(self, result: Result, now: float) -> Latest | None:
        """The pointer that stands; None where there is none, or none to go by: the log says what becomes of it."""
        path = self.folder(result.model_name, result.model_version) / "latest.json"
        try:
            latest = self.latest(result.model_name, result.model_version)
        except ResultError as error:
            aside = path.with_name(f"{path.name}.damaged-{result.run_id}")
            path.rename(aside)
            fsync_dir(path.parent)
            _LOG.warning("%s; it is kept as %s and made anew from the results", error, aside.name)
            return None
        if latest is not None and latest.is_ahead_of(now):
            _LOG.warning(
                "%s speaks of the future (%s): a clock was ahead; it is made anew from the results",
                path,
                max(latest.window_end, latest.scheduled_from or ""),
            )
            return None
        return latest

    def _rebuilt(self, home: Path, without: str, now: float) -> Latest | None:
        """The pointer as the complete runs in `home` have it, but for one run and for those of the future."""
        limit = utc_text(now + CLOCK_TOLERANCE_SECONDS)
        heads = [
            head
            for head in (_read_head(path) for path in home.glob("*/result.json") if path.parent.name != without)
            if head is not None and head.window.end <= limit
        ]
        heads.sort(key=lambda head: (head.window.end, head.run_id), reverse=True)
        # What the exporter could not read is no run to point at.
        newest = next((head for head in heads if _is_readable(home / head.run_id / "result.json")), None)
        return None if newest is None else _pointer_to(newest, heads)


def run_time(seconds: float) -> str:
    """What the id of a run begins with that started then, in seconds since the epoch.

    >>> run_time(1795176000.5)
    '20261120T120000.500000Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def encode_result(result: Result) -> bytes:
    """The bytes of `result.json`, indented for people. Every figure in it is finite; what is unknown is None."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"


def encode_latest(latest: Latest) -> bytes:
    """The bytes of `latest.json`."""
    return msgspec.json.format(msgspec.json.encode(latest), indent=2) + b"\n"


def read_result(path: Path) -> Result:
    """Read a `result.json`. Raises ResultError: absent, damaged, or of a newer format."""
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Envelope).format_version
        if version > FORMAT_VERSION:
            raise ResultError(f"{path}: format version {version} is newer than this program's {FORMAT_VERSION}")
        return msgspec.json.decode(data, type=Result)
    except _UNREADABLE as error:
        raise ResultError(f"{path}: {error}") from None


@dataclass(frozen=True)
class _Envelope:
    format_version: int


@dataclass(frozen=True)
class _Head:
    """Of a `result.json` what a pointer is made from; the rest is not decoded."""

    run_id: str
    outcome: Outcome
    window: Window
    finished_at: str
    supersedes: str | None = None


def _read_head(path: Path) -> _Head | None:
    """None for a result that is damaged, or lies in another run's folder."""
    try:
        head = msgspec.json.decode(path.read_bytes(), type=_Head)
        _check_moments(head.window.start, head.window.end, head.finished_at)
    except _UNREADABLE:
        return None
    return head if head.run_id == path.parent.name else None


def _is_readable(path: Path) -> bool:
    try:
        read_result(path)
    except ResultError:
        return False
    return True


def _pointer_to(newest: _Head, heads: Sequence[_Head]) -> Latest:
    """`heads`: newest first."""
    last_ok = next((head for head in heads if head.outcome == "ok"), None)
    scheduled = next((head for head in heads if head.window.kind == "scheduled"), None)
    return Latest(
        run_id=newest.run_id,
        outcome=newest.outcome,
        window_start=newest.window.start,
        window_end=newest.window.end,
        finished_at=parse_utc(newest.finished_at),
        last_ok_run_id=last_ok.run_id if last_ok else None,
        last_ok_finished_at=parse_utc(last_ok.finished_at) if last_ok else None,
        scheduled_from=_next_start(scheduled.outcome, scheduled.window) if scheduled else None,
    )


def _window_mark(window: Window) -> str:
    return hashlib.sha256(f"{window.start} {window.end}".encode()).hexdigest()[:3]


def _check_moments(*moments: str | None) -> None:
    """Raises ValueError for a text that is no moment, or not in the form of `gateway.clock`, which sorts by time."""
    for text in moments:
        if text is None:
            continue
        if not _MOMENT.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is not a moment like 2026-11-20T15:11:39.123456Z")
        parse_utc(text)


def _scheduled_from(latest: Latest | None, result: Result) -> str | None:
    if result.window.kind == "adhoc":
        return latest.scheduled_from if latest else None
    return _next_start(result.outcome, result.window)


def _next_start(outcome: Outcome, window: Window) -> str:
    # Rows of a window without a verdict are judged again together with later ones.
    return window.end if outcome == "ok" else window.start


def _advance(latest: Latest | None, result: Result, finished_at: float) -> Latest:
    scheduled_from = _scheduled_from(latest, result)
    if latest is not None and result.window.end <= latest.window_end:
        return dataclasses.replace(latest, scheduled_from=scheduled_from)
    ok = result.outcome == "ok"
    return Latest(
        run_id=result.run_id,
        outcome=result.outcome,
        window_start=result.window.start,
        window_end=result.window.end,
        finished_at=finished_at,
        last_ok_run_id=result.run_id if ok else latest.last_ok_run_id if latest else None,
        last_ok_finished_at=finished_at if ok else latest.last_ok_finished_at if latest else None,
        scheduled_from=scheduled_from,
    )


def _is_valid(name: str, version: str) -> bool:
    return bool(NAME_PATTERN.fullmatch(name) and VERSION_PATTERN.fullmatch(version))
