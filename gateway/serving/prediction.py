"""From a request's bytes to an answer that only waits for its record: decoded, scored, stamped, encoded."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.clock import utc_text
from gateway.log.predictions import PredictionEncoder
from gateway.log.writer import LogUnavailable, SegmentWriter
from gateway.registry import ModelCard
from gateway.registry.columns import class_text
from gateway.serving import problems
from gateway.serving.body import parse_object
from gateway.serving.models import ServedModel
from gateway.serving.problems import Fault, Problem, pointer
from gateway.serving.scoring.model import Answers, NoFiniteAnswer
from gateway.serving.validation import BATCH_KEY, Row

log = logging.getLogger("gateway.requests")

#: Writes a response's body from the card, the answers, the request's id and its timestamp.
Render = Callable[[ModelCard, Answers, str, str], bytes]


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer that may leave once `payloads` are in the prediction log of `served`.

    Attributes:
        rows: what was scored.
        client_id: the client's own id for the request, if it sent one that is kept.
        payloads: a line per row, as the log's writer takes them.
        body: of the response.
        recorded: the predictions as the log holds them.
        preprocessing_seconds, inference_seconds: how long the first two phases took.
        scored_at: `time.perf_counter()` when the third began.
    """

    served: ServedModel
    rows: Sequence[Row]
    request_id: str
    client_id: str | None
    timestamp: str
    payloads: list[bytes]
    body: bytes
    recorded: Sequence[str | float]
    preprocessing_seconds: float
    inference_seconds: float
    scored_at: float

    def count(self) -> None:
        """Count it as answered."""
        metrics = self.served.metrics
        metrics.count_predictions(self.recorded)
        metrics.preprocessing.observe(self.preprocessing_seconds)
        metrics.inference.observe(self.inference_seconds)
        metrics.postprocessing.observe(time.perf_counter() - self.scored_at)

    @contextlib.contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count its rows as being on their way to the log for as long as the block runs."""
        gauge, rows = self.served.metrics.rows_in_flight, len(self.payloads)
        gauge.inc(rows)
        try:
            yield
        finally:
            gauge.dec(rows)

    def facts(self) -> dict[str, Any]:
        """What the access log says of it."""
        seconds = self.preprocessing_seconds + self.inference_seconds + time.perf_counter() - self.scored_at
        card = self.served.card
        return {
            "model_name": card.name,
            "model_version": card.version,
            "rows": len(self.payloads),
            "latency_ms": round(seconds * 1e3, 3),
        }


def rows_of(served: ServedModel, body: bytes) -> tuple[list[Row], bool]:
    """The validated rows of a request's body, and whether it was a batch. Raises Problem with every fault."""
    if (row := served.decoder.row(body)) is not None:
        return [row], False
    if (rows := served.decoder.rows(body)) is not None:
        return rows, True
    return served.input.rows(parse_object(body))


def predict(
    served: ServedModel,
    rows: Sequence[Row],
    *,
    is_batch: bool,
    request_id: str,
    client_id: str | None,
    started: float,
    render: Render | None = None,
    matrix: NDArray[np.float64] | None = None,
) -> Prediction:
    """Score validated rows and prepare their record.

    Args:
        started: `time.perf_counter()` when the request was there.
        render: writes the body, where that is not to be our own JSON.
        matrix: the rows as one array, where they came so.

    Raises:
        Problem: the model failed, or has no finite answer.
    """
    parsed = time.perf_counter()
    answers = _ask(served, rows, is_batch, matrix)
    scored = time.perf_counter()
    # From here to the log is one append: a drift run that waits a little finds every row of its window.
    timestamp = utc_text(time.time())
    return Prediction(
        served=served,
        rows=rows,
        request_id=request_id,
        client_id=client_id,
        timestamp=timestamp,
        payloads=payloads_of(served.encoder, rows, answers, request_id, timestamp, client_id, (scored - started) * 1e3),
        body=(
            render(served.card, answers, request_id, timestamp)
            if render
            else msgspec.json.encode(_answer(served.card, answers, is_batch, request_id, timestamp))
        ),
        recorded=answers.recorded,
        preprocessing_seconds=parsed - started,
        inference_seconds=scored - parsed,
        scored_at=scored,
    )


def record(writer: SegmentWriter, payloads: list[bytes]) -> None:
    """Put rows on disk. Raises Problem when that fails; then nobody may be answered."""
    try:
        writer.append(payloads)
    except LogUnavailable as error:
        raise Problem(problems.NOT_RECORDED, str(error)) from error


def _ask(served: ServedModel, rows: Sequence[Row], is_batch: bool, matrix: NDArray[np.float64] | None) -> Answers:
    try:
        return served.model.answer(rows, matrix)
    except NoFiniteAnswer as error:
        faults = [
            Fault(pointer(BATCH_KEY, row) if is_batch else "", "has no finite answer", "no finite answer")
            for row in error.rows
        ]
        said = "the model has no finite answer to these values"
        raise Problem(problems.INVALID, said, faults, causes=faults[:1], rows=len(rows)) from error
    except Exception as error:
        # A model may raise anything on a row that it never met; that is its failure, not the client's.
        log.exception("model %s %s failed", served.card.name, served.card.version)
        raise Problem(problems.MODEL_FAILED, f"the model raised {type(error).__name__}") from error


def payloads_of(
    encoder: PredictionEncoder,
    rows: Sequence[Row],
    answers: Answers,
    request_id: str,
    timestamp: str,
    client_id: str | None,
    latency_ms: float,
    first_instance: int = 0,
) -> list[bytes]:
    """A line per row for the version's prediction log; `first_instance`: the first row's place in its batch."""
    return encoder.encode_rows(
        request_id,
        timestamp,
        first_instance,
        client_id,
        rows,
        answers.recorded,
        answers.confidences,
        answers.probabilities,
        round(latency_ms, 3),
    )


def _answer(card: ModelCard, answers: Answers, is_batch: bool, request_id: str, timestamp: str) -> dict[str, Any]:
    names = [class_text(label) for label in card.classes]
    confidences, probabilities = answers.confidences, answers.probabilities
    items = [
        {
            "prediction": prediction,
            "confidence": confidences[index] if confidences is not None else None,
            "probabilities": dict(zip(names, probabilities[index], strict=True)) if probabilities is not None else None,
        }
        for index, prediction in enumerate(answers.predictions)
    ]
    head = {
        "request_id": request_id,
        "timestamp": timestamp,
        "model_name": card.name,
        "model_version": card.version,
    }
    return {**head, "predictions": items} if is_batch else {**head, **items[0]}
