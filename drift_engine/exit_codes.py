"""What the commands' exit codes mean, and what `--fail-on` asks of them. One table for all commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from drift_engine.results.schema import Alert, Result

OK, FAILED, USAGE = 0, 1, 2
DRIFT, INSUFFICIENT = 3, 4
EXPIRED, CHANGED = 5, 6
NOT_BETTER, DIFFERS = 7, 8
BUSY = 75
#: Which of several codes a command ends with: the gravest, last here.
_GRAVITY = (OK, INSUFFICIENT, DRIFT, BUSY, FAILED, USAGE)

Gate = Literal["drift", "warning", "insufficient"]
GATES: tuple[Gate, ...] = ("drift", "warning", "insufficient")
_GRAVE = frozenset({"warning", "high", "critical"})

FAIL_ON_HELP = """\
--fail-on makes a verdict an exit code, for CI; several are joined by commas (drift,insufficient):
  drift         3 when inputs, answers or quality moved beyond chance, however little it matters
  warning       3 when something is graded warning or graver; a drift of grade notice passes
  insufficient  4 when there was not enough data for a verdict; otherwise that passes
"""


@dataclass(frozen=True)
class Judgement:
    """What gates ask about one run or comparison. `drift`: anything moved; `grave`: a grade of warning or above."""

    drift: bool
    grave: bool
    insufficient: bool
    failed: bool = False

    def stopped_by(self, gates: Iterable[Gate]) -> tuple[Gate, ...]:
        """The gates that it does not pass."""
        met = {"drift": self.drift, "warning": self.grave, "insufficient": self.insufficient}
        return tuple(gate for gate in gates if met[gate])


def is_grave(severity: str) -> bool:
    """Whether a grade is warning or above."""
    return severity in _GRAVE


def judgement(result: Result) -> Judgement:
    """What a run's result says to the gates."""
    verdicts = (result.data_drift.detected, result.prediction_drift.detected, result.concept_drift.detected)
    alerts: Sequence[Alert] = result.alerts
    return Judgement(
        drift=any(verdict is True for verdict in verdicts),
        grave=any(is_grave(alert.severity) for alert in alerts),
        insufficient=result.outcome == "insufficient_data",
        failed=result.outcome == "failed",
    )


def code_of(judged: Judgement, gates: Sequence[Gate]) -> int:
    """The exit code of one run or comparison."""
    if judged.failed:
        return FAILED
    stopped = judged.stopped_by(gates)
    if "drift" in stopped or "warning" in stopped:
        return DRIFT
    return INSUFFICIENT if stopped else OK


def worst(codes: Iterable[int]) -> int:
    """The gravest of several exit codes; 0 of none."""
    return max(codes, key=_GRAVITY.index, default=OK)


def fail_on(text: str) -> tuple[Gate, ...]:
    """Gates from their names, joined by commas; raises argparse.ArgumentTypeError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    found = tuple(gate for gate in GATES if gate in names)
    if not names or set(names) - set(GATES):
        raise argparse.ArgumentTypeError(f"{text!r} is not {', '.join(GATES)}, or several of them joined by commas")
    return found
