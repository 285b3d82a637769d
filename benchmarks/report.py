"""What the benchmarks share: a scratch folder on the real disk, the machine in words, a table, a JSON file."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / ".cache" / "bench"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is gone afterwards. Not under /tmp, which is often memory: an fdatasync must cost what it costs."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="work-", dir=RESULTS))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """This process's environment without its own settings, with every path of the system inside `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
    paths = {f"SENTINEL_PATHS_{name.upper()}": str(folder / name) for name in ("data", "models", "reports")}
    # An empty file of settings: one in the working directory must not change what is measured.
    (folder / "sentinel.toml").touch()
    return {**kept, **paths, "SENTINEL_SETTINGS": str(folder / "sentinel.toml"), **more}


def machine(*packages: str) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def publish(
    name: str,
    facts: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    notes: Sequence[str],
    targets: Sequence[dict[str, Any]] = (),
) -> None:
    """Print a Markdown table, one of the targets if there are any, and notes; write `.cache/bench/<name>.json`."""
    print(f"\n{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, {facts['measured_at']}\n")
    print(markdown(rows))
    if targets:
        print(f"\n{markdown(targets)}\n")
    for note in notes:
        print(f"- {note}")
    write(name, facts, rows, notes, targets)


def write(
    name: str,
    facts: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    notes: Sequence[str],
    targets: Sequence[dict[str, Any]] = (),
) -> None:
    """Write `.cache/bench/<name>.json`."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {"machine": facts, "rows": list(rows), "targets": list(targets), "notes": list(notes)}
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nwritten to {path.relative_to(ROOT)}")


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with equal keys as a Markdown table; numbers to the right.

    >>> print(markdown([{"what": "a", "ms": 1.5}]))
    | what | ms |
    |---|---:|
    | a | 1.5 |
    """
    columns = list(rows[0])
    lines = [columns, *[[_cell(row[column]) for column in columns] for row in rows]]
    table = ["| " + " | ".join(line) + " |" for line in lines]
    rule = "|" + "|".join("---" if isinstance(rows[0][column], str) else "---:" for column in columns) + "|"
    return "\n".join([table[0], rule, *table[1:]])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
