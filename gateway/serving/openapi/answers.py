"""What the gateway answers, as JSON Schema: for one model, and for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.registry import Feature, Metric, ModelCard
from gateway.registry.columns import class_text

JsonSchema = dict[str, Any]

MOMENT = {"type": "string", "format": "date-time"}
UUID = {"type": "string", "format": "uuid"}
#: What every answer to a prediction begins with.
HEAD: dict[str, JsonSchema] = {"request_id": UUID, "timestamp": MOMENT}


def common_schemas() -> Iterator[tuple[str, JsonSchema]]:
    """The schemas that have nothing to do with a certain model, with their names."""
    _, cards = msgspec.json.schema_components((Feature, Metric), ref_template="#/components/schemas/{name}")
    yield from cards.items()
    text: JsonSchema = {"type": "string"}
    number: JsonSchema = {"type": "integer", "minimum": 0}
    failures: JsonSchema = {
        "type": "object",
        "additionalProperties": text,
        "description": "Why a model does not serve in its registered version, by its name.",
    }
    summary: dict[str, JsonSchema] = {
        "name": text,
        "version": text,
        "task": {"enum": ["binary", "multiclass", "regression"]},
        "features": number,
    }
    label: JsonSchema = {"type": ["boolean", "integer", "string"]}
    fault = {
        "pointer": {"type": "string", "description": "A JSON pointer (RFC 6901) into the request's body."},
        "detail": text,
    }
    received = {"model_name": text, "received_at": MOMENT}
    problem = answered(
        {
            "type": text,
            "title": text,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": text,
            "request_id": UUID,
        }
    )
    problem["properties"]["errors"] = {"type": "array", "items": answered(fault)}
    yield "Problem", problem
    yield (
        "Readiness",
        answered(
            {
                "status": {"enum": ["ready", "unready"]},
                "reasons": {"type": "array", "items": text},
                "failures": failures,
            }
        ),
    )
    yield (
        "Models",
        answered(
            {
                "default_model": {"type": ["string", "null"]},
                "models": {"type": "array", "items": answered(summary)},
                "failures": failures,
            }
        ),
    )
    yield (
        "Model",
        answered(
            {
                **summary,
                "features": {"type": "array", "items": ref("Feature")},
                "target": text,
                "classes": {"type": "array", "items": label},
                "positive_class": {"type": [*label["type"], "null"]},
                "scoring": {"type": "object"},
                "baseline": {"type": "array", "items": ref("Metric")},
                "reference_rows": number,
                "created_at": MOMENT,
            }
        ),
    )
    yield "LabelsRecorded", answered({**received, "labels": {"type": "integer", "minimum": 1}})
    recorded = answered({**received, "instance": number})
    recorded["properties"] |= {"request_id": UUID, "client_id": text}
    yield "LabelRecorded", recorded


def of_model(card: ModelCard) -> dict[str, JsonSchema]:
    """Whose answer it is."""
    # No constant: the next request may be answered by the version after this one.
    return {"model_name": {"const": card.name}, "model_version": {"type": "string", "examples": [card.version]}}


def item(card: ModelCard) -> dict[str, JsonSchema]:
    """One prediction of a model."""
    share = {"type": "number", "minimum": 0, "description": "From 0 to 1, but for rounding."}
    probabilities = answered({class_text(label): share for label in card.classes})
    return {
        "prediction": {"enum": list(card.classes)} if card.classes else {"type": "number"},
        "confidence": share if card.has_probabilities else {"type": "null"},
        "probabilities": probabilities if card.has_probabilities else {"type": "null"},
    }


def answered(properties: dict[str, JsonSchema]) -> JsonSchema:
    """An object with all of these properties; later versions of the gateway may add others."""
    return {"type": "object", "required": list(properties), "properties": properties}


def ref(schema: str) -> JsonSchema:
    """A reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{schema}"}
