"""Contracts 1 and 2: the prediction log and the label log, append-only CSV in segments; the refusal log is a third one.

`line` is the bytes of one line, `segment` a file's name, identity and creation, `writer` the group commit,
`reader` the scan that survives damage; `predictions`, `labels` and `refusals` say which columns the logs have.
Format pages: docs/formats/prediction_log.md, label_log.md and refusal_log.md there.
"""
