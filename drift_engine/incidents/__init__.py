"""Alerts of run after run become incidents: the rule, and who keeps their file.

Format: `drift_engine.results.incidents`.
"""
