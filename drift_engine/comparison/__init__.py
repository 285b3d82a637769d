"""Any two tables compared by the rule that runs use, without a registry, a log or a settings file.

`tables` reads files into the canonical form and finds what differs in their columns, `compare` judges,
`command` is `python -m drift_engine compare`.
"""
