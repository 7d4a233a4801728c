"""Render a report as one HTML page: escaped, under a policy that allows one script."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evalkit.report.chart_script import script
from evalkit.util.hostile_text import Html, json_for_script, markdown, visible
from evalkit.util.version import VERSION
from evalkit.util.words import plural
from evalkit.widgets.transcript_view import style, transcript_html

if TYPE_CHECKING:
    from evalkit.report.blocks import Report


def to_html(report: Report) -> str:
    """Return the report as one HTML page that works offline.

    The template escapes all data and makes hidden characters visible. The policy of the page forbids every request,
    and every script but the one whose hash it names.
    """
    css = files("evalkit.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    template = _environment().get_template("report.html.j2")
    return template.render(report=report, version=VERSION, script=script(), css=Html(css + style()))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evalkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
    )
    environment.filters |= {
        "plural": plural,
        "json": json_for_script,
        "markdown": markdown,
        "raw": Html,
        "transcript": transcript_html,
        "word": _word,
    }
    return environment


def _finalize(value: Any) -> Any:
    """Make hidden characters visible, except in trusted markup."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _word(text: str) -> str:
    """Return `text` as part of a class name."""
    return re.sub(r"[^a-z]+", "-", text.lower()).strip("-")
