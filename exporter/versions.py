"""The registered versions of a model: what each does now, and where a candidate's model report is."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.links import Links
from exporter.sources import Sources
from gateway.registry import Metric, Serving


@dataclass(frozen=True)
class Version:
    """One registered version. `role` is what it does now: "serving", "split", "shadow", or "" for none of these.

    `model_report` and `replay` are addresses, None where there is no such page.
    """

    version: str
    role: str
    share: float | None
    created_at: str
    estimator: str
    baseline: tuple[Metric, ...]
    model_report: str | None
    replay: str | None


def versions_of(name: str, sources: Sources, links: Links) -> list[Version]:
    """Oldest first. Those whose card cannot be read are left out (and counted)."""
    serving = sources.serving()
    return [
        Version(
            version=card.version,
            role=_role(serving, name, card.version),
            share=_share(serving, name, card.version),
            created_at=card.created_at,
            estimator=card.estimator,
            baseline=card.baseline,
            model_report=links.model_report(card),
            replay=links.newest_replay(name, card.version),
        )
        for card in sources.cards(name)
    ]


def _role(serving: Serving, name: str, version: str) -> str:
    if serving.versions.get(name) == version:
        return "serving"
    split = serving.splits.get(name)
    if split is not None and split.version == version:
        return "split"
    return "shadow" if serving.shadows.get(name) == version else ""


def _share(serving: Serving, name: str, version: str) -> float | None:
    """The share of the requests that a version of a split answers; None without a split."""
    split = serving.splits.get(name)
    if split is None:
        return None
    return {split.version: split.share, serving.versions.get(name, ""): 1 - split.share}.get(version)
