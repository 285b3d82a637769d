"""Crashes and errors at the N-th system call of whatever runs in this process, through `os` itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest


class Crash(BaseException):
    """The process is gone: nothing below may catch it."""


#: The calls that leave a trace on the disk, or decide about one.
CALLS = ("open", "fchmod", "fsync", "write")


def crash_at(patch: pytest.MonkeyPatch, wanted: int, torn: bool) -> Callable[[], int]:
    """Let the process die at the `wanted`-th system call of `CALLS`; `torn`: a write does half of its work first.

    Returns a function that says how many calls there were.
    """
    count = 0

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count > wanted:
                raise Crash
            if count == wanted:
                if name == "write" and torn:
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise Crash
            return real(*arguments, **more)

        return call

    for name in CALLS:
        patch.setattr(os, name, counting(name, getattr(os, name)))
    return lambda: count


def fail_at(patch: pytest.MonkeyPatch, wanted: int, code: int) -> Callable[[], int]:
    """Let the `wanted`-th system call of `CALLS` fail; returns a function that says how many calls there were."""
    count = 0

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == wanted:
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise OSError(code, os.strerror(code))
            return real(*arguments, **more)

        return call

    for name in CALLS:
        patch.setattr(os, name, counting(name, getattr(os, name)))
    return lambda: count
