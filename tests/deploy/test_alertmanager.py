"""Alertmanager's own tool accepts the routes, and each severity reaches whom it should."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.deploy.test_alerts import DEPLOY, RULES
from tests.tools import require_tool

CONFIG = str(DEPLOY / "alertmanager.yml")
RECEIVERS = {"critical": "page", "high": "team", "warning": "team", "notice": "list"}


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run amtool."""
    return subprocess.run([require_tool("amtool"), *arguments], capture_output=True, text=True, timeout=60)


def test_alertmanager_accepts_the_configuration() -> None:
    """Routes, receivers, inhibitions."""
    checked = amtool("check-config", CONFIG)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("severity", sorted(set(re.findall(r"severity: (\w+)", RULES))))
def test_each_severity_of_the_rules_has_its_receiver(severity: str) -> None:
    """A severity without a route of its own would end in a list that nobody reads."""
    routed = amtool(
        "config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={RECEIVERS[severity]}",
        f"severity={severity}", "alertname=ModelIncidentOpen", "model_name=m", "model_version=1",
    )  # fmt: skip
    assert routed.returncode == 0, routed.stdout + routed.stderr
