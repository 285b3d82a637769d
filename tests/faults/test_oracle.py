"""The oracle is worth something: it fails where the promise is broken."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from benchmarks.oracle import Clients, judge
from tests.models import register_numbers
from tests.processes import children
from tests.running import Place, started, wait_for
from tests.tools import wait_until


def test_a_gateway_that_answers_before_it_writes_is_found_out(tmp_path: Path) -> None:
    """Killed workers of a build that writes up to 20 ms after its answer: the oracle names what is lost."""
    place = Place(tmp_path, settings={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")})
    card = register_numbers(place.registry, tmp_path / "in")
    rng = random.Random(3)
    command = ("-m", "gunicorn", "--config", "python:gateway.serving.gunicorn_conf")
    with started(place, *command, "benchmarks.variants:answering_first()") as running:
        wait_for(running, place.gateway_port, "/ready")
        with Clients(place.gateway_port, card, 6, seed=4) as clients:
            for _ in range(5):
                target = clients.answered() + rng.randint(20, 60)
                wait_until(lambda target=target: clients.answered() >= target, 60, "answers")  # type: ignore[misc]
                os.kill(rng.choice(children(running.process.pid)), signal.SIGKILL)
    found = judge(clients.all, place.paths.live, card)
    assert not found.holds
    assert found.lost > 0
    assert any(example.startswith("lost: ") for example in found.examples)


def test_the_same_build_loses_nothing_in_an_orderly_end(tmp_path: Path) -> None:
    """Which is why such a build passes every test without a kill."""
    place = Place(tmp_path, settings={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")})
    card = register_numbers(place.registry, tmp_path / "in")
    command = ("-m", "gunicorn", "--config", "python:gateway.serving.gunicorn_conf")
    with started(place, *command, "benchmarks.variants:answering_first()") as running:
        wait_for(running, place.gateway_port, "/ready")
        with Clients(place.gateway_port, card, 2, seed=5) as clients:
            wait_until(lambda: clients.answered() > 50, 60, "answers")
        assert running.stop() == 0
    assert judge(clients.all, place.paths.live, card).holds
