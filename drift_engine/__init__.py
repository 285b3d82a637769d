"""The drift engine: one batch run compares a window of the log with the reference, writes a result, and exits.

`drift_engine.results` is its contract module (contract 3); `drift_engine.run_requests` the spool through
which others ask for a run.
"""
