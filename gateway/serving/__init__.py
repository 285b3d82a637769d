"""The Flask application and what it is made of. Private to the gateway: nothing downstream imports it.

A request walks `app` -> `body` (strict JSON) -> `validation` (marshmallow) -> `model` (scikit-learn) ->
`gateway.log` (recorded) -> answer; `problems` turns every refusal into RFC 9457; `models` holds the loaded
models and watches the registry; `metrics` counts.
"""
