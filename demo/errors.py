"""What the demo says when it cannot go on."""


class DemoError(Exception):
    """The text is one plain sentence for the person at the terminal."""
