"""A model to try and traffic for it: see how "no drift" turns into "drift" within minutes (`make demo`)."""
