"""Whether two versions of a model take the same requests."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.registry.card import Feature, ModelCard, RegistryError
from gateway.registry.columns import class_text

_SHOWN_MAX = 3


def refuse_unlike(serving: ModelCard, other: ModelCard) -> None:
    """Raise RegistryError unless `other` can score the requests that `serving` gets, in the same terms.

    A request says nothing of versions: the same features, in the same order, must mean the same to both. What a version
    accepts beyond that (levels, missing values) may differ; see `narrower`.
    """
    if [(item.name, item.type) for item in serving.features] != [(item.name, item.type) for item in other.features]:
        what = f"other features than {serving.version}: {_difference(serving, other)}"
    elif serving.task != other.task:
        what = f"another task than {serving.version}: {other.task} instead of {serving.task}"
    elif set(map(class_text, serving.classes)) != set(map(class_text, other.classes)):
        what = f"other classes than {serving.version}"
    else:
        return
    raise RegistryError(f"{other.name} {other.version} has {what}; the two cannot share requests")


def narrower(old: ModelCard, new: ModelCard) -> list[str]:
    """What `old` takes and `new` refuses, a sentence per kind: for whoever is about to replace the one by the other."""
    known = {feature.name: feature for feature in new.features}
    common = [(feature, known[feature.name]) for feature in old.features if feature.name in known]
    kinds = {
        "requests without": [item.name for item in new.features if item.name not in old.feature_names],
        "requests with": [item.name for item in old.features if item.name not in known],
        "the former type of": [before.name for before, after in common if before.type != after.type],
        "missing values of": [before.name for before, after in common if before.nullable and not after.nullable],
        "unseen values of": [a.name for b, a in common if b.accepts_unseen and not a.accepts_unseen],
        "levels of": [f"{after.name} ({_listed(lost)})" for before, after in common if (lost := _lost(before, after))],
    }
    return [f"{new.name} {new.version} refuses {kind} {_listed(names)}" for kind, names in kinds.items() if names]


def _lost(before: Feature, after: Feature) -> list[str]:
    """Levels that are unknown now."""
    if before.categories is None or after.categories is None or after.accepts_unseen:
        return []
    return [repr(level) for level in before.categories if level not in after.categories]


def _difference(serving: ModelCard, other: ModelCard) -> str:
    return "; ".join(_differences(serving, other)) or "in another order"


def _differences(serving: ModelCard, other: ModelCard) -> Iterator[str]:
    types = {feature.name: feature.type for feature in other.features}
    missing = [feature.name for feature in serving.features if feature.name not in types]
    added = [name for name in types if name not in serving.feature_names]
    if missing:
        yield f"without {_listed(missing)}"
    if added:
        yield f"with {_listed(added)}"
    changed = [item.name for item in serving.features if types.get(item.name, item.type) != item.type]
    if changed:
        yield f"another type of {_listed(changed)}"


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN_MAX
    return ", ".join(names[:_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
