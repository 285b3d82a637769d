"""The kept history: of each model version and UTC day what was answered, and how right it was as far as is known.

`command` is `python -m drift_engine history`; `job` makes the days of one model; `plan` says which, `lookup` which days
new labels belong to (`label_index` keeps that), `score` what a day comes to and `review` which of its answers a person
should look at. The records' format is `drift_engine.results.days`; docs/formats/kept_history.md.
"""
