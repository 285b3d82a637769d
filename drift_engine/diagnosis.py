"""Data drift, prediction drift and concept drift told apart, for the person on call: what is up, and what it means.

Data drift: the inputs are others. Prediction drift: the answers are others. Concept drift: the same inputs mean
something else, so that the model is wrong more often. Only labels show the last; what is to be done depends on it.
"""

from __future__ import annotations

from typing import Literal

#: True, False, or None for "not enough data".
Verdict = bool | None
_Case = Literal["cases", "inputs", "answers", "nothing", "unknown"]

#: What moved, by data drift and prediction drift; and which case of `_MEANS` that is.
_MOVED: dict[tuple[Verdict, Verdict], tuple[_Case, str]] = {
    (True, True): ("cases", "The inputs moved, and the model's answers with them."),
    (True, None): ("cases", "The inputs moved; whether the model's answers did cannot be told from so few."),
    (True, False): ("inputs", "The inputs moved, but the model's answers did not."),
    (False, True): ("answers", "The model's answers moved although no single input did."),
    (None, True): ("answers", "The model's answers moved; whether its inputs did cannot be told from so few."),
    (False, False): ("nothing", "Neither the inputs nor the model's answers moved."),
    (False, None): ("unknown", "The inputs did not move; whether the model's answers did cannot be told from so few."),
    (None, False): ("unknown", "The model's answers did not move; whether its inputs did cannot be told from so few."),
    (None, None): ("unknown", "Whether inputs or answers moved cannot be told from so few rows."),
}
#: What it means, by concept drift and case. {worse} and {kept} are said of the model.
_MEANS: dict[tuple[Verdict, _Case], str] = {
    (
        True,
        "cases",
    ): "Where labels are known it {worse}: it meets cases that it did not learn. Retrain it on newer rows.",
    (True, "inputs"): (
        "Where labels are known it {worse}: it answers as if nothing had happened, and should not. "
        "Retrain it on newer rows."
    ),
    (True, "answers"): (
        "Where labels are known it {worse}: either inputs go together in new ways, or what prepares them has changed. "
        "Rule out the second, then retrain it on newer rows."
    ),
    (True, "nothing"): (
        "Yet where labels are known it {worse}: the same inputs mean something else now, which no check of inputs can "
        "see. Retrain it on newer rows."
    ),
    (True, "unknown"): "Where labels are known it {worse}. Retrain it on newer rows.",
    (
        False,
        "cases",
    ): "Where labels are known it {kept}: the cases are others, and it copes with them. Nothing to retrain.",
    (False, "inputs"): "Where labels are known it {kept}: what moved matters little to it. Nothing to retrain.",
    (False, "answers"): "Where labels are known it {kept}: the mix of cases is another, and it copes with it.",
    (False, "nothing"): "Where labels are known it {kept}. Nothing is to be done.",
    (False, "unknown"): "Where labels are known it {kept}.",
    (
        None,
        "cases",
    ): "Too few labels have come to say whether it is still right: take its answers with care until they do.",
    (None, "inputs"): (
        "Too few labels have come to say whether it is still right. That its answers stay as they were is a good sign "
        "and no proof."
    ),
    (None, "answers"): (
        "Too few labels have come to say whether it is still right. Either inputs go together in new ways, or what "
        "prepares them, or the model, has changed: take its answers with care."
    ),
    (None, "nothing"): (
        "Too few labels have come to say whether it is still right: if the same inputs meant something else now, it "
        "would look just like this."
    ),
    (None, "unknown"): "Too few labels have come to say whether it is still right.",
}
_CLASSIFIER = {"worse": "is wrong more often than it was", "kept": "is as right as it was"}
_REGRESSION = {"worse": "errs by more than it did", "kept": "errs by no more than it did"}


def diagnosis(data: Verdict, answers: Verdict, concept: Verdict, *, regression: bool = False) -> str:
    """Two or three plain sentences for any three verdicts.

    Args:
        data, answers, concept: is there data drift, prediction drift, concept drift; None is never taken for "no".
        regression: the model answers numbers, which are not right or wrong but near or far.

    >>> diagnosis(True, False, False)
    'The inputs moved, but the model\\'s answers did not. Where labels are known it is as right as it was: what moved \
matters little to it. Nothing to retrain.'
    """
    case, moved = _MOVED[data, answers]
    words = _REGRESSION if regression else _CLASSIFIER
    return f"{moved} {_MEANS[concept, case].format(**words)}"
