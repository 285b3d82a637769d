"""What a person reads after registering: the card in words, and a request that works."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from gateway.registry.card import Feature, Metric, ModelCard
from gateway.registry.columns import class_text
from gateway.registry.register import Registration

#: A baseline this good is more often a model shown its own training rows than a perfect one.
_SUSPICIOUS = 0.995
_CATEGORIES_SHOWN = 6


def summary(registration: Registration, address: str) -> str:
    """The registration as lines of text; `address` is the gateway's, such as http://127.0.0.1:8000."""
    card = registration.card
    lines = [
        f"Registered {card.name} {card.version}: {card.estimator}",
        "",
        f"  task       {_task(card)}",
        f"  reference  {card.reference_rows:,} rows, {registration.labeled_rows:,} with a known {card.target!r}",
        f"  scored as  {_scoring(card)}",
        f"  stored as  {_storage(card)}",
        f"  serves     {_serving(registration)}",
    ]
    if registration.ignored_columns:
        ignored = ", ".join(map(_shown, registration.ignored_columns))
        lines.append(f"  ignored    {ignored} (columns the model does not take)")
    lines += [f"  note       {note}" for note in (*registration.notes, *_cautions(card))]
    lines += ["", "Baseline, with 95 % intervals", *_baseline(card), "", "Features", *_features(card), ""]
    lines += ["Ask it, once the gateway runs:", "", _curl(registration, address)]
    return "\n".join(lines)


def _task(card: ModelCard) -> str:
    if card.task == "regression":
        return "regression"
    classes = ", ".join(class_text(label) for label in card.classes)
    if card.positive_class is None:
        return f"{card.task}, classes {classes}"
    return f"{card.task}, classes {classes}; precision, recall and F1 speak of {class_text(card.positive_class)}"


def _scoring(card: ModelCard) -> str:
    if card.input_form == "array":
        return "plain arrays (answers equal those from a table on every reference row)"
    return "DataFrames (the model selects columns by name)"


def _storage(card: ModelCard) -> str:
    if card.artifact.kind == "skops":
        return "skops (loads without running code from the file)"
    return "joblib (loading runs code from the file, which you vouched for)"


def _serving(registration: Registration) -> str:
    if not registration.serves:
        return "no, another version of this model does"
    return "yes, and as the default model" if registration.is_default else "yes"


def _cautions(card: ModelCard) -> Iterator[str]:
    # F1 where there is one: with one fraud in a thousand, an accuracy of 0.999 is nothing special.
    best = card.baseline_metric("f1_score", "positive") or card.baseline_metric("accuracy")
    if best is not None and best.value >= _SUSPICIOUS:
        yield (
            f"{best.name} {best.value:.4g} is rarely that good; if the model was fitted on these rows, "
            "register it with others, or every live window will look like a drop"
        )


def _baseline(card: ModelCard) -> list[str]:
    def row(metric: Metric) -> str:
        name = f"{metric.name} ({metric.average})" if metric.average else metric.name
        bounds = "" if metric.lower is None or metric.upper is None else f"   {metric.lower:.4g} to {metric.upper:.4g}"
        return f"  {name:<22} {metric.value:>10.4g}{bounds}"

    return [row(metric) for metric in card.baseline]


def _features(card: ModelCard) -> list[str]:
    width = max(len(feature.name) for feature in card.features)
    return [f"  {feature.name:<{width}}  {_type(feature):<19}  {_values(feature)}" for feature in card.features]


def _type(feature: Feature) -> str:
    return f"{feature.type}, nullable" if feature.nullable else feature.type


def _values(feature: Feature) -> str:
    if feature.categories is not None:
        shown = ", ".join(map(_shown, feature.categories[:_CATEGORIES_SHOWN]))
        more = len(feature.categories) - _CATEGORIES_SHOWN
        return f"{shown} and {more} more" if more > 0 else shown
    if feature.minimum is None or feature.maximum is None:
        return ""
    return f"{feature.minimum:g} to {feature.maximum:g}"


def _curl(registration: Registration, address: str) -> str:
    path = "/predict" if registration.is_default else f"/models/{registration.card.name}/predict"
    body = json.dumps(registration.example, ensure_ascii=False)
    # JSON escapes the first 32 control characters only; a terminal obeys others, too.
    body = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in body)
    return f"  curl -s {address}{path} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _shown(text: str) -> str:
    """A text of the table as it may be printed: quoted, without control characters, where it holds any."""
    if text.isprintable():
        return text
    return '"' + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text) + '"'
