"""`python -m demo` as a person stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("library", ["numpy", "pandas"])
def test_ctrl_c_during_the_imports_is_no_traceback(tmp_path: Path, library: str) -> None:
    """Loading scikit-learn takes seconds, in which people change their minds: one word, exit code 130."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "play", "--wait", "60"],
        cwd=ROOT, env=os.environ | {"SENTINEL_PATHS_DATA": str(tmp_path), "SENTINEL_PATHS_MODELS": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    maps = Path(f"/proc/{process.pid}/maps")
    wait_until(lambda: f"/{library}/" in maps.read_text(), 30, f"{library} to be imported")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert said == "stopped\n"
    assert process.returncode == 130
