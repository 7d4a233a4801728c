"""A report's content as one HTML file: escaped, under a policy that lets nothing run but our one script."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evalkit.report.chart_script import script
from evalkit.util.hostile_text import Html, json_for_script, markdown, visible
from evalkit.util.words import plural
from evalkit.widgets.transcript_view import style, transcript_html

if TYPE_CHECKING:
    from evalkit.report.blocks import Report


def to_html(report: Report, *, version: str) -> str:
    """Return the report as one HTML page that needs no network.

    Whatever comes from the data is escaped by the template; hidden characters are made visible. The page's
    own policy forbids every request, and every script but the one whose hash it names.

    Parameters
    ----------
    report
        What `sections.build` made.
    version
        evalkit's version.
    """
    css = files("evalkit.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(report=report, version=version, script=script(), css=Html(css + style()))
    )


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
        "counted": plural,
        "json": json_for_script,
        "markdown": markdown,
        "raw": Html,
        "transcript": transcript_html,
        "word": _word,
    }
    return environment


def _finalize(value: Any) -> Any:
    """Make hidden characters visible in whatever is printed; markup of ours has been through that."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _word(text: str) -> str:
    """Return `text` as part of a class name."""
    return re.sub(r"[^a-z]+", "-", text.lower()).strip("-")
