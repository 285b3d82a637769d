"""Settings of [retraining] that name what is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drift_engine.actions.settings import RetrainingSettings
from gateway.settings import InvalidSettings, load
from tests.drift_engine.actions.place import ROOT, SECRET, Place


def test_a_command_comes_from_the_settings_file_alone(place: Place) -> None:
    """Whoever can set a variable of a process may not name the program that another one runs."""
    done = subprocess.run(
        [sys.executable, "-m", "drift_engine", "act"],
        cwd=ROOT,
        env=place.environment() | {"SENTINEL_RETRAINING_COMMAND": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "SENTINEL_RETRAINING_COMMAND: only the settings file may set this" in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('command = ["make", "retrain", "NAME=a b"]', ("make", "retrain", "NAME=a b")),
        ("command = \"make retrain 'NAME=a b'\"", ("make", "retrain", "NAME=a b")),
    ],
)
def test_a_command_is_words_or_one_text(tmp_path: Path, command: str, words: tuple[str, ...]) -> None:
    """A text is split as a shell would, and nothing else of a shell happens."""
    file = tmp_path / "sentinel.toml"
    file.write_text(f"[retraining]\n{command}\n")
    (settings,) = load(RetrainingSettings, environ={}, file=file)
    assert settings.command == words


@pytest.mark.parametrize("value", ["[]", '""', '[""]', "[1]", "7", '["a", "b\\u0000"]', "{a = 1}"])
def test_a_command_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    """By name."""
    file = tmp_path / "sentinel.toml"
    file.write_text(f"[retraining]\ncommand = {value}\n")
    with pytest.raises(InvalidSettings, match="command"):
        load(RetrainingSettings, environ={}, file=file)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("command", "'unclosed", "No closing quotation"),
        ("webhook", "ftp://127.0.0.1/", "must be an http:// or https:// URL"),
        ("webhook", f"http://user:{SECRET}@127.0.0.1/", "must not hold credentials"),
        ("webhook", f"http://127.0.0.1:{SECRET}/", "must be an http:// or https:// URL"),
        ("webhook", "http:///nowhere", "must be an http:// or https:// URL"),
        ("cooldown_hours", "-1", "below the minimum"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(place: Place, name: str, value: str, said: str) -> None:
    """Before anything is done, and without showing what may be secret."""
    done = place.act(**{name: value})
    assert done.returncode == 2
    assert said in done.stderr
    assert SECRET not in done.stderr
