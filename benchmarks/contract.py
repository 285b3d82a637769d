"""Requests that schemathesis makes from a gateway's OpenAPI document, right and wrong ones, with all its checks."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.answers import Answers

#: A batch or a body beyond a limit is 413. What else is no success is schemathesis's own list.
_CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 413, 415, 422]
[checks.positive_data_acceptance]
expected-statuses = ["2xx"]
"""
_HOOKS = Path(__file__).with_name("contract_hooks.py")


def run(port: int, examples: int, seed: int, scratch: Path) -> tuple[Answers, str]:
    """What the gateway on that port answered, and schemathesis's findings in words; "" when there are none.

    Args:
        examples: random requests per operation, beside the boundary cases, of which there are hundreds.
        scratch: a folder for its files.
    """
    config, report = scratch / "schemathesis.toml", scratch / "contract.har"
    config.write_text(f"hooks = {json.dumps(str(_HOOKS))}\n{_CONFIG}")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    command += [f"http://127.0.0.1:{port}/openapi.json", "--max-examples", str(examples), "--seed", str(seed)]
    command += ["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"]
    command += ["--report-har-path", str(report), "--output-sanitize", "false", "--generation-database", "none"]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if not report.exists():
        raise SystemExit(f"schemathesis failed:\n{done.stdout}\n{done.stderr}")
    answers = Answers()
    for entry in json.loads(report.read_text())["log"]["entries"]:
        _take(answers, entry)
    return answers, "" if done.returncode == 0 else _short(done.stdout + done.stderr)


def _take(answers: Answers, entry: dict[str, Any]) -> None:
    request, response = entry["request"], entry["response"]
    answers.cases += 1
    if not response["status"]:
        answers.unanswered += 1
        return
    content = response["content"]
    text = content.get("text", "")
    body = base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()
    answers.take(response["status"], content["mimeType"], body, f"{request['method']} {request['url']}")


def _short(text: str) -> str:
    """Findings without the kilobytes that a request may have."""
    return "\n".join(line[:300] for line in text.splitlines())
