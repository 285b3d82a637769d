"""`serving.json`, the serving pointer: which versions answer, which one shadows, and what served before.

A value of `Serving` is never changed; its methods give the next one, so that a change is one replacement of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, TypeVar

import msgspec

from gateway.registry.card import CorruptCard

FORMAT_VERSION = 2
#: How many versions back a rollback can go.
EARLIER_KEPT = 20

T = TypeVar("T")


@dataclass(frozen=True)
class Split:
    """A second version that answers `share` of a model's requests, 0 < share < 1."""

    version: str
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)]


@dataclass(frozen=True)
class Serving:
    """What serves.

    Attributes:
        default_model: answers /predict; None while nothing serves.
        versions: a model's name to its serving version.
        splits: by name, a second version that answers a part of the requests.
        shadows: by name, a version that scores the same requests and answers none.
        earlier: by name, the versions that served before the serving one, the newest last.
        format_version: of the file it was read from; it is always written as `FORMAT_VERSION`.
    """

    default_model: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    shadows: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, tuple[str, ...]] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def promoted(self, name: str, version: str) -> Serving:
        """`version` serves; the first model that serves is the default one."""
        current = self.versions.get(name)
        earlier = self.earlier.get(name, ())
        if current is not None and current != version:
            earlier = (*earlier, current)[-EARLIER_KEPT:]
        return self._served_by(name, version, earlier)

    def rolled_back(self, name: str) -> Serving:
        """The version that served before serves again. Raises KeyError when there is none."""
        earlier = self.earlier.get(name, ())
        if not earlier:
            raise KeyError(name)
        return self._served_by(name, earlier[-1], earlier[:-1])

    def with_split(self, name: str, split: Split | None) -> Serving:
        """`split` takes its share of the requests for `name`; None ends a split."""
        return replace(self, splits=_with(self.splits, name, split))

    def with_shadow(self, name: str, version: str | None) -> Serving:
        """`version` shadows `name`; None ends shadowing."""
        return replace(self, shadows=_with(self.shadows, name, version))

    def role(self, name: str, version: str) -> str:
        """What a version does, in words; "no" for nothing."""
        split = self.splits.get(name)
        roles = (
            ("yes (default)" if name == self.default_model else "yes", self.versions.get(name) == version),
            (f"{split.share:.3g} of requests" if split else "", split is not None and split.version == version),
            ("shadow", self.shadows.get(name) == version),
        )
        return ", ".join(role for role, has_it in roles if has_it) or "no"

    def _served_by(self, name: str, version: str, earlier: tuple[str, ...]) -> Serving:
        """The same with another serving version. One that serves all requests needs no part of them, nor their copy."""
        split, shadow = self.splits.get(name), self.shadows.get(name)
        return replace(
            self,
            default_model=self.default_model or name,
            versions={**self.versions, name: version},
            splits=_with(self.splits, name, None if split and split.version == version else split),
            shadows=_with(self.shadows, name, None if shadow == version else shadow),
            earlier=_with(self.earlier, name, earlier or None),
        )


def encode(serving: Serving) -> bytes:
    """The bytes of `serving.json`, indented for people."""
    return msgspec.json.format(msgspec.json.encode(replace(serving, format_version=FORMAT_VERSION)), indent=2) + b"\n"


def decode(data: bytes, origin: str) -> Serving:
    """Read `serving.json` of this format version or an earlier one; `origin` is named in errors.

    Raises:
        CorruptCard: not a pointer, or one of a newer format version.
    """
    try:
        # First alone: whatever else a newer version holds, that it is newer is what to say.
        version = msgspec.json.decode(data, type=_Envelope).format_version
        if version > FORMAT_VERSION:
            raise CorruptCard(f"{origin}: format version {version} is newer than this program's {FORMAT_VERSION}")
        return msgspec.json.decode(data, type=Serving)
    except msgspec.MsgspecError as error:
        raise CorruptCard(f"{origin}: {error}") from None


@dataclass(frozen=True)
class _Envelope:
    format_version: int = 1


def _with(entries: Mapping[str, T], name: str, entry: T | None) -> dict[str, T]:
    """`entries` with another entry for `name`; without one for None."""
    others = {key: value for key, value in entries.items() if key != name}
    return others if entry is None else {**others, name: entry}
