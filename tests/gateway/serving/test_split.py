"""The draw between two versions, without a gateway round it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.serving.access import AccessLog
from gateway.serving.guard import Guard
from gateway.serving.models import Serving, Split
from gateway.serving.worker.framing import PlainPrediction
from gateway.serving.worker.lane import QUICK_SECONDS, Lane
from gateway.settings import GatewaySettings


def served(version: str, row: Any = (0.5,), row_seconds: float = 0.0) -> Any:
    """As much of a served model as decides who answers."""
    return SimpleNamespace(
        card=SimpleNamespace(name="numbers", version=version),
        model=SimpleNamespace(row_seconds=row_seconds),
        decoder=SimpleNamespace(row=lambda body: row),
    )


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_clients_are_drawn_in_the_share_that_was_asked_for(share: float) -> None:
    """Numbered one after another, as ids are; each the same at every draw."""
    split = Split(served("2"), share)
    clients = [f"order-{number:06d}" for number in range(20_000)]
    drawn = [split.takes(client) for client in clients]
    assert drawn == [split.takes(client) for client in clients]
    # Five standard deviations.
    assert abs(sum(drawn) / len(drawn) - share) < 5 * (share * (1 - share) / len(drawn)) ** 0.5


def test_a_larger_share_keeps_the_clients_of_the_smaller_one() -> None:
    """Raising it moves nobody back."""
    few, more = Split(served("2"), 0.1), Split(served("2"), 0.3)
    clients = [str(number) for number in range(5_000)]
    assert {client for client in clients if few.takes(client)} < {client for client in clients if more.takes(client)}


def test_another_version_meets_other_clients() -> None:
    """Not always the same ones have what is new: of a tenth, a tenth is drawn again."""
    first, second = Split(served("2"), 0.1), Split(served("3"), 0.1)
    clients = [str(number) for number in range(20_000)]
    both = sum(first.takes(client) and second.takes(client) for client in clients)
    assert both / len(clients) == pytest.approx(0.01, abs=5 * (0.01 * 0.99 / len(clients)) ** 0.5)


def test_requests_without_an_id_are_drawn_each_by_itself() -> None:
    """In the share, within five standard deviations."""
    split = Split(served("2"), 0.25)
    drawn = sum(split.takes(None) for _ in range(20_000))
    assert abs(drawn / 20_000 - 0.25) < 5 * (0.25 * 0.75 / 20_000) ** 0.5


@pytest.mark.parametrize(
    "second", [served("2", row=None), served("2", row_seconds=2 * QUICK_SECONDS)], ids=["refuses the row", "is slow"]
)
def test_what_only_one_version_could_answer_in_the_lane_is_left_to_flask_whichever_is_drawn(second: Any) -> None:
    """Flask draws again: were it left only what the lane had drawn for one version, that one would lose its share."""
    first = served("1")
    serving = Serving("numbers", {"numbers": first}, {"numbers": Split(second, 0.5)})
    models: Any = SimpleNamespace(serving=serving)
    lane = Lane(models, Guard(GatewaySettings()), AccessLog("off", None), shadow=None)  # type: ignore[arg-type]
    asked = PlainPrediction("/predict", None, "", "", keep_alive=True, is_v2=False)
    assert {serving.pick(None, None) is first for _ in range(100)} == {True, False}
    assert [lane.take(asked, b"{}", None) for _ in range(100)] == [None] * 100


def test_without_a_split_the_serving_version_answers() -> None:
    """And of a model that nobody knows, none."""
    first = served("1")
    serving = Serving("numbers", {"numbers": first})
    assert (serving.pick(None, "me"), serving.pick("numbers", None), serving.pick("absent", None)) == (
        first,
        first,
        None,
    )
