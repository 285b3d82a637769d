"""What a model accepts: marshmallow schemas made from its card, every fault reported with its JSON pointer.

Types are exact. `"1.5"` is no number, `true` no integer, 3.0 is an integer as in JSON Schema. Each field says in its
metadata, as JSON Schema, what it accepts: that is what the OpenAPI document shows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from gateway.clock import parse_utc, utc_text
from gateway.log.refusals import Reason
from gateway.registry import Feature, ModelCard
from gateway.registry.card import ClassLabel
from gateway.registry.columns import class_text
from gateway.serving.problems import TOO_LARGE, Fault, Problem, invalid, pointer

#: Tree ensembles compare in float32; a value beyond its range would reach the model as infinity.
NUMBER_MAX = 3.4028234663852886e38
#: Integers up to here are exact as a double, which is what models compute with.
INTEGER_MAX = 2**53
#: The name under which a request's body holds a list of rows.
BATCH_KEY = "instances"

#: What a client may send as X-Request-ID and find again in the log as client_id.
CLIENT_ID_LENGTH_MAX = 128

#: A class of this form may be sent as a number, too.
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,14}")

#: One validated row: values in the model's order, None where missing.
Row = Sequence[Any]


def is_client_id(text: str) -> bool:
    """Whether a client's own id for a request is kept: printable ASCII of a sane length."""
    return 0 < len(text) <= CLIENT_ID_LENGTH_MAX and text.isascii() and text.isprintable()


class PredictionInput:
    """The input of one model: `rows` turns a request's body into rows of values in the model's order.

    Attributes:
        schema: of one row.
        takes_batches: a body may also be a list of rows; a feature called "instances" leaves only single ones.
    """

    def __init__(self, card: ModelCard, *, instances_max: int, text_length_max: int) -> None:
        # Attributes are numbered and the names are data keys: marshmallow would split a name at its dots.
        self._attributes = tuple(f"f{index}" for index in range(len(card.features)))
        self._instances_max = instances_max
        self.takes_batches = BATCH_KEY not in card.feature_names
        self.schema = Schema.from_dict(
            {
                attribute: _field(feature, text_length_max)
                for attribute, feature in zip(self._attributes, card.features, strict=True)
            },
            name=f"{card.name} input",
        )(unknown=RAISE)

    def rows(self, body: Mapping[str, Any]) -> tuple[list[Row], bool]:
        """Validated rows, None for missing values, and whether the request was a batch.

        Raises:
            Problem: with every fault, each under its JSON pointer.
        """
        if self.takes_batches and BATCH_KEY in body:
            return self._batch(body), True
        row = self._load(body)
        if isinstance(row, ValidationError):
            raise invalid(list(_faults(row.messages, sent=body)))
        return [row], False

    def batch(self, instances: Sequence[Any]) -> list[Row]:
        """Validated rows of one or more objects of features. Raises Problem as `rows` does for a batch."""
        rows, faults = self._split(instances)
        if faults:
            raise invalid(faults, rows=len(instances))
        return rows

    def check_count(self, instances: int) -> None:
        """Raise Problem if these are too many for one request."""
        if instances > self._instances_max:
            raise Problem(TOO_LARGE, f"{instances} instances; at most {self._instances_max} are accepted at once")

    def _batch(self, body: Mapping[str, Any]) -> list[Row]:
        instances = body[BATCH_KEY]
        faults = [
            Fault(pointer(name), f"is not known beside {BATCH_KEY}", "unknown field", value=name)
            for name in body
            if name != BATCH_KEY
        ]
        if not isinstance(instances, list) or not instances:
            raise invalid([*faults, Fault(pointer(BATCH_KEY), "must be a list of one or more objects")])
        self.check_count(len(instances))
        rows, more = self._split(instances)
        if faults + more:
            raise invalid(faults + more, rows=len(instances))
        return rows

    def _split(self, instances: Sequence[Any]) -> tuple[list[Row], list[Fault]]:
        rows: list[Row] = []
        faults: list[Fault] = []
        for index, instance in enumerate(instances):
            loaded = self._load(instance)
            if isinstance(loaded, ValidationError):
                faults.extend(_faults(loaded.messages, BATCH_KEY, index, sent=instance))
            else:
                rows.append(loaded)
        return rows, faults

    def _load(self, instance: Any) -> Row | ValidationError:
        if not isinstance(instance, dict):
            return ValidationError("must be an object of features")
        try:
            loaded = self.schema.load(instance)
        except ValidationError as error:
            return error
        return [loaded[attribute] for attribute in self._attributes]


@dataclass(frozen=True)
class Label:
    """What turned out to be true of one prediction, named by exactly one of its two ids.

    `label` is the class as text or a regression's value; `observed_at` as `gateway.clock` writes it.
    """

    request_id: str | None
    client_id: str | None
    instance: int
    label: str | float
    observed_at: str | None


class LabelInput:
    """Labels for one model: as /feedback gets them, or from a file.

    `schema`: of one label, but for the rule that exactly one of its ids is given.
    """

    def __init__(self, card: ModelCard, *, instances_max: int, text_length_max: int) -> None:
        label = _RegressionLabel(required=True) if card.task == "regression" else _ClassLabelField(card, required=True)
        self._instances_max = instances_max
        self.schema = Schema.from_dict(
            {
                "request_id": fields.UUID(error_messages={"null": "must be a UUID", "invalid_uuid": "must be a UUID"}),
                "client_id": _ClientId(CLIENT_ID_LENGTH_MAX),
                "instance": _Integer(load_default=0, validate=validate.Range(min=0), metadata={"minimum": 0}),
                "label": label,
                "observed_at": _Moment(),
            }
        )(unknown=RAISE)

    def labels(self, body: Mapping[str, Any]) -> tuple[list[Label], bool]:
        """The validated labels of a request's body, and whether it was a list of them.

        The body may have a `model_name` beside them.

        Raises:
            Problem: with every fault, each under its JSON pointer.
        """
        faults = []
        if type(body.get("model_name", "")) is not str:
            faults.append(Fault("/model_name", "must be a text"))
        rest = {name: value for name, value in body.items() if name != "model_name"}
        is_list = "labels" in rest
        labels, more = self._list(rest) if is_list else self._split([self.load(rest)])
        if faults + more:
            raise invalid(faults + more)
        return labels, is_list

    def load(self, item: Any, *prefix: str | int) -> Label | list[Fault]:
        """One validated label, or everything that is wrong with it, under JSON pointers that begin with `prefix`."""
        if not isinstance(item, dict):
            return [Fault(pointer(*prefix), "must be an object with a label")]
        messages: Any = {}
        try:
            loaded: dict[str, Any] = self.schema.load(item)
        except ValidationError as error:
            messages, loaded = error.messages, {}
        faults = list(_faults(messages, *prefix))
        if ("request_id" in item) == ("client_id" in item):
            faults.append(Fault(pointer(*prefix), "name the prediction by exactly one of request_id and client_id"))
        if faults:
            return faults
        return Label(
            request_id=str(loaded["request_id"]) if "request_id" in loaded else None,
            client_id=loaded.get("client_id"),
            instance=loaded["instance"],
            label=loaded["label"],
            observed_at=loaded.get("observed_at"),
        )

    def _list(self, body: Mapping[str, Any]) -> tuple[list[Label], list[Fault]]:
        items = body["labels"]
        faults = [Fault(pointer(name), "is not known beside labels") for name in body if name != "labels"]
        if not isinstance(items, list) or not items:
            return [], [*faults, Fault("/labels", "must be a list of one or more objects")]
        if len(items) > self._instances_max:
            raise Problem(TOO_LARGE, f"{len(items)} labels; at most {self._instances_max} are accepted at once")
        labels, more = self._split([self.load(item, "labels", index) for index, item in enumerate(items)])
        return labels, faults + more

    @staticmethod
    def _split(loaded: list[Label | list[Fault]]) -> tuple[list[Label], list[Fault]]:
        labels = [item for item in loaded if isinstance(item, Label)]
        return labels, [fault for item in loaded if not isinstance(item, Label) for fault in item]


def _field(feature: Feature, text_length_max: int) -> fields.Field[Any]:
    options: dict[str, Any] = {
        "required": True,
        "allow_none": feature.nullable,
        "data_key": feature.name,
        "metadata": _about(feature),
    }
    if feature.type in ("number", "integer") and not feature.accepts_unseen:
        options["validate"] = _ObservedRange(
            feature.minimum, feature.maximum, error="must be from {min:g} to {max:g}, as in the reference"
        )
    match feature.type:
        case "number":
            return _Number(**options)
        case "integer":
            return _Integer(**options)
        case "boolean":
            return _Boolean(**options)
        case "category":
            if feature.accepts_unseen:
                return _Text(text_length_max, {"maxLength": text_length_max}, **options)
            return _Category(feature.categories or (), text_length_max, **options)


def _about(feature: Feature) -> dict[str, Any]:
    """What the reference says of a feature; none of it is a bound."""
    if feature.minimum is None or feature.maximum is None:
        return {}
    middle = feature.minimum / 2 + feature.maximum / 2
    return {
        "description": f"In the reference from {feature.minimum:g} to {feature.maximum:g}.",
        "x-observed-range": [feature.minimum, feature.maximum],
        "examples": [round(middle) if feature.type == "integer" else float(f"{middle:.4g}")],
    }


@dataclass(frozen=True)
class _Message:
    """What marshmallow passes on as a message: a sentence, and the reason for whoever counts."""

    reason: Reason
    detail: str


class _Unacceptable(ValidationError):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__([_Message(reason, detail)])


class _ObservedRange(validate.Range):
    """The range of the reference, for a feature that takes no other values."""

    def __call__(self, value: Any) -> Any:
        try:
            return super().__call__(value)
        except ValidationError as error:
            raise _Unacceptable("out of range", str(error.messages[0])) from None


class _Exact(fields.Field[Any]):
    """A field that converts nothing: the JSON type must be the right one already.

    Args:
        json_schema: what it accepts; null is added where that is allowed.
        metadata: more of the same.
    """

    default_error_messages = {"required": "is missing", "null": "must not be null"}  # noqa: RUF012 - marshmallow's way

    def __init__(
        self, json_schema: Mapping[str, Any], *, metadata: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(metadata={**json_schema, **(metadata or {})}, **options)

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        """Nothing, or null, where a value must be."""
        return _Unacceptable("missing feature" if key == "required" else "null", str(self.error_messages[key]))


class _Number(_Exact):
    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "number", "minimum": -NUMBER_MAX, "maximum": NUMBER_MAX}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if type(value) is not float and type(value) is not int:
            raise _Unacceptable("wrong type", "must be a number")
        if not -NUMBER_MAX <= value <= NUMBER_MAX:
            raise _Unacceptable("out of range", "must be a number within the range of single precision, 3.4e38")
        if type(value) is int and not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise _Unacceptable("out of range", "is an integer beyond 2^53, which a double cannot hold exactly")
        return float(value)


class _Integer(_Exact):
    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "integer", "minimum": -INTEGER_MAX, "maximum": INTEGER_MAX}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise _Unacceptable("wrong type", "must be an integer")
        if not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise _Unacceptable("out of range", "must be an integer within 2^53, beyond which a double is not exact")
        return value


class _Boolean(_Exact):
    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "boolean"}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if type(value) is not bool:
            raise _Unacceptable("wrong type", "must be true or false")
        return value


class _Text(_Exact):
    def __init__(self, length_max: int, json_schema: Mapping[str, Any], **options: Any) -> None:
        super().__init__({"type": "string", **json_schema}, **options)
        self._length_max = length_max

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if type(value) is not str:
            raise _Unacceptable("wrong type", "must be a text")
        if len(value) > self._length_max:
            raise _Unacceptable("unusable text", f"must have at most {self._length_max} characters")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _Unacceptable("unusable text", "must not hold a lone surrogate") from None
        return value


class _ClientId(_Text):
    def __init__(self, length_max: int, **options: Any) -> None:
        super().__init__(length_max, {"pattern": f"^[ -~]{{1,{length_max}}}$"}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not is_client_id(text):
            raise ValidationError("must be what can be sent as X-Request-ID: printable ASCII, not empty")
        return text


class _Category(_Text):
    def __init__(self, categories: tuple[str, ...], length_max: int, **options: Any) -> None:
        known: list[str | None] = [level for level in categories if len(level) <= length_max]
        super().__init__(length_max, {"enum": known + [None] * bool(options.get("allow_none"))}, **options)
        self._categories = frozenset(categories)
        shown = ", ".join(repr(level) for level in categories[:10])
        self._refusal = f"must be one of {shown}" + (f" or {len(categories) - 10} more" * (len(categories) > 10))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text not in self._categories:
            raise _Unacceptable("unseen category", self._refusal)
        return text


class _Moment(_Exact):
    """An RFC 3339 moment, as `gateway.clock` writes it."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "string", "format": "date-time"}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return utc_text(parse_utc(value))
        except (TypeError, ValueError, OverflowError, OSError):
            raise ValidationError("must be a moment like 2026-01-31T12:00:00Z, with its UTC offset") from None


class _ClassLabelField(_Exact):
    """One of the model's classes, as itself or as text; becomes the text that the log holds."""

    def __init__(self, card: ModelCard, **options: Any) -> None:
        super().__init__({"enum": [form for label in card.classes for form in _class_forms(label)]}, **options)
        self._texts = frozenset(class_text(label) for label in card.classes)
        self._refusal = "must be one of " + ", ".join(sorted(self._texts))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) not in (bool, int, str) or class_text(value) not in self._texts:
            raise ValidationError(self._refusal)
        return class_text(value)


def _class_forms(label: ClassLabel) -> list[ClassLabel]:
    """The JSON values that name a class: its text, and the number or boolean that is written like it."""
    text = class_text(label)
    forms: list[ClassLabel] = [text]
    if text in ("true", "false"):
        forms.append(text == "true")
    elif _WHOLE_NUMBER.fullmatch(text):
        forms.append(int(text))
    return forms


class _RegressionLabel(_Exact):
    def __init__(self, **options: Any) -> None:
        bound = sys.float_info.max
        super().__init__({"type": "number", "minimum": -bound, "maximum": bound}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        # Compared, not converted: an integer of 400 digits is too large to ask whether it is finite.
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            raise ValidationError("must be a finite number")
        return float(value)


def _faults(messages: Any, *prefix: str | int, sent: Any = None) -> Iterator[Fault]:
    """One fault per value from marshmallow's messages about `sent`, an object or what should have been one."""
    if not isinstance(messages, Mapping):
        yield from (_fault(message, pointer(*prefix), "", sent) for message in messages)
        return
    for name, inner in messages.items():
        if name == "_schema":
            # What is wrong with the object as a whole.
            yield from _faults(inner, *prefix, sent=sent)
            continue
        value = sent.get(name) if sent else None
        yield from (_fault(message, pointer(*prefix, name), name, value) for message in inner)


def _fault(message: Any, where: str, name: str, value: Any) -> Fault:
    if isinstance(message, _Message):
        return Fault(where, message.detail, message.reason, name, value)
    if message == "Unknown field.":
        # Its name is the client's word: something to show, and nothing to count by.
        return Fault(where, "is not known", "unknown field", value=name)
    return Fault(where, str(message), value=value)
