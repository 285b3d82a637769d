"""What is refused for its content is counted by cause, in few lines, and costs nobody anything."""

from __future__ import annotations

import doctest
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.log import refusals
from gateway.log.line import header_line
from gateway.log.reader import scan
from gateway.log.writer import SegmentWriter
from gateway.registry import Feature
from gateway.serving import problems, refusal_log
from gateway.serving.problems import Fault, Problem, invalid
from gateway.serving.refusal_log import CAUSES_MAX, EXAMPLE_LENGTH_MAX, RefusalLog, shown
from gateway.serving.validation import PredictionInput
from tests.gateway.cards import card
from tests.logs import parse
from tests.tools import wait_until

LIMITS = {"instances_max": 100, "text_length_max": 20}
FEATURES = (
    Feature("amount", "number"),
    Feature("count", "integer"),
    Feature("job", "category", categories=("clerk", "student")),
    Feature("known", "boolean"),
    Feature("age", "number", minimum=18.0, maximum=90.0, unseen="reject"),
)
GOOD = {"amount": 1.5, "count": 2, "job": "clerk", "known": True, "age": 40}


def refused(body: Any) -> Problem:
    """What the input of a model says against a body."""
    with pytest.raises(Problem) as caught:
        PredictionInput(card(features=FEATURES), **LIMITS).rows(body)
    return caught.value


def without(name: str) -> dict[str, Any]:
    """The good row without a feature."""
    return {key: value for key, value in GOOD.items() if key != name}


CAUSES: dict[str, tuple[Any, tuple[str, str, Any]]] = {
    "missing feature": (without("age"), ("missing feature", "age", None)),
    "null": (GOOD | {"amount": None}, ("null", "amount", None)),
    "text for a number": (GOOD | {"amount": "41"}, ("wrong type", "amount", "41")),
    "fraction for an integer": (GOOD | {"count": 1.5}, ("wrong type", "count", 1.5)),
    "number for a boolean": (GOOD | {"known": 1}, ("wrong type", "known", 1)),
    "number for a category": (GOOD | {"job": 3}, ("wrong type", "job", 3)),
    "unseen category": (GOOD | {"job": "astronaut"}, ("unseen category", "job", "astronaut")),
    "beyond single precision": (GOOD | {"amount": 1e39}, ("out of range", "amount", 1e39)),
    "beyond 2^53": (GOOD | {"count": 2**60}, ("out of range", "count", 2**60)),
    "beyond the reference": (GOOD | {"age": 91}, ("out of range", "age", 91)),
    "too long": (GOOD | {"job": "x" * 21}, ("unusable text", "job", "x" * 21)),
    "unknown field": (GOOD | {"agee": 40}, ("unknown field", "", "agee")),
    "a row that is no object": ({"instances": [7]}, ("wrong form", "", 7)),
    "rows that are no list": ({"instances": 7}, ("wrong form", "", None)),
    "a field beside the rows": ({"instances": [GOOD], "amount": 1}, ("unknown field", "", "amount")),
}


@pytest.mark.parametrize("name", CAUSES)
def test_every_refusal_has_its_cause(name: str) -> None:
    """The reason, the feature, and what was sent."""
    body, expected = CAUSES[name]
    assert [(cause.reason, cause.feature, cause.value) for cause in refused(body).causes] == [expected]


def test_a_batch_is_refused_with_all_of_its_rows_and_each_cause_once() -> None:
    """Also causes beyond the faults that the answer shows."""
    wrong = GOOD | {"amount": "1", "count": "2"}
    problem = refused({"instances": [GOOD, *[wrong] * 60, without("job")]})
    assert len(problem.faults) == problems.FAULTS_SHOWN
    found = [(cause.reason, cause.feature) for cause in problem.causes]
    assert found == [("wrong type", "amount"), ("wrong type", "count"), ("missing feature", "job")]
    assert problem.rows == 62


class Place:
    """A refusal log with a writer of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        header = header_line(refusals.columns())
        self.writer = SegmentWriter(folder, refusals.PREFIX, header, durable=False, timeout_seconds=1)
        self.log = RefusalLog(flush_seconds=0.01, clock=lambda: self.now)

    def lines(self) -> list[dict[str, Any]]:
        """What is written."""
        columns = refusals.columns()
        return [row for path in sorted(self.folder.glob("*.csv")) for row in parse(scan(path, columns), columns)]

    def counted(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Requests and rows by reason and feature."""
        requests: Counter[tuple[str, str]] = Counter()
        rows: Counter[tuple[str, str]] = Counter()
        for line in self.lines():
            requests[line["reason"], line["feature"]] += line["requests"]
            rows[line["reason"], line["feature"]] += line["rows"]
        return {key: (requests[key], rows[key]) for key in requests}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place whose log and writer are closed afterwards."""
    place = Place(tmp_path / "1")
    yield place
    place.log.close()
    place.writer.close()


def threads() -> list[str]:
    """The names of this process's threads."""
    return [thread.name for thread in threading.enumerate()]


def test_nothing_is_made_while_nothing_is_refused_for_its_content(place: Place) -> None:
    """No file and no thread: not at the start, nor for refusals that no row is to blame for, nor at the end."""
    for kind in (problems.TOO_LARGE, problems.NOT_RECORDED, problems.UNAUTHORIZED, problems.MODEL_FAILED):
        place.log.note(place.writer, Problem(kind, "no"))
    assert "refusal-log" not in threads()
    place.log.close()
    assert not place.folder.exists()


def test_requests_are_counted_once_for_each_cause_and_once_in_all(place: Place) -> None:
    """What comes while nothing is written goes into the same lines; what comes later into later ones."""
    place.now = 1000.0
    both = refused(GOOD | {"amount": "41", "job": "astronaut"})
    for _ in range(3):
        place.log.note(place.writer, both)
    place.log.note(place.writer, refused({"instances": [GOOD, GOOD | {"job": "pilot"}]}))
    place.log.note(place.writer, Problem(problems.MALFORMED, "the body is not JSON: \x1b[2J"))
    wait_until(lambda: place.counted().get(("any", "")) == (5, 6), 10, "the lines")
    assert place.counted() == {
        ("any", ""): (5, 6),
        ("wrong type", "amount"): (3, 3),
        ("unseen category", "job"): (4, 5),
        ("malformed", ""): (1, 1),
    }
    assert {line["since"] for line in place.lines()} == {"1970-01-01T00:16:40.000000Z"}
    examples = {line["reason"]: line["example"] for line in place.lines()}
    assert examples["any"] is None
    assert examples["malformed"] == "the body is not JSON: \ufffd[2J"
    place.now = 2000.0
    place.log.note(place.writer, both)
    place.log.close()
    assert place.counted()["any", ""] == (6, 7)
    assert place.lines()[-1]["until"] == "1970-01-01T00:33:20.000000Z"


def test_a_flood_is_few_lines(tmp_path: Path) -> None:
    """10,000 requests with 10,000 causes between two writings: so many lines as causes are told apart, and two more."""
    place = Place(tmp_path / "1")
    place.log = RefusalLog(flush_seconds=3600)
    for number in range(10_000):
        faults = [Fault("", "", "wrong type", f"f{number}"), Fault("", "", "null", f"f{number}")]
        place.log.note(place.writer, invalid(faults))
    place.log.close()
    place.writer.close()
    assert len(place.lines()) == CAUSES_MAX + 2
    found = place.counted()
    assert found["any", ""] == (10_000, 10_000)
    assert found["more", ""] == (10_000 - CAUSES_MAX // 2, 10_000 - CAUSES_MAX // 2)


def test_a_disk_that_takes_nothing_costs_counts_and_nothing_else(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway's log says how many; what is refused when the disk is back is counted."""
    place.folder.write_text("in the way")
    place.log.note(place.writer, refused(without("age")))
    wait_until(lambda: "the counts of 1 refused requests are lost" in caplog.text, 10, "the line of the gateway's log")
    place.folder.unlink()
    place.log.note(place.writer, refused(without("age")))
    place.log.close()
    assert place.counted() == {("any", ""): (1, 1), ("missing feature", "age"): (1, 1)}


def test_examples_can_be_left_out(place: Place) -> None:
    """All of them."""
    place.log = RefusalLog(keeps_examples=False, flush_seconds=0.01)
    place.log.note(place.writer, refused(GOOD | {"amount": "41"}))
    place.log.note(place.writer, Problem(problems.MALFORMED, "the body is not JSON"))
    place.log.close()
    assert {line["example"] for line in place.lines()} == {None}
    assert len(place.lines()) == 3


@pytest.mark.parametrize(
    "value", ["x" * 100_000, "\ud800", "two\nlines", "\u202e", 10**4000, -1e300, [[1] * 1000], {"a": 1}, "a,b;\0"]
)
def test_an_example_is_short_and_steers_nothing(place: Place, value: Any) -> None:
    """Whatever was sent: it is printable, and comes back from the log as it was shown."""
    text = shown(value)
    assert len(text) <= EXAMPLE_LENGTH_MAX
    assert text.isprintable()
    place.log.note(place.writer, invalid([Fault("", "", "wrong type", "amount", value)]))
    place.log.close()
    assert place.lines()[-1]["example"] == text


def test_examples() -> None:
    """The examples of the docstrings."""
    assert doctest.testmod(refusal_log).failed == 0
