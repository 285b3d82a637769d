"""Small helpers about processes that tests start."""

from __future__ import annotations

from pathlib import Path


def is_gone(pid: int) -> bool:
    """Whether no such process runs any more. A zombie does not run: somebody has yet to read its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
