"""When alerts become an incident and when it is over: section `[incidents]`. Figures behind them: docs/incidents.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.settings import setting


@dataclass(frozen=True)
class IncidentSettings:
    """Section `[incidents]`. Windows are those of scheduled runs that could tell."""

    section: ClassVar[str] = "incidents"

    open_windows: int = setting(3, "an alert seen in so many windows opens an incident ...", minimum=1, maximum=100)
    open_of: int = setting(
        5, "... of so many of the newest windows that could tell; never fewer than open_windows", minimum=1, maximum=100
    )
    critical_at_once: bool = setting(True, "a critical alert opens an incident in its first window")
    resolve_windows: int = setting(
        12, "an incident is over after so many windows that could tell and did not show it", minimum=1, maximum=1000
    )
    group_subjects: int = setting(
        3, "so many columns, or answers, that drift are one incident of the model instead of one each", minimum=2
    )
