"""kill -9 under load: whatever was acknowledged is in the log, with equal content, once."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from benchmarks.oracle import Clients, judge
from tests.models import register_numbers
from tests.processes import children
from tests.running import Place, gateway
from tests.tools import wait_until

KILLS = 50
CLIENTS = 6
SEED = 20261120


def test_fifty_killed_workers_lose_no_acknowledged_row(tmp_path: Path) -> None:
    """Answered implies logged, over 50 random kills and small segments; what is extra was sent and not answered."""
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_SEGMENT_BYTES_MAX": "4096"})
    card = register_numbers(place.registry, tmp_path / "in")
    rng = random.Random(SEED)
    with gateway(place) as running, Clients(place.gateway_port, card, CLIENTS, SEED) as clients:
        for kill in range(KILLS):
            # Traffic flows again before the next kill, and the moment within it is random.
            target = clients.answered() + rng.randint(1, 40)
            wait_until(
                lambda target=target: clients.answered() >= target,  # type: ignore[misc]
                60,
                f"traffic after kill {kill}",
            )
            os.kill(rng.choice(children(running.process.pid)), signal.SIGKILL)
    found = judge(clients.all, place.paths.live, card)
    assert found.holds, found
    assert found.logged - found.acknowledged <= found.unanswered
    assert found.acknowledged > KILLS * 10


def test_a_killed_master_and_its_orphans_lose_nothing(tmp_path: Path) -> None:
    """The next gateway starts at once, beside workers that have yet to notice: two generations write side by side."""
    place = Place(tmp_path)
    card = register_numbers(place.registry, tmp_path / "in")
    with Clients(place.gateway_port, card, CLIENTS, SEED) as clients:
        for _ in range(3):
            before = clients.answered()
            with gateway(place) as running:
                wait_until(lambda before=before: clients.answered() > before + 50, 60, "traffic")  # type: ignore[misc]
                running.process.kill()
                running.process.wait()
    found = judge(clients.all, place.paths.live, card)
    assert found.holds, found
    assert found.acknowledged > 150
