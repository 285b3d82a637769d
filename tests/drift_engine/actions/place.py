"""A place where retraining is recommended, and the command that acts on it."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from drift_engine.incidents.fold import fold
from drift_engine.results import ResultStore
from drift_engine.results.actions import Action, ActionLog
from drift_engine.results.incidents import Incidents, IncidentStore
from drift_engine.results.schema import Alert, Retraining, Window
from drift_engine.results.store import run_time
from gateway.clock import utc_text
from tests.incidents import quality, run

ROOT = Path(__file__).resolve().parents[3]
NAME = "numbers"
SECRET = "s3cret-token-of-the-hook"


@dataclass(frozen=True)
class Place:
    """A registered model under `root`, for which retraining is recommended."""

    root: Path

    @property
    def reports(self) -> Path:
        """Where results, incidents and actions are."""
        return self.root / "reports"

    @property
    def actions(self) -> tuple[Action, ...]:
        """What was done."""
        return ActionLog(self.reports).read(NAME, "1")

    def bad(self, *alerts: Alert, seconds_ago: float = 60.0, decision: str = "recommended") -> Incidents:
        """Commit a run that found quality critically low, its window ended so long ago, and take stock."""
        end = time.time() - seconds_ago
        found = dataclasses.replace(
            run(0, *(alerts or (quality("critical"),))),
            run_id=f"{run_time(end + 11)}-000001",
            model_name=NAME,
            window=Window(utc_text(end - 300), utc_text(end), "scheduled"),
            retraining=Retraining(decision, ("accuracy fell by 20.1 %",), ("1,000 rows are labelled",)),  # type: ignore[arg-type]
        )
        ResultStore(self.reports).commit(found, b"<html>", end + 12)
        state = fold(IncidentStore(self.reports).read(NAME, "1"), found)
        IncidentStore(self.reports).write(state)
        return state

    def environment(self, **settings: str) -> dict[str, str]:
        """That of the command, which names a file with these settings of [retraining]."""
        file = self.root / "sentinel.toml"
        lines = [f"{name} = {text if _is_number(text) else json.dumps(text)}" for name, text in settings.items()]
        file.write_text("\n".join(["[retraining]", *lines]))
        paths = {f"SENTINEL_PATHS_{name.upper()}": str(self.root / name) for name in ("data", "models", "reports")}
        return os.environ | paths | {"SENTINEL_SETTINGS": str(file)}

    def act(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "drift_engine", "act"],
            cwd=ROOT,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def started(self, **settings: str) -> subprocess.Popen[bytes]:
        """The command while it runs. The caller waits for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "drift_engine", "act"], cwd=ROOT, env=self.environment(**settings)
        )


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdigit()


def python(code: str) -> str:
    """A command that runs a piece of Python."""
    return shlex.join([sys.executable, "-c", code])
