"""What command lines share: how a number is read, and how a command refuses."""

from __future__ import annotations

import argparse
import sys


def count(text: str) -> int:
    """A whole number from 1 on. Raises argparse.ArgumentTypeError or ValueError."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def refuse(error: Exception, code: int) -> int:
    """Say why nothing was done; returns the exit code."""
    print(f"refused: {error}", file=sys.stderr)
    return code
