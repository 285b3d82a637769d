"""A result in words: the same headline on the terminal and on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drift_engine.results.schema import Check, ColumnFinding, Result

#: So many of the columns that moved are named in the headline.
_NAMES_MAX = 3

#: What a page calls the figure of a check, by its method.
_MEASURES = {
    "psi": "PSI",
    "evidently psi": "PSI, Evidently's bins",
    "wasserstein": "Wasserstein distance (normed)",
    "jensenshannon": "Jensen-Shannon distance",
    "ks": "K-S distance",
    "chisquare": "chi-square",
    "mann-whitney": "rank shift, Mann-Whitney",
    "mood": "rank spread, Mood",
    "hypergeometric": "change of the missing share",
    "exceedance": "share of novel values",
    "tarone": "growth of one value's share",
}

Tone = Literal["good", "bad", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """`headline` is the verdict in a few words, `detail` the sentence after it, `tone` how to colour it."""

    headline: str
    detail: str
    tone: Tone


def verdict(result: Result) -> Verdict:
    """Drift, no drift, not enough data, or failed; with what moved."""
    if result.outcome == "failed":
        return Verdict("RUN FAILED", result.reason or "", "unknown")
    if result.outcome == "insufficient_data":
        # A drop in quality is known even when the window is too thin to compare distributions.
        if result.concept_drift.detected:
            return Verdict("QUALITY DROPPED", f"{result.concept_drift.reason}; drift unknown: {result.reason}", "bad")
        return Verdict("not enough data", result.reason or "", "unknown")
    moved = _what_moved(result)
    if moved:
        word = "DRIFT" if result.data_drift.detected or result.prediction_drift.detected else "QUALITY DROPPED"
        return Verdict(word, "; ".join(moved), "bad")
    tested = result.data_drift.columns_tested
    columns = "1 column" if tested == 1 else f"{tested} columns"
    return Verdict("no drift", f"{columns} and the model's answers moved no more than chance allows", "good")


def drifted(result: Result) -> tuple[ColumnFinding, ...]:
    """The findings of inputs, then of answers, that say drift."""
    findings = (*result.data_drift.columns, *result.prediction_drift.findings)
    return tuple(finding for finding in findings if finding.detected)


def decisive(finding: ColumnFinding) -> Check | None:
    """The check that speaks for a column: the one with the largest ratio; None where none gave a verdict."""
    answered = [check for check in finding.checks if check.drift_ratio is not None]
    return max(answered, key=lambda check: check.drift_ratio or 0.0, default=None)


def measure(check: Check) -> str:
    """What the check's score is of, for people."""
    return _MEASURES.get(check.method, check.method)


def _what_moved(result: Result) -> list[str]:
    moved = []
    data = result.data_drift
    if data.columns_drifted:
        columns = "column" if data.columns_tested == 1 else "columns"
        names = [finding.column for finding in data.columns if finding.detected]
        shown = ", ".join(names[:_NAMES_MAX]) + (", ..." if len(names) > _NAMES_MAX else "")
        moved.append(f"{data.columns_drifted} of {data.columns_tested} {columns} moved{_where(data.columns)} ({shown})")
    if data.joint is not None and data.joint.detected:
        alone = "" if data.columns_drifted else ", though no column did alone"
        moved.append(f"the inputs moved together{alone} (AUC {data.joint.auc:.2f})")
    if result.prediction_drift.detected:
        moved.append(f"the model's answers moved{_where(result.prediction_drift.findings)}")
    if result.concept_drift.detected:
        moved.append(result.concept_drift.reason)
    return moved


def _where(findings: tuple[ColumnFinding, ...]) -> str:
    """The time scales that drift is seen on, those of the strongest findings first."""
    phrases = dict.fromkeys(finding.seen for finding in findings if finding.detected)
    said = " and ".join(phrase for phrase in phrases if phrase)
    return f" {said}" if said else ""
