"""A second version that scores what was answered, in a process of its own that no answer waits for."""
