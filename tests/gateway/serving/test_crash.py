"""kill -9 under load: whatever was acknowledged is in the log, with equal content, once."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.logs import prediction_rows
from tests.models import register_numbers
from tests.running import Place, Running, gateway
from tests.tools import wait_until

KILLS = 50
CLIENTS = 6
SEED = 20261120


@dataclass
class Client:
    """Sends rows for as long as it is told to, and remembers what was answered: the oracle of the test."""

    port: int
    seed: int
    stop: threading.Event
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempts: int = 0

    def run(self) -> None:
        """Keep one connection while it lasts; a connection that breaks means "not answered"."""
        rng = random.Random(self.seed)
        connection = None
        while not self.stop.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            row = {f"x{index}": rng.gauss(0, 1) for index in range(5)}
            self.attempts += 1
            try:
                connection.request("POST", "/predict", json.dumps(row), {"Content-Type": "application/json"})
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
                continue
            if response.status == 200:
                answer = json.loads(body)
                self.acknowledged[answer["request_id"]] = {**row, "answer": answer}
        if connection is not None:
            connection.close()


def worker_pids(running: Running) -> list[int]:
    """The gateway's workers at this moment."""
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def test_fifty_killed_workers_lose_no_acknowledged_row(tmp_path: Path) -> None:
    """Answered implies logged, over 50 random kills; extra rows are at most those that were in flight."""
    place = Place(tmp_path)
    card = register_numbers(place.registry, tmp_path / "in")
    stop = threading.Event()
    rng = random.Random(SEED)
    with gateway(place) as running:
        clients = [Client(place.gateway_port, SEED + number, stop) for number in range(CLIENTS)]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        try:
            for kill in range(KILLS):
                acknowledged = sum(len(client.acknowledged) for client in clients)
                # Traffic flows again before the next kill, and the moment within it is random.
                target = acknowledged + rng.randint(1, 40)
                wait_until(
                    lambda target=target: sum(len(client.acknowledged) for client in clients) >= target,  # type: ignore[misc]
                    60,
                    f"traffic after kill {kill}",
                )
                os.kill(rng.choice(worker_pids(running)), signal.SIGKILL)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    rows = prediction_rows(place.paths.live, card)
    logged = {row["request_id"]: row for row in rows}
    acknowledged = {key: value for client in clients for key, value in client.acknowledged.items()}
    assert len(logged) == len(rows), "a request stands in the log twice"
    assert set(acknowledged) <= set(logged)
    for request_id, sent in acknowledged.items():
        row, answer = logged[request_id], sent["answer"]
        assert {name: row[name] for name in sent if name != "answer"} == {
            name: value for name, value in sent.items() if name != "answer"
        }
        assert row["prediction"] == str(answer["prediction"])
        assert row["confidence"] == answer["confidence"]
        assert (row["probability_0"], row["probability_1"]) == tuple(answer["probabilities"].values())
    unanswered = sum(client.attempts for client in clients) - len(acknowledged)
    assert len(logged) - len(acknowledged) <= unanswered
    assert len(acknowledged) > KILLS * 10
