"""What answers requests. Private to the gateway: nothing downstream imports it.

`gunicorn_conf` starts workers (`worker`), which take the plain predictions themselves and leave all else to Flask:
`app` -> `body` (strict JSON) -> `validation` (marshmallow, or `decoder` for valid rows) -> `prediction`
(`models`: what is loaded and serves; `scoring`: how it answers) -> `gateway.log` (recorded) -> `answer`. `guard` says
who may ask; `problems` and `refusals` turn what is refused into RFC 9457; `metrics` and `access` count and tell.
`v2` speaks the Open Inference Protocol, `openapi` documents it all, `shadow` scores again what was answered.
"""
