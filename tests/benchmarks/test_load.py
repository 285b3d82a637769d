"""What `make bench` counts with: its own client and its table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import collect_answers, put_load
from benchmarks.report import markdown
from tests.demo.servers import answer_everything, serving
from tests.tools import require_tool


def test_own_client_counts_every_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without wrk, six connections in two processes: what they count as answered is what the server answered."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with serving(answer_everything) as (address, seen):
        load = put_load(f"{address.url}/predict", [b'{"row": 1}', b'{"row": 2}'], 6, 1, tmp_path)
    assert (load.client, load.refused, load.broken) == ("own client", 0, 0)
    assert load.answered == len(seen.predictions) > 0
    assert 0 < load.p50_ms <= load.p99_ms


def test_wrk_counts_refusals_apart(tmp_path: Path) -> None:
    """Every second body is refused: half of the requests are not answered."""
    require_tool("wrk")
    refusing: dict[int, tuple[int, dict[str, Any]]] = {1: (200, {}), 2: (422, {})}
    with serving(lambda path, body: refusing[body["row"]]) as (address, seen):
        load = put_load(f"{address.url}/predict", [b'{"row": 1}', b'{"row": 2}'], 2, 1, tmp_path)
    assert load.client == "wrk"
    assert load.refused > 0
    assert load.answered <= len(seen.predictions) <= load.answered + 2


def test_answers_are_collected_one_by_one() -> None:
    """Each 2xx body comes back, for looking it up in the log."""
    with serving(answer_everything) as (address, _):
        answers = collect_answers(f"{address.url}/predict", [b'{"row": %d}' % row for row in range(20)], 4)
    assert sorted(answer["request_id"] for answer in answers) == sorted(f"id-{row}" for row in range(20))


def test_table_is_markdown() -> None:
    """Numbers to the right and rounded to what they are worth, absent ones empty."""
    rows = [
        {"server": "a", "req/s": 1234.5, "ms": 0.12345, "n": 1200},
        {"server": "b", "req/s": 1.0, "ms": None, "n": 0},
    ]
    assert markdown(rows).splitlines() == [
        "| server | req/s | ms | n |",
        "|---|---:|---:|---:|",
        "| a | 1,234 | 0.123 | 1,200 |",
        "| b | 1 |  | 0 |",
    ]
