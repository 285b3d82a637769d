"""Which texts a model's encoders were fitted on, and in which columns of the table, as far as the model tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.registry.card import RegistryError
from gateway.registry.model_file import levels_of, parts_of
from gateway.registry.table import MISSING_WORDS, Column, words_read_as_missing

_REMEDY = "register with a Parquet table that holds texts"


@dataclass(frozen=True)
class FittedTexts:
    """The texts that a model knows.

    Attributes:
        by_column: levels of the encoders that are given a column as the table holds it; text levels only.
        elsewhere: levels of all other encoders: of arrays without names, or behind a step that changes values.
    """

    by_column: dict[str, frozenset[str]] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()

    @property
    def kept(self) -> dict[str, frozenset[str]]:
        """By column, words such as "NA" that a CSV would lose, and that are texts to this model."""
        kept = {name: levels & MISSING_WORDS for name, levels in self.by_column.items()}
        return {name: words for name, words in kept.items() if words}


def fitted_texts(model: Any, target: str) -> FittedTexts:
    """Find the texts that `model` was fitted on; a classifier's own classes are those of the column `target`."""
    upstream = _upstream(model)
    by_column: dict[str, frozenset[str]] = {target: _texts(getattr(model, "classes_", ()))}
    elsewhere: frozenset[str] = frozenset()
    for part in parts_of(model):
        levels = [_texts(column) for column in levels_of(part)]
        before = upstream.get(id(part), _Upstream())
        columns = before.names or _own_names(part)
        if before.changes or columns is None or len(columns) != len(levels):
            elsewhere = elsewhere.union(*levels)
            continue
        for name, texts in zip(columns, levels, strict=True):
            # What an imputer writes for missing values says nothing about the texts of the table.
            by_column[name] = by_column.get(name, frozenset()) | (texts - before.fillers)
    return FittedTexts({name: texts for name, texts in by_column.items() if texts}, elsewhere)


def refuse_lost_texts(path: Path, texts: FittedTexts, inputs: Sequence[Column]) -> None:
    """Refuse a table that was read otherwise than the one that the model was fitted on.

    Raises:
        RegistryError: numbers or booleans where the model knows texts; or a word that was taken for a missing
            value in a column where the model may know it as a text.
    """
    for column in inputs:
        if column.name in texts.by_column and column.type not in (None, "category") and not column.missing.all():
            raise RegistryError(
                f"the model was fitted on texts in column {column.name!r}, but the table's values are read as "
                f"{column.kind}; {_REMEDY}"
            )
    doubtful = [c.name for c in inputs if c.type == "category" and c.nullable and c.name not in texts.by_column]
    for name, word in words_read_as_missing(path, doubtful, texts.elsewhere & MISSING_WORDS).items():
        raise RegistryError(
            f"the column {name!r} holds {word!r}, which is read from a CSV as a missing value, while the model knows "
            f"{word!r} as a text; {_REMEDY}"
        )


def text_hint(texts: FittedTexts, inputs: Sequence[Column]) -> str:
    """What to try when the model cannot score the table and some column may have held texts; else nothing."""
    others = [repr(column.name) for column in inputs if column.type != "category"]
    if not texts.elsewhere or not others:
        return ""
    where = ", ".join(others[:10]) + (f" or {len(others) - 10} more" if len(others) > 10 else "")
    return f"; if the model was fitted on texts in column {where}, {_REMEDY}"


@dataclass(frozen=True)
class _Upstream:
    """What lies before an estimator in its pipelines.

    `changes`: a step that may change values or their order; `fillers`: texts that imputers write for missing values;
    `names`: of the columns, where only imputers lie before it.
    """

    changes: bool = False
    fillers: frozenset[str] = frozenset()
    names: tuple[str, ...] | None = None


def _upstream(model: Any) -> dict[int, _Upstream]:
    """By the id of every estimator that has steps before it, in whatever pipeline inside the model."""
    from sklearn.pipeline import Pipeline

    found: dict[int, _Upstream] = {}
    for pipeline in parts_of(model):
        if not isinstance(pipeline, Pipeline):
            continue
        for step, here in _along(pipeline):
            for part in parts_of(step):
                known = found.get(id(part), _Upstream())
                names = here.names if part is step else None
                found[id(part)] = _Upstream(
                    known.changes or here.changes, known.fillers | here.fillers, names or known.names
                )
    return found


def _along(pipeline: Any) -> Iterator[tuple[Any, _Upstream]]:
    """The pipeline's steps, each with what lies before it in this pipeline."""
    from sklearn.impute import SimpleImputer

    steps = [step for _, step in pipeline.steps if step is not None and not isinstance(step, str)]
    here = _Upstream(names=_own_names(steps[0]) if steps else None)
    for step in steps:
        yield step, here
        if not isinstance(step, SimpleImputer):
            here = _Upstream(True, here.fillers)
            continue
        filler = step.fill_value if step.strategy == "constant" else None
        here = _Upstream(
            here.changes,
            here.fillers | ({filler} if isinstance(filler, str) else frozenset()),
            None if here.names is None else tuple(map(str, step.get_feature_names_out(here.names))),
        )


def _own_names(part: Any) -> tuple[str, ...] | None:
    names = getattr(part, "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))


def _texts(values: Iterable[Any]) -> frozenset[str]:
    return frozenset(str(value) for value in values if isinstance(value, str))
