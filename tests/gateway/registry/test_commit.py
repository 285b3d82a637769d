"""A registration is there or it is not: killed before every rename, on a full disk, and beside another one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from gateway.registry import ModelCard, Registry, RegistryError
from gateway.registry.artifact import check_file, load_verified
from gateway.registry.card import ArtifactMismatch

from .workshop import Workshop, numbers

ROOT = Path(__file__).resolve().parents[3]
X = ["x0", "x1", "x2"]

#: Dies like a kill -9 just before the nth rename; every file of a registration appears by one.
KILLED = """
import os, sys
left = int(sys.argv.pop(1))
def die(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(die)
from gateway.registry.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
#: No file may grow past so many bytes: the kernel takes a part of a write, then refuses, as a full disk does.
SMALL_DISK = """
import resource, sys
limit = int(sys.argv.pop(1))
from gateway.registry.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def files(workshop: Workshop) -> tuple[Path, Path]:
    train = numbers(seed=1)
    return workshop.save_model(LogisticRegression().fit(train[X], train["y"])), workshop.save_table(numbers())


def run(script: str, number: int, workshop: Workshop, files: tuple[Path, Path]) -> subprocess.CompletedProcess[str]:
    options = {"--model-file": files[0], "--reference": files[1], "--target": "y", "--name": "demo"}
    arguments = ["register", *(str(word) for option in options.items() for word in option)]
    environment = {
        "SENTINEL_PATHS_MODELS": str(workshop.registry.models),
        "SENTINEL_PATHS_DATA": str(workshop.folder / "data"),
        "PATH": "/usr/bin:/bin",
        # The import system renames its caches into place too, and on a small disk it leaves broken ones.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", script, str(number), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("renames", range(4))
def test_killed_before_the_commit_point_nothing_is_registered(
    workshop: Workshop, files: tuple[Path, Path], renames: int
) -> None:
    """Reference, artifact, check rows, card: without the card no reader sees the rest, and a repeat succeeds."""
    assert run(KILLED, renames, workshop, files).returncode == 9
    registry = workshop.registry
    assert (registry.names(), registry.versions("demo"), registry.serving().versions) == ([], [], {})
    card = workshop.register(*files)
    assert card.version == "1"
    assert sorted(path.name for path in registry.folder("demo", "1").iterdir()) == sorted(
        ["model.json", card.artifact.record.file, card.check_rows.file]
    )
    prove_whole(registry, card)
    assert not [path for path in workshop.folder.rglob("*") if path.name.startswith(".tmp")]


def test_killed_between_commit_and_serving(workshop: Workshop, files: tuple[Path, Path]) -> None:
    """The version is there, whole, and does not serve; the next one of the name does."""
    assert run(KILLED, 4, workshop, files).returncode == 9
    registry = workshop.registry
    assert (registry.versions("demo"), registry.serving().versions) == (["1"], {})
    prove_whole(registry, registry.card("demo", "1"))
    assert workshop.register(*files).version == "2"
    assert registry.serving().versions == {"demo": "2"}


def test_no_kill_is_left_out(workshop: Workshop, files: tuple[Path, Path]) -> None:
    """The five renames above are all there are."""
    done = run(KILLED, 5, workshop, files)
    assert done.returncode == 0, done.stderr
    assert workshop.registry.serving().versions == {"demo": "1"}


@pytest.mark.parametrize("limit", [0, 500, 6_000])
def test_a_full_disk_registers_nothing(workshop: Workshop, files: tuple[Path, Path], limit: int) -> None:
    """The sentence says so, the exit code is 1, and with space the same command succeeds."""
    done = run(SMALL_DISK, limit, workshop, files)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("refused: cannot write the registry, nothing was registered: File too large")
    assert "Traceback" not in done.stderr
    assert workshop.registry.names() == []
    assert workshop.register(*files).version == "1"


def test_a_registry_that_is_no_folder(workshop: Workshop, files: tuple[Path, Path]) -> None:
    """A file where the folder should be is a sentence."""
    workshop.registry.models.write_text("in the way")
    with pytest.raises(RegistryError, match="cannot write the registry, nothing was registered"):
        workshop.register(*files)


def test_one_change_at_a_time(workshop: Workshop, files: tuple[Path, Path]) -> None:
    """A second change while one is under way is refused at once instead of mixing with it."""
    with (
        Registry(workshop.registry.models, workshop.registry.references).changing(),
        pytest.raises(RegistryError, match="being changed by another command"),
    ):
        workshop.register(*files)
    assert workshop.registry.names() == []
    assert workshop.register(*files).version == "1"


@pytest.mark.parametrize("which", ["artifact", "reference", "check_rows"])
def test_a_changed_file_is_found_by_its_hash(workshop: Workshop, files: tuple[Path, Path], which: str) -> None:
    """One flipped byte anywhere, and the file is not the one that was registered."""
    card = workshop.register(*files)
    path = {
        "artifact": workshop.registry.folder("demo", "1") / card.artifact.record.file,
        "reference": workshop.registry.reference_path("demo", "1"),
        "check_rows": workshop.registry.folder("demo", "1") / card.check_rows.file,
    }[which]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactMismatch, match="registered was"):
        prove_whole(workshop.registry, card)
    if which == "artifact":
        with pytest.raises(ArtifactMismatch):
            load_verified(workshop.registry.folder("demo", "1"), card)


def test_no_temporary_file_remains(workshop: Workshop, files: tuple[Path, Path]) -> None:
    """Neither after success nor after a refusal."""
    workshop.register(*files)
    with pytest.raises(RegistryError):
        workshop.register(*files, version="1")
    assert not [path for path in workshop.folder.rglob("*") if path.name.startswith(".tmp")]


def prove_whole(registry: Registry, card: ModelCard) -> None:
    """Every file that the card names is there and is the registered one."""
    folder = registry.folder(card.name, card.version)
    check_file(folder / card.artifact.record.file, card.artifact.record)
    check_file(folder / card.check_rows.file, card.check_rows)
    check_file(registry.reference_path(card.name, card.version), card.reference)
