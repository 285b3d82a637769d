"""Requests that the gateway refused for their content: rows that were asked for and are not in the log."""

from __future__ import annotations

from collections.abc import Iterator

from drift_engine.data_quality.findings import counted, first_few, graded
from drift_engine.reading.refusals import Cause, Refusals
from drift_engine.results.schema import QualityFinding, Severity
from drift_engine.sentences import percent, printable

#: Fewer refused requests are a notice, whatever their share: a few are somebody who tries.
_REQUESTS_MIN = 10
#: So many causes get a finding each; the others one for each reason.
_FINDINGS_MAX = 20
#: The reasons of the refusal log as they follow "refused: ". One that is not here is told as it stands.
_WORDS = {
    "missing feature": "it was missing",
    "null": "it was null",
    "wrong type": "its value was of a wrong type",
    "unseen category": "its value was of a level that the reference does not have",
    "out of range": "its value was out of range",
    "unusable text": "its text was too long, or no Unicode",
    "unknown field": "a field that the model does not have",
    "no finite answer": "the model had no finite answer",
    "wrong form": "the request was not of the right form",
    "malformed": "the body was no JSON object",
    "more": "further causes",
}


def refused_requests(refused: Refusals, rows: int) -> Iterator[QualityFinding]:
    """A finding for each cause. A request is in as many of them as it had causes.

    Args:
        rows: of the window, in the log. With those that refused requests asked for they are all that were asked for.
    """
    asked = rows + refused.rows
    for cause in refused.causes[:_FINDINGS_MAX]:
        yield _finding(cause, asked, _WORDS.get(cause.reason, cause.reason))
    others: dict[str, list[Cause]] = {}
    for cause in refused.causes[_FINDINGS_MAX:]:
        others.setdefault(cause.reason, []).append(cause)
    for reason, causes in others.items():
        words = f"{_WORDS.get(reason, reason)} ({counted(len(causes), 'further feature')}, each at most so often)"
        # A request may be in all of them, so that nobody can add them up; the first one has the most rows.
        largest = Cause(reason, "", causes[0].requests, causes[0].rows, tuple(cause.feature for cause in causes))
        yield _finding(largest, asked, words)


def _finding(cause: Cause, asked: int, words: str) -> QualityFinding:
    share = cause.rows / asked
    severity: Severity = graded(share) if cause.requests >= _REQUESTS_MIN else "notice"
    said = f"{counted(cause.requests, 'request')} refused: {printable(words)}"
    sentence = f"{said}; {cause.rows:,} of {counted(asked, 'row')} asked for ({percent(share)}) got no answer for that"
    examples = first_few(printable(example) for example in cause.examples)
    return QualityFinding("refused", cause.feature, cause.rows, share, severity, sentence, examples)
