"""Verdicts as JUnit XML, which CI systems show: one suite per run or file, one case per column.

The form is the common part of what Jenkins, GitLab and others read (testsuites, testsuite, testcase with
failure, error or skipped). A case fails when it stops a gate of `--fail-on`, so that page and exit code agree;
without gates, when the column moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from drift_engine.exit_codes import Gate, Judgement
from drift_engine.results.schema import ColumnFinding, JointDrift, Result

State = Literal["passed", "failure", "skipped", "error"]
DEFAULT_GATES: tuple[Gate, ...] = ("drift",)


@dataclass(frozen=True)
class Case:
    """One question; `group` is what it belongs to (inputs, answers, quality, schema), `message` the finding."""

    group: str
    name: str
    state: State
    message: str


@dataclass(frozen=True)
class Suite:
    """The cases of one run or file."""

    name: str
    cases: tuple[Case, ...]


def document(suites: Sequence[Suite]) -> bytes:
    """The XML. It holds no time and no host, so that equal verdicts give equal bytes."""
    root = ElementTree.Element("testsuites", _counts([case for suite in suites for case in suite.cases]))
    for suite in suites:
        element = ElementTree.SubElement(root, "testsuite", {"name": _plain(suite.name)} | _counts(suite.cases))
        for case in suite.cases:
            names = {"classname": _plain(f"{suite.name}.{case.group}"), "name": _plain(case.name)}
            child = ElementTree.SubElement(element, "testcase", names)
            if case.state == "passed":
                ElementTree.SubElement(child, "system-out").text = _plain(case.message)
            else:
                ElementTree.SubElement(child, case.state, {"message": _plain(case.message)})
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def suite_of_result(result: Result, gates: Sequence[Gate]) -> Suite:
    """A run as a suite."""
    name = f"{result.model_name} {result.model_version}"
    if result.outcome == "failed":
        return Suite(name, (Case("run", "outcome", "error", result.reason or ""),))
    concept = result.concept_drift
    judged = Judgement(concept.detected is True, concept.detected is True, False)
    quality = Case("quality", "concept drift", _state(concept.detected, judged, gates), concept.reason)
    return Suite(
        name,
        (
            enough_data(result.outcome == "insufficient_data", result.reason, gates),
            *column_cases("inputs", result.data_drift.columns, gates),
            *_joint_cases(result.data_drift.joint, gates),
            *column_cases("answers", result.prediction_drift.findings, gates),
            quality,
        ),
    )


def enough_data(insufficient: bool, reason: str | None, gates: Sequence[Gate]) -> Case:
    """Whether there was a verdict at all."""
    if not insufficient:
        return Case("run", "enough data", "passed", "there was enough data for a verdict")
    state: State = "failure" if "insufficient" in gates else "skipped"
    return Case("run", "enough data", state, reason or "")


def column_cases(group: str, findings: Iterable[ColumnFinding], gates: Sequence[Gate]) -> Iterator[Case]:
    """A case per column, named for it."""
    for finding in findings:
        moved = finding.detected is True
        judged = Judgement(moved, moved and finding.severity not in ("none", "notice"), False)
        yield Case(group, finding.column, _state(finding.detected, judged, gates), finding.sentence)


def _joint_cases(joint: JointDrift | None, gates: Sequence[Gate]) -> Iterator[Case]:
    """A case for all inputs together, where that was asked; like an alert on it, it is graded a notice."""
    if joint is not None:
        judged = Judgement(joint.detected is True, False, False)
        yield Case("inputs", "all together", _state(joint.detected, judged, gates), joint.sentence)


def _state(detected: bool | None, judged: Judgement, gates: Sequence[Gate]) -> State:
    if detected is None:
        return "skipped"
    return "failure" if judged.stopped_by(gates or DEFAULT_GATES) else "passed"


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    def count(state: State) -> str:
        return str(sum(case.state == state for case in cases))

    return {
        "tests": str(len(cases)),
        "failures": count("failure"),
        "errors": count("error"),
        "skipped": count("skipped"),
    }


def _plain(text: str) -> str:
    """Without what XML 1.0 cannot hold, whatever a column is called."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
