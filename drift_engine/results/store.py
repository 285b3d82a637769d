"""Where results lie and how one becomes visible: html, then result, then `latest.json`, the sole commit point.

```
reports/<name>/<version>/<run_id>/report.html
reports/<name>/<version>/<run_id>/result.json
reports/<name>/<version>/latest.json    which run is the newest; replaced atomically
```
A run that died before its commit leaves a folder without `result.json`, or one that `latest.json` does not
name: the first is never listed, the second is a complete result that merely is not the latest.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import msgspec

from drift_engine.results.schema import FORMAT_VERSION, Outcome, Result
from gateway.files import make_dirs, write_atomically
from gateway.registry.card import NAME_PATTERN, VERSION_PATTERN, check_name, check_version

LATEST_FORMAT_VERSION = 1


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

    def commit(self, result: Result, html: bytes, finished_at: float) -> Path:
        """Write a run: report, result, and the pointer: to it, if no committed run ends later. Raises OSError.

        The caller holds the run lock, so that two runs of one version do not race for the pointer.
        """
        home = self.folder(result.model_name, result.model_version)
        folder = home / result.run_id
        make_dirs(folder)
        write_atomically(folder / "report.html", html)
        write_atomically(folder / "result.json", encode_result(result))
        latest = self.latest(result.model_name, result.model_version)
        advanced = _advance(latest, result, finished_at)
        if advanced != latest:
            write_atomically(home / "latest.json", encode_latest(advanced))
        return folder

    def latest(self, name: str, version: str) -> Latest | None:
        """The pointer of one model version; None before the first run. Raises ResultError."""
        path = self.folder(name, version) / "latest.json"
        try:
            latest = msgspec.json.decode(path.read_bytes(), type=Latest)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise ResultError(f"{path}: {error}") from None
        if latest.format_version > LATEST_FORMAT_VERSION:
            raise ResultError(f"{path}: format version {latest.format_version} is newer than this program")
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
    except (OSError, msgspec.MsgspecError) as error:
        raise ResultError(f"{path}: {error}") from None


@dataclass(frozen=True)
class _Envelope:
    format_version: int


def _scheduled_from(latest: Latest | None, result: Result) -> str | None:
    if result.window.kind == "adhoc":
        return latest.scheduled_from if latest else None
    # Rows of a window without a verdict are judged again together with later ones.
    return result.window.end if result.outcome == "ok" else result.window.start


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
