"""The peers' environments: one each, because what they require excludes each other and the gateway's own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks import report

#: What reads and scores the model file: everywhere in the version that wrote it, whatever a peer would take.
MODEL_LIBRARIES = ("scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl")
ENVIRONMENTS = report.RESULTS / "venvs"
_REQUIREMENTS = Path(__file__).parent
_INSTALL_SECONDS = 900


class NotInstalled(Exception):
    """A peer's environment could not be made; says why in one sentence."""


def python_of(name: str) -> Path:
    """The interpreter of the environment called `name`, which is made now (about a minute) unless it is there.

    Raises:
        NotInstalled: pip failed, for instance without a network.
    """
    folder, wanted = ENVIRONMENTS / name, _fingerprint(name)
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists() and done.read_text() == wanted:
        return python
    print(f"installing {name} into an environment of its own ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--requirement", str(_requirements(name)), *_pins()])
    done.write_text(wanted)
    return python


def versions(name: str) -> dict[str, str]:
    """What the environment called `name` pins of its own, by package."""
    lines = _requirements(name).read_text().splitlines()
    pins = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    named = _named(name)
    return {package: pinned for package, pinned in pins if package in named}


def _named(name: str) -> set[str]:
    lines = _requirements(name).with_suffix(".in").read_text().splitlines()
    return {line.partition("#")[0].strip() for line in lines} - {""}


def _requirements(name: str) -> Path:
    return _REQUIREMENTS / f"{name}.txt"


def _pins() -> list[str]:
    return [f"{package}=={version(package)}" for package in MODEL_LIBRARIES]


def _fingerprint(name: str) -> str:
    text = "\n".join([_requirements(name).read_text(), sys.version, *_pins()])
    return hashlib.sha256(text.encode()).hexdigest()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise NotInstalled(said[-1] if said else f"{command[0]} ended with exit code {done.returncode}")
