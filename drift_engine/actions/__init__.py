"""What is done where retraining is recommended: a command or a webhook of the operator's, at most once per incident."""
