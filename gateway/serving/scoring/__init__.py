"""What scores a model's rows: scikit-learn itself, or a compiled form that was proven to answer the same bits.

`ensembles` takes a fitted tree ensemble apart, `compiled` finds its leaves with treelite and adds them up as
scikit-learn does, `proof` compares the two. Whatever cannot be compiled or is not equal is left to scikit-learn.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from gateway.serving.scoring.compiled import CompiledEnsemble, CompiledPipeline, engine_name
from gateway.serving.scoring.ensembles import NotCompiled
from gateway.serving.scoring.proof import require_equal, require_same_answers

log = logging.getLogger("gateway.models")

SCIKIT_LEARN = "scikit-learn"

__all__ = ["SCIKIT_LEARN", "Scorer", "scorer_of"]


@dataclass(frozen=True)
class Scorer:
    """What answers rows.

    Attributes:
        estimator: has `predict`, and `predict_proba` where the model has it; safe for several threads at once.
        engine: "scikit-learn", or the compiled form's library with its version, such as "treelite 4.8.1".
        why_not_compiled: a sentence; None when the compiled form serves.
    """

    estimator: Any
    engine: str = SCIKIT_LEARN
    why_not_compiled: str | None = None


def scorer_of(estimator: Any, inputs: Any) -> Scorer:
    """The compiled form of a fitted estimator where there is one that is equal, else the estimator itself.

    Args:
        inputs: rows that the estimator is known to answer, as it takes them: an array, or a DataFrame.
    """
    try:
        return Scorer(_compiled(estimator, inputs), engine_name())
    except NotCompiled as reason:
        return Scorer(estimator, why_not_compiled=str(reason))
    except Exception as error:
        # It reads what two libraries keep inside, and either may raise anything.
        log.warning("compiling a %s failed", type(estimator).__name__, exc_info=error)
        return Scorer(estimator, why_not_compiled=f"compiling failed with {type(error).__name__}: {error}")


def _compiled(estimator: Any, inputs: Any) -> CompiledEnsemble | CompiledPipeline:
    from sklearn.pipeline import Pipeline

    if type(estimator) is not Pipeline:
        ensemble = CompiledEnsemble(estimator)
        require_equal(ensemble, inputs)
        return ensemble
    # What comes before the ensemble stays scikit-learn's; the ensemble is proven on what reaches it.
    steps = [step for _, step in estimator.steps[:-1] if step is not None and step != "passthrough"]
    transformed = inputs
    for step in steps:
        transformed = step.transform(transformed)
    pipeline = CompiledPipeline(steps, _compiled(estimator.steps[-1][1], transformed))
    require_same_answers(pipeline, estimator, inputs)
    return pipeline
