"""The inference gateway: validates, predicts, and records every answer before it leaves.

Contract modules, the only ones that processes downstream may import: `gateway.settings`, `gateway.files`,
`gateway.heartbeat`, `gateway.registry` (contract 0), `gateway.log` (contracts 1 and 2) and
`gateway.metrics_folder`.
"""

#: The version of the program, as `pyproject.toml` has it.
VERSION = "0.1.0"
