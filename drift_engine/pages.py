"""Pages of our own: one way to render a template, and the filters that all of them share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from drift_engine.paired.schema import chance, label_of
from drift_engine.sentences import moment, number, percent, printable

_TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, **values: Any) -> str:
    """A template of `drift_engine/templates` with these values, everything in them escaped."""
    return _environment().get_template(template).render(**values)


def environment(**filters: Callable[..., Any]) -> jinja2.Environment:
    """What renders the templates of `drift_engine/templates`: everything escaped, a name that is not there an error.

    Args:
        filters: beside those that every page has.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "percent": percent, "moment": moment} | filters
    return made


@functools.cache
def _environment() -> jinja2.Environment:
    return environment(printable=printable, label=label_of, chance=chance)
