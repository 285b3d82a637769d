"""Changes of what serves: each one is a line in the audit file and then one atomic replacement of the pointer.

The line comes first: a crash between the two leaves a line about a change that did not happen, which the next line's
`from` shows, and never a change without a line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.clock import utc_text
from gateway.registry.card import ModelCard, RegistryError, UnknownModel
from gateway.registry.compatibility import narrower, refuse_unlike
from gateway.registry.pointer import Serving, Split
from gateway.registry.store import Registry

#: Raises RegistryError unless a version (name, version) loads and answers as it did when it was registered.
Check = Callable[[str, str], None]


@dataclass(frozen=True)
class Change:
    """What a change did. `notes`: what whoever made it may want to know; `before` is `after` when nothing changed."""

    before: Serving
    after: Serving
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """The changes that a person makes to a registry.

    All of them raise RegistryError, and then nothing was changed. What was so already is no change and no error.

    Attributes:
        check: asked before a version comes to serve, split or shadow.
        clock: seconds since the epoch, for the audit file.
        why: the reason that is recorded, if any.
    """

    registry: Registry
    check: Check
    clock: Callable[[], float]
    why: str = ""

    def promote(self, name: str, version: str) -> Change:
        """Let `version` serve."""
        self.check(name, version)
        return self._change("promote", name, version, lambda serving: serving.promoted(name, version))

    def rollback(self, name: str) -> Change:
        """Let the version serve that served before; again, the one before that."""
        version = self._earlier(self.registry.serving(), name)
        self.check(name, version)

        def edit(serving: Serving) -> Serving:
            if self._earlier(serving, name) != version:
                raise RegistryError(f"what served before in {name} has just changed; look at it and try again")
            return serving.rolled_back(name)

        return self._change("rollback", name, version, edit)

    def make_default(self, name: str) -> Change:
        """Let /predict ask this model."""

        def edit(serving: Serving) -> Serving:
            return replace(serving, default_model=name)

        return self._change("default", name, self._serving_version(self.registry.serving(), name), edit)

    def split(self, name: str, version: str, share: float) -> Change:
        """Let `version` answer a share of the requests, 0 < share < 1."""
        if not 0 < share < 1:
            raise RegistryError(f"share {share:g}: must be between 0 and 1; to give a version all requests, promote it")
        self.check(name, version)
        return self._change("split", name, version, lambda serving: serving.with_split(name, Split(version, share)))

    def end_split(self, name: str) -> Change:
        """Let the serving version answer all requests again."""
        return self._change("split", name, "", lambda serving: serving.with_split(name, None))

    def shadow(self, name: str, version: str) -> Change:
        """Let `version` score the requests, too, and answer none."""
        self.check(name, version)
        return self._change("shadow", name, version, lambda serving: serving.with_shadow(name, version))

    def end_shadow(self, name: str) -> Change:
        """Let no version shadow."""
        return self._change("shadow", name, "", lambda serving: serving.with_shadow(name, None))

    def _change(self, action: str, name: str, version: str, edit: Callable[[Serving], Serving]) -> Change:
        """`version`: the one that is changed to; "" for none."""
        registry = self.registry
        try:
            with registry.changing():
                before = registry.serving()
                after = edit(before)
                self._serving_version(after, name)
                if after == before:
                    return Change(before, before)
                notes = self._judge(name, before, after)
                what = {"from": _state(before, action, name), "to": _state(after, action, name)}
                self._audit(action, name, version, {**what, **({"why": self.why} if self.why else {})})
                try:
                    registry.set_serving(after)
                except OSError:
                    with contextlib.suppress(OSError):
                        self._audit(f"{action} failed", name, version, {})
                    raise
        except OSError as error:
            raise RegistryError(f"{registry.models} cannot be written, nothing was changed: {error}") from error
        return Change(before, after, notes)

    def _audit(self, action: str, name: str, version: str, details: dict[str, str]) -> None:
        self.registry.audit(utc_text(self.clock()), action, name, version, **details)

    def _judge(self, name: str, before: Serving, after: Serving) -> tuple[str, ...]:
        """Refuse versions that cannot share requests; tell what a new one would refuse that was taken until now."""
        serving_version = self._serving_version(after, name)
        serving = self.registry.card(name, serving_version)
        split, shadow = after.splits.get(name), after.shadows.get(name)
        if split is not None and split.version == serving_version:
            raise RegistryError(f"{name} {serving_version} serves already; split with another version")
        if shadow == serving_version:
            raise RegistryError(f"{name} {serving_version} serves already; shadow with another version")
        for other in filter(None, (split.version if split else None, shadow)):
            refuse_unlike(serving, self.registry.card(name, other))
        newcomers = [version for version in _answering(after, name) if version not in _answering(before, name)]
        former = self._card_or_none(name, before.versions.get(name))
        if former is None:
            return ()
        return tuple(note for version in newcomers for note in narrower(former, self.registry.card(name, version)))

    def _card_or_none(self, name: str, version: str | None) -> ModelCard | None:
        """What served may be gone: that must not keep another version from serving."""
        if version is None:
            return None
        with contextlib.suppress(RegistryError, OSError):
            return self.registry.card(name, version)
        return None

    @staticmethod
    def _serving_version(serving: Serving, name: str) -> str:
        version = serving.versions.get(name)
        if version is None:
            known = ", ".join(sorted(serving.versions)) or "none"
            raise UnknownModel(f"no model named {name!r} serves; serving: {known}")
        return version

    def _earlier(self, serving: Serving, name: str) -> str:
        self._serving_version(serving, name)
        earlier = serving.earlier.get(name)
        if not earlier:
            raise RegistryError(f"no version of {name} served before {serving.versions[name]}; promote one instead")
        return earlier[-1]


def _answering(serving: Serving, name: str) -> list[str]:
    """The versions of a model that answer requests."""
    split = serving.splits.get(name)
    return [version for version in (serving.versions.get(name), split.version if split else None) if version]


def _state(serving: Serving, action: str, name: str) -> str:
    """What an action changes, as the audit file says it; "" for nothing."""
    if action == "default":
        return serving.default_model or ""
    if action == "shadow":
        return serving.shadows.get(name, "")
    if action == "split":
        split = serving.splits.get(name)
        return f"{split.version} {split.share:g}" if split else ""
    return serving.versions.get(name, "")
