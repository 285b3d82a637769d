"""Which model, version and days a request is about."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from exporter import review as low_confidence
from exporter.parameters import DAYS_MAX, Parameters, Span
from exporter.problems import Refused
from exporter.sources import ModelState, Sources

#: How far back reviews are kept, and how far back is looked unless told.
REVIEW_DAYS_MAX = 90
REVIEW_DAYS_DEFAULT = 7
THRESHOLD_DEFAULT = 0.7


@dataclass(frozen=True)
class ReviewAsked:
    """Which answers of little confidence somebody wants to look at."""

    model: str | None
    version: str | None
    span: Span
    wanted: low_confidence.Wanted

    def find(self, sources: Sources) -> tuple[ModelState, low_confidence.Found]:
        """The model, and its rows. Raises Refused (404): no such model."""
        model = one_model(sources, self.model, self.version)
        kept = (sources.review(model.model_name, model.model_version, day) for day in self.span.each())
        return model, low_confidence.select((found for found in kept if found is not None), self.wanted)


def review(parameters: Parameters, now: float) -> ReviewAsked:
    """What the query of a review asks for; `parameters` collects its faults."""
    return ReviewAsked(
        model=parameters.text("model"),
        version=parameters.text("version"),
        span=Span.until_today(parameters.whole("days", REVIEW_DAYS_DEFAULT, 1, REVIEW_DAYS_MAX), now),
        wanted=low_confidence.Wanted(
            threshold=parameters.number("threshold", THRESHOLD_DEFAULT, 0, 1),
            answer=parameters.text("class"),
            sort=parameters.choice("sort", low_confidence.SORTS[0], low_confidence.SORTS),
            limit=parameters.whole("limit", low_confidence.LIMIT_DEFAULT, 1, low_confidence.LIMIT_MAX),
        ),
    )


def models(sources: Sources, name: str | None, version: str | None) -> list[ModelState]:
    """Every version that is known, or those that are asked for. Raises Refused (404): there is none."""
    found = [
        model
        for model in sources.models()
        if name in (None, model.model_name) and version in (None, model.model_version)
    ]
    if not found and (name, version) != (None, None):
        raise _unknown(sources, name, version)
    return found


def one_model(sources: Sources, name: str | None, version: str | None) -> ModelState:
    """The one that is asked for; by default the default model, and of a model the version that serves.

    Of a model that no version serves of it is the newest version by result. Raises Refused (404).
    """
    known = sources.models()
    if name is None:
        default = sources.serving().default_model
        names = {model.model_name for model in known}
        name = default if default in names or len(names) != 1 else names.pop()
    found = [model for model in known if model.model_name == name and version in (None, model.model_version)]
    if not found:
        registered = [card for card in sources.cards(name or "") if version in (None, card.version)]
        if not registered:
            raise _unknown(sources, name, version)
        card = registered[-1]
        return ModelState(card.name, card.version, False, card, None)
    return max(found, key=lambda model: (model.serving, model.answer.result.run_id if model.answer else ""))


def days(parameters: Parameters, default: int, now: float) -> Span:
    """The span that `days` asks for."""
    return Span.until_today(parameters.whole("days", default, 1, DAYS_MAX), now)


def _unknown(sources: Sources, name: str | None, version: str | None) -> Refused:
    known = ", ".join(f"{model.model_name} {model.model_version}" for model in sources.models()) or "none"
    wanted = " ".join(part for part in (name, version) if part)
    missing = f"no model called {wanted!r}" if wanted else "no model is the default one: say which"
    return Refused(HTTPStatus.NOT_FOUND, f"{missing}; known: {known}")
