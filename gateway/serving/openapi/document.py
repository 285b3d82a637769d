"""The OpenAPI 3.1 document of what serves at one moment.

What may be sent comes from the marshmallow schemas that validate it (apispec reads them), limits from the settings,
refusals from the table of kinds, the shape of a model's features from its card: nothing is written down twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from gateway.serving import problems
from gateway.serving.models import ServedModel, Serving
from gateway.serving.openapi.answers import HEAD, JsonSchema, answered, common_schemas, item, of_model, ref
from gateway.serving.problems import Kind
from gateway.serving.validation import BATCH_KEY, CLIENT_ID_LENGTH_MAX, INTEGER_MAX
from gateway.settings import GatewaySettings

#: Of the interface, not of the program: it changes when a client must.
API_VERSION = "1"

_JSON = "application/json"
_PROBLEM_JSON = "application/problem+json"
#: What any request may meet, whatever it asks for.
_OF_ALL = (
    problems.MALFORMED,
    problems.UNAUTHORIZED,
    problems.NOT_FOUND,
    problems.METHOD_NOT_ALLOWED,
    problems.TIMED_OUT,
    problems.TOO_LARGE,
    problems.URI_TOO_LONG,
    problems.TOO_MANY_REQUESTS,
    problems.HEAD_TOO_LARGE,
    problems.INTERNAL,
    problems.BUSY,
)
#: What a request for a model may meet, and what one with a body for it.
_OF_MODELS = (*_OF_ALL, problems.UNKNOWN_MODEL, problems.NOT_READY)
_OF_BODIES = (
    *_OF_MODELS,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.INVALID,
    problems.MODEL_FAILED,
    problems.NOT_RECORDED,
)

_ABOUT = f"""Predictions of scikit-learn models, each of them on record before it is answered.

Numbers are exact: an integer beyond ±{INTEGER_MAX} (2^53) is refused, because a double cannot hold it; write such a
magnitude with an exponent or a fraction (`1e20`). A key that stands twice in an object, NaN and Infinity are refused.
Every refusal is a problem document (RFC 9457) that lists all that is wrong, each under its JSON pointer.

A request that is tried out in /docs is recorded like any other.
"""
#: A label names its prediction by exactly one of its two ids.
_ONE_ID = {"oneOf": [{"required": ["label", key]} for key in ("request_id", "client_id")]}
_X_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "schema": {"type": "string"},
    "description": (
        f"Your own id for the request: 1 to {CLIENT_ID_LENGTH_MAX} printable ASCII characters. It is recorded as "
        "`client_id`, under which labels may be sent later; anything else is ignored."
    ),
}


def document(serving: Serving, settings: GatewaySettings) -> dict[str, Any]:
    """The document of these models, as JSON values."""
    marshmallow = MarshmallowPlugin()
    spec = APISpec(
        "SentinelML gateway", API_VERSION, "3.1.0", info={"description": _ABOUT}, plugins=[marshmallow], tags=_TAGS
    )
    for name, schema in common_schemas():
        spec.components.schema(name, schema)
    for status in sorted({kind.status for kind in _OF_BODIES}):
        spec.components.response(f"Refused{status}", _refused(status, _OF_BODIES))
    if settings.tokens_file is not None:
        spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
        spec.components.security_scheme("password", {"type": "http", "scheme": "basic"})
        spec.options["security"] = [{"token": []}, {"password": []}]
    _add_status_paths(spec, serving)
    default = serving.models.get(serving.default_model or "")
    if default is not None:
        _add_prediction_path(spec, default, "/predict", "predict")
    for name, served in sorted(serving.models.items()):
        _add_model_schemas(spec, served, name, settings)
        _add_prediction_path(spec, served, f"/models/{name}/predict", f"predict.{name}")
    for (name, version), served in sorted(serving.loaded.items()):
        schemas = name if served is serving.models.get(name) else f"{name}.{version}"
        if schemas != name:
            _add_model_schemas(spec, served, schemas, settings)
        path = f"/models/{name}/versions/{version}/predict"
        _add_prediction_path(spec, served, path, f"predict.{name}.{version}", schemas)
    if serving.models:
        _add_feedback_path(spec, serving, marshmallow, settings)
    found: dict[str, Any] = spec.to_dict()
    return found


_TAGS = [
    {"name": "predictions", "description": "One object of features, or a list of them."},
    {"name": "labels", "description": "What turned out to be true."},
    {"name": "models", "description": "What serves, and what it takes."},
    {"name": "state", "description": "For load balancers and supervisors."},
]


def _add_model_schemas(spec: APISpec, served: ServedModel, name: str, settings: GatewaySettings) -> None:
    """What a version takes and answers, under `name`."""
    card = served.card
    spec.components.schema(f"{name}.Row", schema=served.input.schema)
    if served.input.takes_batches:
        spec.components.schema(f"{name}.Batch", _list_of(ref(f"{name}.Row"), BATCH_KEY, settings.instances_max))
    spec.components.schema(f"{name}.Prediction", answered({**HEAD, **of_model(card), **item(card)}))
    items = {"predictions": {"type": "array", "minItems": 1, "items": answered(item(card))}}
    spec.components.schema(f"{name}.Predictions", answered({**HEAD, **of_model(card), **items}))


def _add_prediction_path(
    spec: APISpec, served: ServedModel, path: str, operation_id: str, schemas: str | None = None
) -> None:
    """`schemas`: the name that the version's schemas have; the model's unless given."""
    name = schemas or served.card.name
    bodies, answers = [ref(f"{name}.Row")], [ref(f"{name}.Prediction")]
    if served.input.takes_batches:
        bodies.append(ref(f"{name}.Batch"))
        answers.append(ref(f"{name}.Predictions"))
    operation = {
        "operationId": operation_id,
        "tags": ["predictions"],
        "summary": f"Ask {served.card.name}{_which(served, path)}",
        "parameters": [_X_REQUEST_ID],
        "requestBody": _body({"anyOf": bodies}),
        "responses": {
            "200": _answer("Scored and on record", {"anyOf": answers}),
            **_refusals(_OF_BODIES),
        },
    }
    spec.path(path, operations={"post": operation})


def _which(served: ServedModel, path: str) -> str:
    if path == "/predict":
        return " (the default model)"
    return f" {served.card.version}" if "/versions/" in path else ""


def _add_feedback_path(
    spec: APISpec, serving: Serving, marshmallow: MarshmallowPlugin, settings: GatewaySettings
) -> None:
    """/feedback takes what the named model's labels look like, and those of the default model without a name."""
    bodies: list[JsonSchema] = []
    for name, served in sorted(serving.models.items()):
        assert marshmallow.converter is not None  # set when the spec was made
        label: JsonSchema = marshmallow.converter.schema2jsonschema(served.label_input.schema)  # type: ignore[no-untyped-call]
        spec.components.schema(f"{name}.Label", {**label, **_ONE_ID})
        for body in (label | _ONE_ID, _list_of(ref(f"{name}.Label"), "labels", settings.instances_max)):
            bodies.append(_named(body, name, is_default=name == serving.default_model))
    operation = {
        "operationId": "feedback",
        "tags": ["labels"],
        "summary": "Say what turned out to be true",
        "description": "Labels may come at any time and again; the newest one of a prediction wins.",
        "requestBody": _body({"anyOf": bodies}),
        "responses": {
            "200": _answer("On record", {"anyOf": [ref("LabelRecorded"), ref("LabelsRecorded")]}),
            **_refusals(_OF_BODIES),
        },
    }
    spec.path("/feedback", operations={"post": operation})


def _add_status_paths(spec: APISpec, serving: Serving) -> None:
    health = answered({"status": {"const": "ok"}})
    _add_read(spec, "/health", "health", "state", "Is it alive", {"200": _answer("It is", health)})
    unready = {_JSON: {"schema": ref("Readiness")}, _PROBLEM_JSON: {"schema": ref("Problem")}}
    ready = {
        "200": _answer("It can", ref("Readiness")),
        "503": {"description": "It cannot now, or it has too much to do", "content": unready},
    }
    _add_read(spec, "/ready", "ready", "state", "Can it answer and record", ready)
    models = {"200": _answer("All of them", ref("Models"))}
    _add_read(spec, "/models", "models", "models", "What serves", models)
    if serving.models:
        name = {"type": "string", "enum": sorted(serving.models)}
        spec.path("/models/{name}", parameters=[{"name": "name", "in": "path", "required": True, "schema": name}])
        model = {"200": _answer("Its card", ref("Model")), **_refusals(_OF_MODELS)}
        about = "What a model takes, and how good it was on its reference"
        _add_read(spec, "/models/{name}", "model", "models", about, model)
        path = "/models/{name}/versions/{version}"
        version = {"type": "string", "enum": sorted({version for _, version in serving.loaded})}
        names = (("name", name), ("version", version))
        spec.path(path, parameters=[{"name": n, "in": "path", "required": True, "schema": s} for n, s in names])
        _add_read(spec, path, "version", "models", "The same of a version that is in use", model)


def _add_read(spec: APISpec, path: str, operation_id: str, tag: str, summary: str, responses: dict[str, Any]) -> None:
    """A GET; `responses` beside the refusals that any request may meet."""
    operation = {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        "responses": {**_refusals(_OF_ALL), **responses},
    }
    spec.path(path, operations={"get": operation})


def _list_of(item: JsonSchema, key: str, count_max: int) -> JsonSchema:
    items = {"type": "array", "minItems": 1, "maxItems": count_max, "items": item}
    return {"type": "object", "required": [key], "properties": {key: items}, "additionalProperties": False}


def _named(body: JsonSchema, model_name: str, *, is_default: bool) -> JsonSchema:
    """A body of /feedback with the model's name in it."""
    return {
        **body,
        "title": f"{'labels' if 'labels' in body['properties'] else 'label'} of {model_name}",
        "properties": {"model_name": {"const": model_name}, **body["properties"]},
        "required": [*body["required"], *([] if is_default else ["model_name"])],
    }


def _body(schema: JsonSchema) -> dict[str, Any]:
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _answer(description: str, schema: JsonSchema) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _refusals(kinds: Iterable[Kind]) -> dict[str, Any]:
    """References to the responses with the statuses of these kinds."""
    return {
        str(status): {"$ref": f"#/components/responses/Refused{status}"} for status in sorted({k.status for k in kinds})
    }


def _refused(status: int, kinds: Iterable[Kind]) -> dict[str, Any]:
    """The response of all kinds with that status."""
    response: dict[str, Any] = {
        "description": "; ".join(kind.title for kind in kinds if kind.status == status),
        "content": {_PROBLEM_JSON: {"schema": ref("Problem")}},
    }
    if status == problems.METHOD_NOT_ALLOWED.status:
        response["headers"] = {"Allow": {"required": True, "schema": {"type": "string"}}}
    if status in (problems.BUSY.status, problems.TOO_MANY_REQUESTS.status):
        response["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 0}}}
    return response
