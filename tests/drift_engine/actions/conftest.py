"""Fixtures of the tests of actions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.registry import Registry
from tests.drift_engine.actions.place import Place
from tests.models import register_numbers


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one registered model and nothing else."""
    root = tmp_path_factory.mktemp("act")
    register_numbers(Registry(root / "models", root / "data" / "reference"), root / "files")
    return root


@pytest.fixture
def place(registered: Path, tmp_path: Path) -> Place:
    """A copy of it with a grave incident."""
    shutil.copytree(registered, tmp_path / "root")
    found = Place(tmp_path / "root")
    found.bad()
    return found
