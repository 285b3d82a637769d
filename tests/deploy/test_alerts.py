"""Prometheus's own tools accept the configuration, and each alert is proved by a test that notices its absence."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.tools import require_tool

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULES = (DEPLOY / "alerts.yml").read_text()
#: The text of each rule, from its name to the next rule, group or the end.
RULE_TEXTS = re.findall(r"^      - alert: .*?(?=^      - |^  - |^      #|\Z)", RULES, re.MULTILINE | re.DOTALL)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    command = [require_tool("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_prometheus_accepts_the_configuration() -> None:
    """promtool checks the configuration with the rules that it names."""
    checked = promtool("check", "config", DEPLOY / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "1 rule files found" in checked.stdout


def test_the_rules_are_valid_and_pass_their_tests() -> None:
    """Each alert fires, stays silent where it should, and ends."""
    assert promtool("check", "rules", DEPLOY / "alerts.yml").returncode == 0
    tested = promtool("test", "rules", DEPLOY / "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def labels(rule: str) -> tuple[str, ...]:
    """A rule's name, severity and quantile, as promtool writes those of an expected alert."""
    name = re.search(r"alert: (\w+)", rule)
    pairs = re.search(r"labels: \{(.*)\}", rule)
    assert name is not None
    assert pairs is not None
    return (f'alertname="{name[1]}"', *re.sub(r": (\w+)", r'="\1"', pairs[1]).split(", "))


def test_each_rule_is_missed_when_it_never_fires(tmp_path: Path) -> None:
    """With all rules silenced the tests of the rules miss every single one, so each of them is really tested."""
    silenced = re.sub(r"expr: .*?(?=^        (?:for|labels):)", "expr: vector(0) > 1\n", RULES, flags=re.DOTALL | re.M)
    (tmp_path / "alerts.yml").write_text(silenced)
    (tmp_path / "alerts_test.yml").write_text((DEPLOY / "alerts_test.yml").read_text())
    tested = promtool("test", "rules", tmp_path / "alerts_test.yml")
    assert tested.returncode != 0
    missed = [line for line in (tested.stdout + tested.stderr).splitlines() if "Labels:{" in line]
    for rule in RULE_TEXTS:
        assert any(all(label in line for label in labels(rule)) for line in missed), labels(rule)


def test_every_rule_is_found() -> None:
    """The rules are read by their layout; none is overlooked."""
    assert len(RULE_TEXTS) == RULES.count("- alert:") >= 30


def test_every_alert_says_how_grave_it_is_and_what_it_means() -> None:
    """Severity, summary and description, and nothing of one installation's addresses but the exporter's own."""
    for rule in RULE_TEXTS:
        assert re.search(r"severity: (notice|warning|high|critical)", rule)
        assert "summary: " in rule
        assert "description: " in rule
