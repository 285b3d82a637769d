"""Fixtures of the exporter's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty installation."""
    return Site.at(tmp_path)
