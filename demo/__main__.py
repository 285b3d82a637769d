"""`python -m demo model` makes a model to try; `python -m demo play` shows drift on traffic that it sends."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands. Returns 0; 1 when it could not be done; 2 for settings; 130 after Ctrl-C."""
    try:
        # Here, because it takes seconds, in which Ctrl-C must not end in a traceback.
        from demo.command import run

        return run(arguments)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
