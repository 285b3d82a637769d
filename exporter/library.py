"""The report library: what `/` shows, as plain data. The verdict in words, never a number to be interpreted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drift_engine.results.schema import ColumnFinding, Result
from drift_engine.results.store import ResultError, ResultStore, RunPlace, read_result
from exporter.sources import ModelState
from exporter.superseded import Superseded
from exporter.words import age_text, duration, sentence, window_text
from gateway.clock import parse_utc
from gateway.heartbeat import Heartbeat

Tone = Literal["drift", "calm", "unknown", "failed"]
PAGE_ROWS = 50
_SUMMARIES_MAX = 5_000
_STRONGEST = 3


@dataclass(frozen=True)
class Verdict:
    """A run's answer: `word` for the badge, `tone` for its colour, `sentences` for the reader."""

    word: str
    tone: Tone
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class RunSummary:
    """One run as the table shows it. `finished_at` in seconds since the epoch; None where it cannot be read.

    `superseded_by`: the run that scored the same window again when more labels had come; `supersedes`: the one before.
    """

    model_name: str
    model_version: str
    run_id: str
    outcome: str
    verdict: Verdict
    kind: str
    window: str
    finished_at: float | None
    rows: int | None
    columns_drifted: int | None
    columns_tested: int | None
    score: float | None
    has_report: bool
    supersedes: str | None = None
    superseded_by: str | None = None


@dataclass(frozen=True)
class Card:
    """One model version on top of the page. `run` and `result` are None before its first run.

    `last_verdict` is the newest run with a verdict, where the newest run has none: lack of data takes no news away.
    """

    model: ModelState
    run: RunSummary | None
    result: Result | None
    strongest: tuple[ColumnFinding, ...]
    last_verdict: RunSummary | None
    age: str
    stale: bool


@dataclass(frozen=True)
class Page:
    """One page of the table: `runs` of `total`; `number` counts from 1 to `last`."""

    runs: tuple[RunSummary, ...]
    total: int
    number: int
    last: int


@dataclass(frozen=True)
class ProcessState:
    """Whether a process runs, as its heartbeat says: `word` is "running", "not running" or "silent for 5 min"."""

    process: str
    alive: bool
    word: str


class Library:
    """The runs under one `reports` folder. Results never change, so each is read once."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._summaries: dict[Path, RunSummary] = {}
        self._superseded = Superseded()

    def page(self, model_name: str | None, number: int) -> Page:
        """The `number`-th page, newest run first, of one model or of all; a number past the end gives the last."""
        places = [run for run in self._store.runs() if model_name in (None, run.model_name)]
        last = max(1, -(-len(places) // PAGE_ROWS))
        number = min(max(1, number), last)
        shown = places[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]
        replaced = self._superseded.among(places[: number * PAGE_ROWS])
        runs = (_marked(self._summary(place), replaced.get(place.folder)) for place in shown)
        return Page(tuple(runs), len(places), number, last)

    def card(self, model: ModelState, now: float, stale_after_seconds: float) -> Card:
        """The card of one model version, with the three columns that moved most."""
        if model.answer is None:
            return Card(model, None, None, (), None, "", False)
        latest, result = model.answer.latest, model.answer.result
        home = self._store.folder(model.model_name, model.model_version)
        last_verdict = None
        if latest.last_ok_run_id not in (None, latest.run_id):
            run_id = str(latest.last_ok_run_id)
            last_verdict = self._summary(RunPlace(model.model_name, model.model_version, run_id, home / run_id))
        moved = tuple(finding for finding in result.data_drift.columns if finding.detected)
        age = now - latest.finished_at
        return Card(
            model=model,
            run=summarise(result, home / result.run_id),
            result=result,
            strongest=moved[:_STRONGEST] if result.outcome == "ok" else (),
            last_verdict=last_verdict,
            age=age_text(age),
            stale=age > stale_after_seconds,
        )

    def _summary(self, place: RunPlace) -> RunSummary:
        known = self._summaries.get(place.folder)
        # Retention removes reports and keeps results, so only the rest of a summary may be remembered.
        if known is not None and known.has_report == (place.folder / "report.html").is_file():
            return known
        try:
            summary = summarise(read_result(place.folder / "result.json"), place.folder)
        except ResultError as error:
            return _unreadable(place, str(error))
        if len(self._summaries) >= _SUMMARIES_MAX:
            self._summaries.clear()
        self._summaries[place.folder] = summary
        return summary


def summarise(result: Result, folder: Path) -> RunSummary:
    """One run as the table shows it."""
    judged = result.outcome == "ok"
    return RunSummary(
        model_name=result.model_name,
        model_version=result.model_version,
        run_id=result.run_id,
        outcome=result.outcome,
        verdict=verdict(result),
        kind=result.window.kind,
        window=window_text(result.window.start, result.window.end),
        finished_at=_seconds(result.finished_at),
        rows=result.rows.read if result.outcome != "failed" else None,
        columns_drifted=result.data_drift.columns_drifted if judged else None,
        columns_tested=result.data_drift.columns_tested if judged else None,
        score=result.data_drift.score if judged else None,
        has_report=(folder / "report.html").is_file(),
        supersedes=result.supersedes,
    )


def urgency(shown: Card) -> tuple[int, str]:
    """Sort key of cards: what needs a person comes first, be it the verdict before the newest run's."""
    known = shown.last_verdict or shown.run
    tone = known.verdict.tone if known else "unknown"
    return ("drift", "failed", "unknown", "calm").index(tone), shown.model.model_name


def verdict(result: Result) -> Verdict:
    """The answer in words. Drift in the inputs, in the answers or in the quality is drift."""
    if result.outcome == "failed":
        return Verdict("Failed", "failed", (sentence(result.reason or "the run failed"),))
    if result.outcome == "insufficient_data":
        reason = result.reason or f"{result.rows.read} rows in the window"
        return Verdict("Not enough data", "unknown", (sentence(reason),))
    sentences = (_inputs(result), _predictions(result), _quality(result))
    verdicts = (result.data_drift.detected, result.prediction_drift.detected, result.concept_drift.detected)
    if any(verdicts):
        return Verdict("Drift", "drift", sentences)
    # "No drift" is claimed only where the inputs could be judged; the sentences say what else could not.
    if result.data_drift.detected is None:
        return Verdict("Not enough data", "unknown", sentences)
    return Verdict("No drift", "calm", sentences)


def processes(beats: dict[str, Heartbeat], now: float, timeout_seconds: float) -> tuple[ProcessState, ...]:
    """The state of gateway and scheduler; no heartbeat means not running."""
    return tuple(_process(name, beats.get(name), now, timeout_seconds) for name in ("gateway", "scheduler"))


def _inputs(result: Result) -> str:
    drift = result.data_drift
    if drift.detected is None:
        return "Inputs: not enough data for a verdict."
    columns = f"{drift.columns_drifted or 'none'} of {drift.columns_tested} columns moved"
    if drift.joint is not None and drift.joint.detected:
        # The joint check may be all that speaks: a relation of columns broke while each kept its values.
        return f"Inputs: {columns} by itself, all together did."
    return f"Inputs: {columns}."


def _predictions(result: Result) -> str:
    words = {True: "they moved.", False: "they did not move.", None: "not enough data for a verdict."}
    return f"Predictions: {words[result.prediction_drift.detected]}"


def _quality(result: Result) -> str:
    # The engine's own sentence: it knows the metric, the interval and what is lacking.
    return f"Quality: {sentence(result.concept_drift.reason, capital=False)}"


def _marked(run: RunSummary, by: RunPlace | None) -> RunSummary:
    return run if by is None else dataclasses.replace(run, superseded_by=by.run_id)


def _process(name: str, beat: Heartbeat | None, now: float, timeout_seconds: float) -> ProcessState:
    if beat is None:
        return ProcessState(name, False, "not running")
    silence = now - beat.beat_at
    if silence > timeout_seconds:
        return ProcessState(name, False, f"silent for {duration(silence)}")
    return ProcessState(name, True, "running")


def _unreadable(place: RunPlace, reason: str) -> RunSummary:
    return RunSummary(
        model_name=place.model_name,
        model_version=place.model_version,
        run_id=place.run_id,
        outcome="unreadable",
        verdict=Verdict("Unreadable", "failed", (sentence(reason),)),
        kind="",
        window="",
        finished_at=None,
        rows=None,
        columns_drifted=None,
        columns_tested=None,
        score=None,
        has_report=(place.folder / "report.html").is_file(),
    )


def _seconds(text: str) -> float | None:
    try:
        return parse_utc(text)
    except ValueError:
        return None
