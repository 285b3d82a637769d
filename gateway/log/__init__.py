"""Contracts 1 and 2: the prediction log and the label log, append-only CSV in segments.

`line` is the bytes of one line, `segment` a file's name, identity and creation, `writer` the group commit,
`reader` the scan that survives damage; `predictions` and `labels` say which columns the two logs have.
Format pages: docs/formats/prediction_log.md and docs/formats/label_log.md.
"""
