"""gunicorn's worker as it is here: connections, whole requests, and the short way of a prediction."""
