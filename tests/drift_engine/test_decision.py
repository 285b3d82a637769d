"""The retraining decision: recommended, watched, none or unknown, in words and with figures."""

from __future__ import annotations

import dataclasses
from typing import Any

from drift_engine.alerts import raise_alerts
from drift_engine.decision import cause_of, decide_retraining
from drift_engine.results import Result
from drift_engine.results.quality import Estimate, LabelCounts, Trend
from drift_engine.results.schema import (
    Alert,
    ConceptDrift,
    Performance,
    PredictionDrift,
    Retraining,
    RetrainingCause,
    Severity,
)
from drift_engine.results.store import encode_result
from gateway.clock import utc_text
from gateway.registry import Metric
from tests.incidents import HEALTHY
from tests.results import NOON, data_drift, finding, insufficient, result

UNKNOWN = ConceptDrift(None, "none", None, None, None, None, 5.0, None, "0 labelled rows of 100 needed")


def dropped(severity: Severity, drop: float, p_value: float = 0.001) -> ConceptDrift:
    """A drop that was detected."""
    reason = f"accuracy fell by {drop:.1f} % of the baseline"
    return ConceptDrift(True, severity, "accuracy", drop, drop - 4, drop + 4, 5.0, p_value, reason)


def judged(recent: RetrainingCause | None = None, **changes: Any) -> Retraining:
    """The decision on a result that has the alerts that follow from it."""
    found = result(**changes)
    return decide_retraining(with_alerts(found), recent)


def with_alerts(found: Result) -> Result:
    """As a run makes it."""
    alerts = raise_alerts(
        found.data_drift, found.prediction_drift, found.performance, found.concept_drift, found.estimated
    )
    return dataclasses.replace(found, alerts=alerts)


def cause(seconds_ago: float) -> RetrainingCause:
    """What an earlier run saw, so long before the end of this one's window."""
    return RetrainingCause(utc_text(NOON - seconds_ago), "20261120T000000.000000Z-000000", "accuracy fell by 30 %")


def test_recommended_on_a_critical_alert_or_a_tenth_lost() -> None:
    """Lesser ones are watched; a tenth that may be chance is not lost."""
    for concept, decision in (
        (dropped("critical", 8.0), "recommended"),
        (dropped("warning", 12.0), "recommended"),
        (dropped("warning", 7.0), "watch"),
        (dropped("warning", 12.0, p_value=0.02), "watch"),
    ):
        assert judged(concept_drift=concept).decision == decision


def test_reasons_are_sentences_with_their_numbers() -> None:
    """Of both rules, where both hold."""
    reasons = judged(concept_drift=dropped("critical", 20.1)).reasons
    assert reasons == (
        "accuracy fell by 20.1 % of the baseline",
        "less than 90% of the baseline is left: accuracy fell by 20.1 % of the baseline",
    )


def test_drift_of_inputs_alone_is_watched_at_most() -> None:
    """However far: no label says that it does harm."""
    far = data_drift(*(finding(f"c{number}", score=5.0) for number in range(20)), score=4.0)
    watched = judged(data_drift=far, concept_drift=HEALTHY)
    assert watched.decision == "watch"
    light = data_drift(*(finding(f"c{number}", score=5.0, weight=0.05) for number in range(20)), score=0.05)
    harmless = judged(data_drift=light, concept_drift=HEALTHY)
    assert harmless.decision == "none"
    assert "nothing else says that it does harm" in harmless.reasons[0]
    grave = Alert("column_drift", "critical", "c0: 5.0", "c0")
    assert decide_retraining(result(alerts=(grave,), concept_drift=HEALTHY)).decision == "watch"


def test_what_an_earlier_run_saw_counts_for_24_hours() -> None:
    """Whatever this one says of quality; not longer, and not what is later than its window."""
    for seconds, decision in ((0, "recommended"), (86_399, "recommended"), (86_400, "none"), (-1, "none")):
        found = judged(cause(seconds), concept_drift=HEALTHY)
        assert found.decision == decision
        assert (found.recent is not None) == (decision == "recommended")
    told = judged(cause(3600), concept_drift=HEALTHY).reasons
    assert told == ("seen within the last 24 hours, at 11:00:00 UTC on 2026-11-20: accuracy fell by 30 %",)


def test_a_run_that_knows_nothing_still_knows_what_was_seen() -> None:
    """And without it says that it does not know: not "none"."""
    assert decide_retraining(insufficient()).decision == "unknown"
    assert decide_retraining(insufficient(), cause(60)).decision == "recommended"


def test_what_a_recommendation_rests_on_alone_is_not_told_on() -> None:
    """Otherwise one bad window would recommend for ever."""
    assert cause_of(result(concept_drift=HEALTHY)) is None
    told = cause_of(with_alerts(result(concept_drift=dropped("critical", 20.0))))
    assert told is not None
    assert (told.at, told.cause) == (utc_text(NOON), "accuracy fell by 20.0 % of the baseline")


def test_evidence_holds_the_figures_that_are_known() -> None:
    """Quality with its interval and baseline, the drop's lower bound, trend, estimate, heavy columns, labelled rows."""
    columns = [finding(f"c{number}", 0.3 if number < 2 else 0.01, weight=0.05) for number in range(19)]
    heavy = finding("amount", 0.4, weight=0.3)
    run = result(
        concept_drift=dataclasses.replace(
            dropped("critical", 20.1),
            trend=Trend(
                "accuracy", 0.8, 0.7, 0.9, 0.9, -0.1, 0.001, 900, 900, 4, True, "accuracy declined for 4 days in a row"
            ),
        ),
        performance=Performance(
            "ok",
            None,
            1000,
            0.5,
            (Metric("accuracy", 0.775, 0.748, 0.8),),
            (Metric("accuracy", 0.97, 0.965, 0.975),),
        ),
        data_drift=data_drift(heavy, *columns),
        estimated=Estimate("cbpe", None, 3000, (Metric("accuracy", 0.9, 0.88, 0.92),), False, "why", 0.4),
        labels=LabelCounts(utc_text(NOON - 86400), 3000, 1200, 0.4, 1210, 10, 0, 3, 1, None, None, None),
    )
    assert decide_retraining(run).evidence == (
        "accuracy is 0.775 (95 % interval 0.748 to 0.8) on 1,000 labelled rows; the baseline is 0.97 "
        "(95 % interval 0.965 to 0.975)",
        "quality dropped by 20.1 % of the baseline, by at least 16.1 % with 97.5 % confidence; 5 % is tolerated",
        "accuracy declined for 4 days in a row",
        "without labels accuracy is estimated at 0.9 (95 % interval 0.88 to 0.92) from 3,000 rows, not to be trusted",
        "3 of 20 inputs moved, 1 that weigh much in the model: amount (weight 30 %, 8 x allowed)",
        "1,200 of 3,000 predictions since 2026-11-19 12:00:00 UTC have a label to retrain on",
    )


def test_equal_results_have_equal_decisions() -> None:
    """To the byte: nothing depends on a clock."""
    run = with_alerts(result(concept_drift=dropped("critical", 20.1), prediction_drift=PredictionDrift(None, 0.01, ())))
    one, other = (
        encode_result(dataclasses.replace(run, retraining=decide_retraining(run, cause(60)))) for _ in range(2)
    )
    assert one == other


def test_unknown_quality_is_said() -> None:
    """A calm run without labels does not claim that quality is fine."""
    assert "quality is unknown: 0 labelled rows" in judged(concept_drift=UNKNOWN).reasons[0]
