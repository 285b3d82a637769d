"""The README says what the code does: every setting with its default, every everyday command."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from drift_engine.actions.settings import RetrainingSettings
from drift_engine.incidents.settings import IncidentSettings
from drift_engine.settings import DriftSettings
from exporter.settings import ExporterSettings
from gateway.label_settings import LabelSettings
from gateway.log.settings import LogSettings
from gateway.settings import SECTIONS, GatewaySettings, Paths
from scheduler import SchedulerSettings
from tests.running import ROOT

SETTINGS: tuple[Any, ...] = (
    Paths,
    GatewaySettings,
    LogSettings,
    LabelSettings,
    DriftSettings,
    IncidentSettings,
    RetrainingSettings,
    SchedulerSettings,
    ExporterSettings,
)


def table_row(section: Any, field: dataclasses.Field[Any]) -> str:
    """A setting's row of the README's table."""
    default = "none" if field.default is None else field.default
    text = f"{default:.10g}" if isinstance(default, float) else str(default)
    return f"| `[{section.section}]` `{field.name}` | `{text}` | {field.metadata['about']} |"


def test_every_setting_stands_in_the_readme() -> None:
    """Section, key, default and meaning, in the words that the code holds."""
    readme = (ROOT / "README.md").read_text()
    missing = [
        row
        for section in SETTINGS
        for field in dataclasses.fields(section)
        if (row := table_row(section, field)) not in readme
    ]
    assert not missing, "\n".join(missing)
    assert {section.section for section in SETTINGS} == set(SECTIONS)


@pytest.mark.parametrize("command", ["run", "demo", "register", "drift", "test", "bench", "labels", "verify"])
def test_commands_of_the_readme_are_targets(command: str) -> None:
    """What the README tells people to type exists, and is phony."""
    makefile = (ROOT / "Makefile").read_text()
    assert f"`make {command}`" in (ROOT / "README.md").read_text()
    assert f"\n{command}: " in makefile
    assert f" {command} " in next(line for line in makefile.splitlines() if line.startswith(".PHONY:")) + " "
