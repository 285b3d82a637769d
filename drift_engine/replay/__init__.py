"""`python -m drift_engine replay`: what a version would have answered to logged requests, before anyone promotes it."""
