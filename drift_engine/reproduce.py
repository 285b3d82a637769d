"""Repeat a run from what its result recorded, and say what differs, to the digit.

The bytes that the run read are checked against their hashes first, so that a figure that differs is the
program's or a library's doing and not the data's.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from drift_engine.errors import DriftError
from drift_engine.reading.log_files import located
from drift_engine.reading.sources import Logs
from drift_engine.results.schema import InputFile, Result
from drift_engine.results.store import ResultError, ResultStore, RunPlace, encode_result, read_result
from drift_engine.run import Engine, Known, library_versions
from drift_engine.settings import DriftSettings
from gateway.files import open_regular
from gateway.registry import ModelCard
from gateway.registry.artifact import check_file
from gateway.registry.card import ArtifactMismatch
from gateway.settings import Paths

#: What two runs of the same inputs need not share. A file's place may change: its writer renames what it gives up.
_TIMES = frozenset({"run_id", "started_at", "finished_at", "duration_seconds", "supersedes", "libraries"})
#: Counted while the run was reading: what retention deleted meanwhile. Nobody can count that again.
_PASSING = "expired meanwhile"
_BLOCK_BYTES = 1 << 20


class UnknownRun(DriftError):
    """There is no such run, or it cannot be read."""


class InputsGone(DriftError):
    """Something that the run read is not there any more."""


class InputsChanged(DriftError):
    """Something that the run read is not what it was."""


class NotRepeatable(DriftError):
    """The result does not say enough to repeat the run."""


@dataclass(frozen=True)
class Difference:
    """A figure of the result: where it stands, as recorded and as it is now."""

    place: str
    recorded: Any
    repeated: Any


@dataclass(frozen=True)
class Reproduction:
    """A run repeated.

    Attributes:
        figures: how many values were compared.
        differences: those that differ.
        libraries: versions that differ, as (name, recorded, now).
        notes: what could not be compared, and why.
    """

    recorded: Result
    figures: int
    differences: tuple[Difference, ...]
    libraries: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]


def find_run(store: ResultStore, run_id: str) -> RunPlace:
    """Where a run is, whichever model it is of. Raises UnknownRun."""
    places = [place for place in store.runs() if place.run_id == run_id]
    if not places:
        raise UnknownRun(f"no run {run_id!r} in {store.reports}")
    return places[0]


def reproduce(paths: Paths, run_id: str) -> Reproduction:
    """Check the recorded inputs, repeat the run, and compare.

    Raises:
        UnknownRun: no such run, or its result is damaged.
        NotRepeatable: a failed run, or one of settings that this program does not have.
        InputsGone: an input has expired, or the reference is gone.
        InputsChanged: an input or the reference is not what was read.
        RegistryError: the model is gone.
    """
    place = find_run(ResultStore(paths.reports), run_id)
    path = place.folder / "result.json"
    try:
        recorded, raw = read_result(path), msgspec.json.decode(path.read_bytes())
    except (ResultError, OSError) as error:
        raise UnknownRun(str(error)) from None
    if recorded.outcome == "failed":
        raise NotRepeatable(f"the run failed ({recorded.reason}); there is nothing to repeat")
    settings, notes = _settings(recorded)
    raw["config"] = _with_days(recorded)
    engine = Engine(paths, settings)
    card = engine.registry.card(recorded.model_name, recorded.model_version)
    reference_inputs = recorded.reference.inputs if recorded.reference else ()
    check_inputs(engine, card, recorded, (*recorded.inputs, *reference_inputs))
    source = Logs(paths, recorded.inputs, reference_inputs)
    known = Known(recorded.concept_drift.trend, recorded.retraining.recent)
    if known.trend is not None:
        notes.append("the trend over days is taken as recorded: days are scored again, and not kept as they were")
    repeated = msgspec.json.decode(encode_result(engine.repeat(card, recorded.window, source, known)))
    _drop_passing(raw, repeated, notes)
    notes += [
        f"{name} was not recorded by the version that made the run" for name in sorted(repeated.keys() - raw.keys())
    ]
    figures = list(_leaves(raw, repeated, ""))
    return Reproduction(
        recorded=recorded,
        figures=len(figures),
        differences=tuple(item for item in figures if not _same(item.recorded, item.repeated)),
        libraries=_libraries(recorded.libraries),
        notes=tuple(notes),
    )


def check_inputs(engine: Engine, card: ModelCard, recorded: Result, inputs: tuple[InputFile, ...]) -> None:
    """Check every file against the hash of what was read. Raises InputsGone, InputsChanged; all files in one text."""
    gone, changed = [], []
    reference = engine.registry.reference_path(card.name, card.version)
    if not reference.exists():
        gone.append(f"the reference {reference}")
    else:
        try:
            check_file(reference, dataclasses.replace(card.reference, sha256=recorded.reference_sha256))
        except ArtifactMismatch as error:
            changed.append(str(error))
    for file in inputs:
        if not file.segment:
            continue  # it could not be read then either
        path = located(engine.paths.live, file)
        if path is None:
            gone.append(file.path)
        elif _prefix_sha256(path, file.bytes_read) != file.sha256:
            changed.append(f"{file.path} (its first {file.bytes_read:,} bytes)")
    # What was changed outweighs what expired: nobody is entitled to change a log.
    if changed:
        raise InputsChanged("not what the run read: " + "; ".join(changed))
    if gone:
        raise InputsGone("gone since the run, expired or removed: " + "; ".join(gone))


def _prefix_sha256(path: Path, size: int) -> str:
    found = hashlib.sha256()
    with open(open_regular(path), "rb") as stream:
        while size > 0 and (block := stream.read(min(size, _BLOCK_BYTES))):
            found.update(block)
            size -= len(block)
    return found.hexdigest()


def _settings(recorded: Result) -> tuple[DriftSettings, list[str]]:
    """The recorded settings; those that the run's version did not have yet are at their defaults, and named."""
    known = {spec.name for spec in dataclasses.fields(DriftSettings)}
    config = _with_days(recorded)
    if unknown := sorted(config.keys() - known):
        raise NotRepeatable(f"the run had settings that this version does not know: {', '.join(unknown)}")
    try:
        settings = msgspec.convert(config, DriftSettings)
    except msgspec.ValidationError as error:
        raise NotRepeatable(f"the run's settings cannot be used: {error}") from None
    added = sorted(known - config.keys())
    notes = [f"settings that the run's version did not have are at their defaults: {', '.join(added)}"] if added else []
    return settings, notes


def _with_days(recorded: Result) -> dict[str, Any]:
    """The settings; of a run that knew `performance_hours`, its default as what says the same now.

    A scheduled run measured quality on the 24 hours that it reads anyway, an ad hoc one on its window.
    """
    config = dict(recorded.config)
    if config.get("performance_hours") == 24.0:
        del config["performance_hours"]
        config["performance_days"] = 1.0 if recorded.window.kind == "scheduled" else 0.0
    return config


def _drop_passing(raw: dict[str, Any], repeated: dict[str, Any], notes: list[str]) -> None:
    count = raw["rows"]["dropped"].pop(_PASSING, 0)
    repeated["rows"]["dropped"].pop(_PASSING, 0)
    if count:
        notes.append(f"{count} rows expired while the run was reading; they cannot be counted again")


def _leaves(recorded: Any, repeated: Any, place: str) -> Iterator[Difference]:
    """Every recorded value beside the repeated one."""
    if isinstance(recorded, dict) and isinstance(repeated, dict):
        for name in recorded:
            if not _is_passing(place, name):
                here = f"{place}.{name}" if place else name
                yield from _leaves(recorded[name], repeated.get(name, "(absent)"), here)
        # Rows dropped for another reason are a difference; a field that the format has gained since is none.
        if place == "rows.dropped":
            for name in sorted(repeated.keys() - recorded.keys()):
                yield Difference(f"{place}.{name}", "(absent)", repeated[name])
    elif isinstance(recorded, list) and isinstance(repeated, list):
        yield Difference(f"{place}, length", len(recorded), len(repeated))
        for index, (before, now) in enumerate(zip(recorded, repeated, strict=False)):
            yield from _leaves(before, now, f"{place}[{_label(before, index)}]")
    else:
        yield Difference(place, recorded, repeated)


def _is_passing(place: str, name: str) -> bool:
    return (not place and name in _TIMES) or (name == "path" and "inputs[" in place)


def _label(item: Any, index: int) -> str:
    """A column or check by its name, which says more than its position."""
    if isinstance(item, Mapping):
        return str(item.get("column") or item.get("name") or index)
    return str(index)


def _same(recorded: Any, repeated: Any) -> bool:
    # 1 and 1.0 and True are equal in Python; in a result they are not the same text.
    return type(recorded) is type(repeated) and bool(recorded == repeated)


def _libraries(recorded: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    now = library_versions()
    names = sorted(recorded.keys() | now.keys())
    pairs = [(name, recorded.get(name, "none"), now.get(name, "none")) for name in names]
    return tuple((name, before, after) for name, before, after in pairs if before != after)
